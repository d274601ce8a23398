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

Failure Expired(SessionId session) {
  return Fail(Errc::kFenced, fmt::format("session {} has expired", Raw(session)));
}

bool IsFlock(const LockRequest& request) { return request.kind == wire::LOCK_FLOCK; }

void Remember(Handle& handle, const LockRequest& request) {
  HeldLocks& held = handle.inode->held;
  if (request.type == wire::LOCK_UNLOCK) {
    held.Free(request.kind, request.owner, request.start, request.last);
  } else {
    held.Take(handle.id, request.kind, request.owner, request.start, request.last);
  }
}

}  // namespace

Locks::Locks(asio::any_io_executor executor, const Clock& clock, MasterLink& link,
             Background& background, FlockHooks hooks)
    : executor_(executor),
      clock_(clock),
      link_(link),
      background_(background),
      calls_(link),
      waits_(executor),
      flocks_(executor, clock, link, calls_, waits_, background, std::move(hooks)) {}

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
  const auto wait = waits_.Add(request);
  std::shared_ptr<Limiter> order = OrderOf(key);
  auto turn = co_await order->Take(1, deadline.left_ms());
  Result<wire::SetLockReply> reply = Fail(Errc::kTimedOut, "waited for the owner's last request");
  if (turn) {
    auto sent = IsFlock(request) ? SendFlock(handle, wait, session, deadline)
                                 : Send(handle, wait, session, deadline);
    reply = co_await std::move(sent);
  }
  turn.reset();
  order.reset();
  ForgetOrder(key);
  Result<End> end = End::kGranted;
  if (!reply) {
    end = Fail(reply.error());
  } else if (reply->queued()) {
    end = co_await Await(wait, interrupt, session);
  }
  if (!reply && MayRetry(reply.code()) && request.wait && IsFlock(request) && !end) {
    // It may be in the master's queue, or come there.
    background_.Start(FinishUndo(request, wait->number, session), "lock that was not answered");
  }
  if (!wait->left) waits_.Remove(*wait);
  co_return end;
}

asio::awaitable<Result<wire::SetLockReply>> Locks::SendFlock(std::shared_ptr<Handle> handle,
                                                             std::shared_ptr<LockWait> wait,
                                                             SessionId session,
                                                             Deadline deadline) {
  const InodeId inode = wait->request.inode;
  const auto here = co_await flocks_.AreHere(inode, session, deadline);
  if (!here) co_return Fail(here.error());
  if (*here) co_return flocks_.Set(*wait);
  const Flocks::Hold hold(flocks_, inode, true);
  auto reply = co_await Send(handle, wait, session, deadline);
  if (session != link_.session()) co_return reply;
  flocks_.Answered(wait->request, reply);
  if (wait->granted) flocks_.GrantedAtMaster(*wait);  // the push has overtaken the answer
  co_return reply;
}

asio::awaitable<Result<wire::SetLockReply>> Locks::Send(std::shared_ptr<Handle> handle,
                                                        std::shared_ptr<LockWait> wait,
                                                        SessionId session, Deadline deadline) {
  if (session != link_.session()) co_return Expired(session);
  const LockRequest& request = wait->request;
  // Before it is sent: it may be taken although no answer comes.
  if (request.type != wire::LOCK_UNLOCK) {
    handle->had_locks = true;
    if (!IsFlock(request)) handle->inode->range_owners.insert(request.owner);
  }
  wait->connects = link_.connects();
  const bool may_lease = IsFlock(request) && flocks_.WantsLease(request.inode);
  const auto lease = may_lease ? LockCalls::Lease::kMayLease : LockCalls::Lease::kNone;
  auto reply = co_await calls_.Set(request, wait->number, lease, deadline);
  if (reply && reply->queued()) waits_.Queue(*wait, LockWait::Queue::kMaster);
  co_return reply;
}

asio::awaitable<Result<Locks::End>> Locks::Await(std::shared_ptr<LockWait> wait,
                                                 Interrupt interrupt, SessionId session) {
  interrupt.OnRaise([weak = std::weak_ptr(wait)] {
    if (const auto waiting = weak.lock()) waiting->changed.NotifyAll();
  });
  Result<End> end = End::kGranted;
  while (!wait->granted) {
    if (session != link_.session()) {
      end = Expired(session);
      break;
    }
    if (wait->failed) {
      end = Fail(*wait->failed);
      break;
    }
    if (interrupt.raised() && wait->moving) {
      wait->left = true;
      background_.Start(WithdrawLater(wait, session), "withdraw lock");
      end = Fail(Errc::kInterrupted);
      break;
    }
    if (interrupt.raised()) {
      end = co_await Withdraw(wait, session);
      break;
    }
    const bool asked = wait->moving || wait->queue == LockWait::Queue::kHere;
    if (asked || wait->connects == link_.connects()) {
      co_await wait->changed.Wait();
      continue;
    }
    // A push to the connection before may be lost.
    const uint64_t asked_at = link_.connects();
    auto status = co_await AskStatus(wait, session);
    if (!status && MayRetry(status.code())) continue;
    wait->connects = asked_at;
    if (status && !*status) continue;  // it still waits
    end = status ? Result<End>(**status) : Result<End>(Fail(status.error()));
    break;
  }
  interrupt.OnRaise({});
  co_return end;
}

// Nothing: it still waits.
asio::awaitable<Result<std::optional<Locks::End>>> Locks::AskStatus(std::shared_ptr<LockWait> wait,
                                                                    SessionId session) {
  const InodeId inode = wait->request.inode;
  std::optional<Flocks::Hold> hold;
  if (IsFlock(wait->request)) hold.emplace(flocks_, inode, false);
  auto status = co_await calls_.Status(inode, wait->number, Deadline(clock_, kAskTimeoutMs));
  if (!status) co_return Fail(status.error());
  if (status->deadlock()) co_return Fail(Errc::kDeadlock);
  if (status->waiting()) co_return std::optional<End>();
  if (!status->granted()) co_return std::optional<End>(End::kForgotten);
  if (hold && session == link_.session()) flocks_.GrantedAtMaster(*wait);
  co_return std::optional<End>(End::kGranted);
}

// Ends the wait; kInterrupted when neither the wait nor the lock is left.
asio::awaitable<Result<Locks::End>> Locks::Withdraw(std::shared_ptr<LockWait> wait,
                                                    SessionId session) {
  const LockRequest& request = wait->request;
  if (wait->queue == LockWait::Queue::kHere) {
    flocks_.Withdraw(*wait);
    co_return Fail(Errc::kInterrupted);
  }
  wait->queue = LockWait::Queue::kNone;
  auto undone = co_await Undo(request, wait->number, session, Deadline(clock_, kCancelTimeoutMs));
  if (!undone && undone.code() != Errc::kFenced && !background_.stopping()) {
    spdlog::warn("inode {}: a wait for a lock is still to be withdrawn: {}", Raw(request.inode),
                 undone.error().ToString());
    background_.Start(FinishUndo(request, wait->number, session), "withdraw lock");
  }
  co_return Fail(Errc::kInterrupted);
}

// As Withdraw(), when it is in a queue again. The owner's next request comes after it.
asio::awaitable<void> Locks::WithdrawLater(std::shared_ptr<LockWait> wait, SessionId session) {
  const OwnerKey key{wait->request.inode, wait->request.owner};
  std::shared_ptr<Limiter> order = OrderOf(key);
  auto turn = co_await order->Take(1, kAskTimeoutMs);
  while (wait->moving && session == link_.session()) co_await wait->changed.Wait();
  if (session == link_.session() && wait->granted) {
    LockRequest unlock = wait->request;
    unlock.type = wire::LOCK_UNLOCK;
    const auto freed = waits_.Add(unlock);
    auto sent = co_await SendFlock(nullptr, freed, session, Deadline(clock_, kAskTimeoutMs));
    waits_.Remove(*freed);
    if (!sent) spdlog::warn("inode {}: {}", Raw(unlock.inode), sent.error().ToString());
  } else if (session == link_.session() && !wait->failed) {
    (void)co_await Withdraw(wait, session);
  }
  waits_.Remove(*wait);
  turn.reset();
  order.reset();
  ForgetOrder(key);
}

// Withdraws the wait, or frees the lock if it was granted before.
asio::awaitable<Result<void>> Locks::Undo(LockRequest request, uint64_t waiter, SessionId session,
                                          Deadline deadline) {
  std::optional<Flocks::Hold> hold;
  if (IsFlock(request)) hold.emplace(flocks_, request.inode, false);
  auto granted = co_await calls_.Cancel(request.inode, waiter, deadline);
  if (!granted) co_return Fail(granted.error());
  if (!*granted) co_return Result<void>();
  LockRequest unlock = request;
  unlock.type = wire::LOCK_UNLOCK;
  unlock.wait = false;
  auto unlocked = co_await calls_.Set(unlock, 0, LockCalls::Lease::kNone, deadline);
  if (hold && session == link_.session()) flocks_.Answered(unlock, unlocked);
  if (!unlocked) co_return Fail(unlocked.error());
  co_return Result<void>();
}

// The owner's next request comes after it, since it may free what that one takes.
asio::awaitable<void> Locks::FinishUndo(LockRequest request, uint64_t waiter, SessionId session) {
  std::optional<Flocks::Hold> hold;
  if (IsFlock(request)) hold.emplace(flocks_, request.inode, false);
  const OwnerKey key{request.inode, request.owner};
  std::shared_ptr<Limiter> order = OrderOf(key);
  auto turn = co_await order->Take(1, kAskTimeoutMs);
  while (!background_.stopping() && session == link_.session()) {
    auto undone = co_await Undo(request, waiter, session, Deadline(clock_, kAskTimeoutMs));
    if (undone || !MayRetry(undone.code())) break;
    co_await background_.SleepMs(kReleasePauseMs);
  }
  turn.reset();
  order.reset();
  ForgetOrder(key);
}

asio::awaitable<Result<wire::TestLockReply>> Locks::Test(LockRequest request, Deadline deadline) {
  return calls_.Test(request, deadline);
}

asio::awaitable<Result<void>> Locks::FreeOwner(std::shared_ptr<Handle> handle, uint64_t owner,
                                               Deadline deadline) {
  if (!handle->inode->range_owners.contains(owner)) co_return Result<void>();
  const OwnerKey key{handle->inode->id, owner};
  std::shared_ptr<Limiter> order = OrderOf(key);
  auto turn = co_await order->Take(1, deadline.left_ms());
  Result<void> freed = Fail(Errc::kTimedOut, "waited for the owner's last request");
  if (turn) freed = co_await calls_.ReleaseOwner(handle->inode->id, owner, deadline);
  turn.reset();
  order.reset();
  ForgetOrder(key);
  if (!freed) co_return freed;
  handle->inode->range_owners.erase(owner);
  handle->inode->held.FreeOwner(wire::LOCK_RANGE, owner);
  co_return Result<void>();
}

asio::awaitable<Result<void>> Locks::Close(
    std::shared_ptr<Handle> handle,
    std::function<asio::awaitable<Result<void>>(bool frees_locks)> tell) {
  const InodeId inode = handle->inode->id;
  const SessionId session = link_.session();
  const bool knows = co_await flocks_.Close(inode, handle->id, handle->had_locks);
  if (!knows) co_return co_await tell(false);
  const Flocks::Hold hold(flocks_, inode, true);
  auto told = co_await tell(true);
  if (session == link_.session()) flocks_.Closed(inode, handle->id, static_cast<bool>(told));
  co_return told;
}

void Locks::Granted(const wire::GrantPush& push) {
  const auto wait = waits_.Find(push.waiter());
  // One that was interrupted is freed by whoever withdrew it.
  if (!wait || SessionId{push.session()} != link_.session()) return;
  if (IsFlock(wait->request)) return flocks_.GrantedAtMaster(*wait);
  wait->granted = true;
  wait->changed.NotifyAll();
}

void Locks::SessionLost() {
  flocks_.SessionLost();
  waits_.WakeAll();
}

}  // namespace ringfs::client
