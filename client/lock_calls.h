#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>

#include "client/filesystem.h"
#include "client/master_link.h"
#include "client/retry.h"
#include "common/result.h"
#include "proto/lock.pb.h"

namespace ringfs::client {

// The message for a request; `waiter` numbers the wait, if there will be one.
wire::SetLock MessageOf(const LockRequest& request, uint64_t waiter);

// What is asked of the master about locks. Errors as of MasterLink::Call().
//
// Threads: as the link.
class LockCalls {
 public:
  explicit LockCalls(MasterLink& link) : link_(link) {}

  // kMayLease: of an flock, the answer may bring the lease of all flocks of the inode. kHandOver: that
  // lease is going; the request is not kept from the master by others that wait for it.
  enum class Lease { kNone, kMayLease, kHandOver };
  asio::awaitable<Result<wire::SetLockReply>> Set(LockRequest request, uint64_t waiter, Lease lease,
                                                  Deadline deadline);
  // Whether the wait had been granted before; if not, it is withdrawn.
  asio::awaitable<Result<bool>> Cancel(InodeId inode, uint64_t waiter, Deadline deadline);
  asio::awaitable<Result<wire::LockStatusReply>> Status(InodeId inode, uint64_t waiter,
                                                        Deadline deadline);
  asio::awaitable<Result<wire::TestLockReply>> Test(LockRequest request, Deadline deadline);
  // Frees the range locks of an owner.
  asio::awaitable<Result<void>> ReleaseOwner(InodeId inode, uint64_t owner, Deadline deadline);

 private:
  MasterLink& link_;
};

}  // namespace ringfs::client
