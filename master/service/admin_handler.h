#pragma once

#include <asio/awaitable.hpp>

#include "master/service/context.h"
#include "proto/lock.pb.h"
#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

namespace ringfs::master {

// Calls of administrators.

// `started_ns`: when this master started, by the monotonic clock.
wire::StatusReply Status(const Context& context, int64_t started_ns);
wire::ListSessionsReply ListSessions(const Context& context);
// kNotFound, kNotDirectory: of the path. At most 20,000 locks are listed.
Result<wire::ListLocksReply> ListLocks(const Context& context,
                                       const wire::ListLocksRequest& request);
Result<wire::WhereReply> Where(const Context& context, const wire::WhereRequest& request);
// The session is treated as if it had expired. kNotFound: there is none.
Result<wire::BreakLockReply> BreakLock(Context& context, const wire::BreakLockRequest& request);
// kNotFound: no such server. kBusy: it alone serves a bucket. kInvalid: not an order.
Result<wire::ServerOrderReply> OrderServer(Context& context,
                                           const wire::ServerOrderRequest& request);

}  // namespace ringfs::master
