#include "client/locks.h"

#include <fmt/format.h>

#include "common/log.h"

namespace ringfs::client {
namespace {

constexpr int64_t kAskTimeoutMs = 30'000;
constexpr int64_t kCancelTimeoutMs = 5'000;
constexpr int64_t kReleasePauseMs = 1000;

Failure NoAnswer() {
  return Fail(Errc::kTimedOut, "the master did not say whether the session still stands");
}

void Remember(Handle& handle, const LockRequest& request) {
  HeldLocks& held = handle.inode->held;
  if (request.type == wire::LOCK_UNLOCK) {
    held.Free(request.kind, request.owner, request.start, request.last);
  } else {
    held.Take(handle.id, request.kind, request.owner, request.start, request.last);
  }
}

}  // namespace

std::shared_ptr<Limiter> Locks::OrderOf(const OwnerKey& key) {
  std::shared_ptr<Limiter>& order = orders_[key];
  if (!order) order = std::make_shared<Limiter>(executor_, 1);
  return order;
}

void Locks::ForgetOrder(const OwnerKey& key) {
  const auto found = orders_.find(key);
  if (found != orders_.end() && found->second->idle() && found->second.use_count() == 1) {
    orders_.erase(found);
  }
}

asio::awaitable<Result<wire::SetLockReply>> Locks::Send(LockRequest request, uint64_t waiter,
                                                        Deadline deadline) {
  wire::MetaRequest meta;
  wire::SetLock& set = *meta.mutable_set_lock();
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
  auto reply = co_await link_.Call(std::move(meta), deadline);
  if (!reply) co_return Fail(reply.error());
  co_return reply->set_lock();
}

asio::awaitable<Result<void>> Locks::Set(std::shared_ptr<Handle> handle, LockRequest request,
                                         Interrupt interrupt, int64_t timeout_ms) {
  for (;;) {
    const Deadline deadline(clock_, timeout_ms);
    // What is answered in doubt may be of a session that has expired.
    const bool certain = co_await link_.MakeCertain(deadline);
    if (handle->fenced) co_return Fail(Errc::kFenced, "the session has expired");
    if (!certain) co_return NoAnswer();
    const SessionId session = link_.session();
    auto end = co_await Ask(handle, request, interrupt, session, deadline);
    const bool answered = end && *end == End::kGranted;
    if (answered && !link_.Certain()) co_await link_.MakeCertain(Deadline(clock_, timeout_ms));
    const bool expired = session != link_.session();
    if (handle->fenced) co_return Fail(Errc::kFenced, "the session has expired");
    if (!end && !(expired && end.code() == Errc::kFenced)) co_return Fail(end.error());
    if (!answered || expired) continue;
    if (!link_.Certain()) co_return NoAnswer();
    Remember(*handle, request);
    co_return Result<void>();
  }
}

// One try, in `session`. kForgotten: the master knows nothing of the wait.
asio::awaitable<Result<Locks::End>> Locks::Ask(std::shared_ptr<Handle> handle, LockRequest request,
                                               Interrupt interrupt, SessionId session,
                                               Deadline deadline) {
  const OwnerKey key{request.inode, request.owner};
  const uint64_t waiter = ++last_waiter_;
  const auto wait = std::make_shared<Wait>(executor_);
  waits_[waiter] = wait;
  const uint64_t connects = link_.connects();
  std::shared_ptr<Limiter> order = OrderOf(key);
  auto turn = co_await order->Take(1, deadline.left_ms());
  Result<wire::SetLockReply> reply = Fail(Errc::kTimedOut, "waited for the owner's last request");
  if (turn && session != link_.session()) {
    reply = Fail(Errc::kFenced, fmt::format("session {} has expired", Raw(session)));
  } else if (turn) {
    // Before it is sent: it may be taken although no answer comes.
    if (request.type != wire::LOCK_UNLOCK) {
      handle->had_locks = true;
      if (request.kind == wire::LOCK_RANGE) handle->inode->range_owners.insert(request.owner);
    }
    reply = co_await Send(request, waiter, deadline);
  }
  turn.reset();
  order.reset();
  ForgetOrder(key);
  Result<End> end = End::kGranted;
  if (!reply) {
    end = Fail(reply.error());
  } else if (reply->queued()) {
    end = co_await Await(wait, request, waiter, interrupt, session, connects);
  }
  waits_.erase(waiter);
  co_return end;
}

asio::awaitable<Result<Locks::End>> Locks::Await(std::shared_ptr<Wait> wait, LockRequest request,
                                                 uint64_t waiter, Interrupt interrupt,
                                                 SessionId session, uint64_t connects) {
  const std::weak_ptr<Wait> weak = wait;
  interrupt.OnRaise([weak] {
    if (const auto waiting = weak.lock()) waiting->changed.NotifyAll();
  });
  Result<End> end = End::kGranted;
  while (!wait->granted) {
    if (session != link_.session()) {
      end = Fail(Errc::kFenced, fmt::format("session {} has expired", Raw(session)));
      break;
    }
    if (interrupt.raised()) {
      end = co_await Withdraw(request, waiter, session);
      break;
    }
    if (connects == link_.connects()) {
      co_await wait->changed.Wait();
      continue;
    }
    // A push to the connection before may be lost.
    const uint64_t asked_at = link_.connects();
    auto status = co_await AskStatus(request, waiter);
    if (!status && MayRetry(status.code())) continue;
    connects = asked_at;
    if (status && !*status) continue;  // it still waits
    end = status ? Result<End>(**status) : Result<End>(Fail(status.error()));
    break;
  }
  interrupt.OnRaise({});
  co_return end;
}

// Nothing: it still waits.
asio::awaitable<Result<std::optional<Locks::End>>> Locks::AskStatus(LockRequest request,
                                                                    uint64_t waiter) {
  wire::MetaRequest meta;
  meta.mutable_lock_status()->set_inode(Raw(request.inode));
  meta.mutable_lock_status()->set_waiter(waiter);
  auto reply = co_await link_.Call(std::move(meta), Deadline(clock_, kAskTimeoutMs));
  if (!reply) co_return Fail(reply.error());
  const wire::LockStatusReply& status = reply->lock_status();
  if (status.deadlock()) co_return Fail(Errc::kDeadlock);
  if (status.waiting()) co_return std::optional<End>();
  co_return std::optional<End>(status.granted() ? End::kGranted : End::kForgotten);
}

// Ends the wait; kInterrupted when neither the wait nor the lock is left.
asio::awaitable<Result<Locks::End>> Locks::Withdraw(LockRequest request, uint64_t waiter,
                                                    SessionId session) {
  auto undone = co_await Undo(request, waiter, Deadline(clock_, kCancelTimeoutMs));
  if (!undone && undone.code() != Errc::kFenced && !background_.stopping()) {
    spdlog::warn("inode {}: a wait for a lock is still to be withdrawn: {}", Raw(request.inode),
                 undone.error().ToString());
    background_.Start(FinishUndo(request, waiter, session), "withdraw lock");
  }
  co_return Fail(Errc::kInterrupted);
}

// Withdraws the wait, or frees the lock if it was granted before.
asio::awaitable<Result<void>> Locks::Undo(LockRequest request, uint64_t waiter, Deadline deadline) {
  wire::MetaRequest meta;
  meta.mutable_cancel_lock()->set_inode(Raw(request.inode));
  meta.mutable_cancel_lock()->set_waiter(waiter);
  auto reply = co_await link_.Call(std::move(meta), deadline);
  if (!reply) co_return Fail(reply.error());
  if (!reply->cancel_lock().granted()) co_return Result<void>();
  LockRequest unlock = request;
  unlock.type = wire::LOCK_UNLOCK;
  unlock.wait = false;
  auto unlocked = co_await Send(unlock, 0, deadline);
  if (!unlocked) co_return Fail(unlocked.error());
  co_return Result<void>();
}

asio::awaitable<void> Locks::FinishUndo(LockRequest request, uint64_t waiter, SessionId session) {
  while (!background_.stopping() && session == link_.session()) {
    auto undone = co_await Undo(request, waiter, Deadline(clock_, kAskTimeoutMs));
    if (undone || !MayRetry(undone.code())) co_return;
    co_await background_.SleepMs(kReleasePauseMs);
  }
}

asio::awaitable<Result<wire::TestLockReply>> Locks::Test(LockRequest request, Deadline deadline) {
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

asio::awaitable<Result<void>> Locks::FreeOwner(std::shared_ptr<Handle> handle, uint64_t owner,
                                               Deadline deadline) {
  if (!handle->inode->range_owners.contains(owner)) co_return Result<void>();
  const OwnerKey key{handle->inode->id, owner};
  std::shared_ptr<Limiter> order = OrderOf(key);
  auto turn = co_await order->Take(1, deadline.left_ms());
  Result<void> freed = Fail(Errc::kTimedOut, "waited for the owner's last request");
  if (turn) {
    wire::MetaRequest meta;
    meta.mutable_release_locks()->set_inode(Raw(handle->inode->id));
    meta.mutable_release_locks()->set_owner(owner);
    auto reply = co_await link_.Call(std::move(meta), deadline);
    freed = reply ? Result<void>() : Result<void>(Fail(reply.error()));
  }
  turn.reset();
  order.reset();
  ForgetOrder(key);
  if (!freed) co_return freed;
  handle->inode->range_owners.erase(owner);
  handle->inode->held.FreeOwner(wire::LOCK_RANGE, owner);
  co_return Result<void>();
}

void Locks::Granted(const wire::GrantPush& push) {
  const auto found = waits_.find(push.waiter());
  const auto wait = found == waits_.end() ? nullptr : found->second.lock();
  // One that was interrupted is freed by whoever withdrew it.
  if (!wait || SessionId{push.session()} != link_.session()) return;
  wait->granted = true;
  wait->changed.NotifyAll();
}

void Locks::WakeAll() {
  for (const auto& [waiter, weak] : waits_) {
    if (const auto wait = weak.lock()) wait->changed.NotifyAll();
  }
}

}  // namespace ringfs::client
