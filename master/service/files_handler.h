#pragma once

#include <asio/awaitable.hpp>
#include <memory>

#include "common/result.h"
#include "master/service/context.h"
#include "proto/fsck.pb.h"

namespace ringfs::master {

// A page of the files, as they are on the disk of the master.
asio::awaitable<Result<wire::ListFilesReply>> ListFiles(Context& context,
                                                        std::shared_ptr<rpc::Peer> peer,
                                                        wire::ListFilesRequest request);
// Says whose the contents are that somebody has found on chunkservers. Those that are nobody's are
// put to the garbage once they were so at two times one session lifetime apart; in between, a
// master that restarts begins anew. kBusy: somebody else sweeps.
asio::awaitable<Result<wire::SweepReply>> Sweep(Context& context, std::shared_ptr<rpc::Peer> peer,
                                                wire::SweepRequest request);

}  // namespace ringfs::master
