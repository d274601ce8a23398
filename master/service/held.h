#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <memory>

#include "master/service/context.h"

namespace ringfs::master {

// Until when a request may be held, by the monotonic clock.
int64_t HoldUntil(const Context& context, int64_t timeout_ms);

// Waits for the next event of `key`, on behalf of a request of the session. kTimedOut: there was
// none in time. Else as SessionOf() says, afterwards.
template <typename Key>
asio::awaitable<Result<void>> Hold(Context& context, std::shared_ptr<rpc::Peer> peer, SessionId id,
                                   EventsOf<Key>& events, Key key, int64_t until_ns);

// Waits until no lease of another session is in the way of `wants`. `ticket` is borrowed: 0, or of
// an earlier wait of the same request, which keeps its place. The caller gives it to EndLeaseWait()
// when it has done what it waited for, or given up. Errors as of Hold().
asio::awaitable<Result<void>> WaitForOthers(Context& context, std::shared_ptr<rpc::Peer> peer,
                                            SessionId session, LeaseWants wants, int64_t until_ns,
                                            uint64_t& ticket);
// 0 is passed over.
void EndLeaseWait(Context& context, uint64_t ticket);

}  // namespace ringfs::master
