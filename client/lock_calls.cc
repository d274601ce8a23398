#include "client/lock_calls.h"

#include <utility>

namespace ringfs::client {

wire::SetLock MessageOf(const LockRequest& request, uint64_t waiter) {
  wire::SetLock set;
  set.set_inode(Raw(request.inode));
  set.set_kind(request.kind);
  set.set_type(request.type);
  set.set_owner(request.owner);
  set.set_start(request.start);
  set.set_last(request.last);
  set.set_wait(request.wait);
  set.set_waiter(waiter);
  set.set_pid(request.pid);
  set.set_handle(Raw(request.handle));
  return set;
}

asio::awaitable<Result<wire::SetLockReply>> LockCalls::Set(LockRequest request, uint64_t waiter,
                                                           Lease lease, Deadline deadline) {
  wire::MetaRequest meta;
  *meta.mutable_set_lock() = MessageOf(request, waiter);
  meta.mutable_set_lock()->set_lease(lease == Lease::kMayLease);
  meta.mutable_set_lock()->set_hand_over(lease == Lease::kHandOver);
  auto reply = co_await link_.Call(std::move(meta), deadline);
  if (!reply) co_return Fail(reply.error());
  co_return reply->set_lock();
}

asio::awaitable<Result<bool>> LockCalls::Cancel(InodeId inode, uint64_t waiter, Deadline deadline) {
  wire::MetaRequest meta;
  meta.mutable_cancel_lock()->set_inode(Raw(inode));
  meta.mutable_cancel_lock()->set_waiter(waiter);
  auto reply = co_await link_.Call(std::move(meta), deadline);
  if (!reply) co_return Fail(reply.error());
  co_return reply->cancel_lock().granted();
}

asio::awaitable<Result<wire::LockStatusReply>> LockCalls::Status(InodeId inode, uint64_t waiter,
                                                                 Deadline deadline) {
  wire::MetaRequest meta;
  meta.mutable_lock_status()->set_inode(Raw(inode));
  meta.mutable_lock_status()->set_waiter(waiter);
  auto reply = co_await link_.Call(std::move(meta), deadline);
  if (!reply) co_return Fail(reply.error());
  co_return reply->lock_status();
}

asio::awaitable<Result<wire::TestLockReply>> LockCalls::Test(LockRequest request,
                                                             Deadline deadline) {
  wire::MetaRequest meta;
  wire::TestLock& test = *meta.mutable_test_lock();
  test.set_inode(Raw(request.inode));
  test.set_kind(request.kind);
  test.set_type(request.type);
  test.set_owner(request.owner);
  test.set_start(request.start);
  test.set_last(request.last);
  auto reply = co_await link_.Call(std::move(meta), deadline);
  if (!reply) co_return Fail(reply.error());
  co_return reply->test_lock();
}

asio::awaitable<Result<void>> LockCalls::ReleaseOwner(InodeId inode, uint64_t owner,
                                                      Deadline deadline) {
  wire::MetaRequest meta;
  meta.mutable_release_locks()->set_inode(Raw(inode));
  meta.mutable_release_locks()->set_owner(owner);
  auto reply = co_await link_.Call(std::move(meta), deadline);
  if (!reply) co_return Fail(reply.error());
  co_return Result<void>();
}

}  // namespace ringfs::client
