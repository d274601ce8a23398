#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <memory>

#include "master/service/context.h"
#include "proto/namespace.pb.h"

namespace ringfs::master {

// Answers what a mount asks of the namespace and the locks. Changes are applied before the first
// suspension, so in the order of their arrival; a change that has to wait for another session's cut
// of the file, and the wait for a turn to append, are held for at most `timeout_ms` (kTimedOut:
// nothing was applied). kFenced, kNotPermitted, kUnavailable: as SessionOf() says; any other error
// is the answer of the operation.
asio::awaitable<Result<wire::MetaReply>> HandleMeta(Context& context,
                                                    std::shared_ptr<rpc::Peer> peer,
                                                    wire::MetaRequest request, int64_t timeout_ms);

}  // namespace ringfs::master
