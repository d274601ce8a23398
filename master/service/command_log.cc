#include "master/service/command_log.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

namespace ringfs::master {
namespace {

// MasterService::SkipNumbers() leaves room for them.
constexpr uint64_t kMostUnflushed = 1 << 16;

// The inode whose locks the request changes; 0: none.
InodeId InodeOfLocks(const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case wire::MetaRequest::kSetLock:
      return InodeId{request.set_lock().inode()};
    case wire::MetaRequest::kCancelLock:
      return InodeId{request.cancel_lock().inode()};
    case wire::MetaRequest::kReleaseLocks:
      return InodeId{request.release_locks().inode()};
    case wire::MetaRequest::kClose:
      return InodeId{request.close().inode()};
    default:
      return InodeId{0};
  }
}

void Append(Events& all, const Events& more) {
  all.grants.insert(all.grants.end(), more.grants.begin(), more.grants.end());
  all.orphaned.insert(all.orphaned.end(), more.orphaned.begin(), more.orphaned.end());
  all.cuts_settled.insert(all.cuts_settled.end(), more.cuts_settled.begin(),
                          more.cuts_settled.end());
  all.map_changed = all.map_changed || more.map_changed;
  all.garbage_added = all.garbage_added || more.garbage_added;
}

}  // namespace

CommandLog::CommandLog(asio::any_io_executor executor, StateMachine& state, const Clock& clock,
                       uint64_t seed, int64_t gather_ms)
    : executor_(std::move(executor)),
      state_(state),
      clock_(clock),
      random_(seed),
      gather_(gather_ms),
      gathered_long_(executor_),
      durable_(state.applied()),
      durable_epoch_(state.epoch()) {}

CommandLog::~CommandLog() { writer_.join(); }

void CommandLog::CountIn(Metrics& metrics) {
  commands_ = &metrics.AddCounter("ringfs_commands_total", "Changes of the state.");
  told_now_ = &metrics.AddCounter("ringfs_commands_answered_before_flush_total",
                                  "Changes that were answered before the disk had them.");
  commit_seconds_ = &metrics.AddHistogram(
      "ringfs_commit_seconds", "Writing a group of changes, with its flush of the disk.");
}

int64_t CommandLog::TimeNs() const { return std::max(clock_.WallNs(), state_.time_ns()); }

Outcome CommandLog::Apply(wire::Command& command) {
  RINGFS_CHECK(listener_ != nullptr);
  if (stopped_) {
    Outcome outcome;
    outcome.error = Errc::kUnavailable;
    outcome.detail = "the master is ending";
    return outcome;
  }
  command.set_time_ns(TimeNs());
  command.set_random(random_());
  Outcome outcome = state_.Apply(command);
  if (commands_ != nullptr) commands_->Add();
  Note(command, outcome);
  if (!outcome.held && !outcome.replayed) {
    Append(gathered_events_, outcome.events);
    listener_->Applied(outcome.events);
  }
  return outcome;
}

// The session must have heard of all that this rests upon and that is not on the disk: in the order
// of their numbers, since it says them again in the order in which it was answered.
bool CommandLog::MayTellNow(const wire::Command& command, const Outcome& outcome,
                            const std::vector<InodeId>& touched) const {
  const wire::MetaRequest& request = command.meta();
  if (!request.keeps() || outcome.error != Errc::kOk || outcome.replayed) return false;
  // Whether a directory may move depends on directories that are not touched.
  if (outcome.moved_directory) return false;
  if (state_.applied() - durable_ >= kMostUnflushed) return false;
  return unflushed_.NeededFor(SessionId{request.session()}, touched) <= durable_;
}

void CommandLog::Note(const wire::Command& command, Outcome& outcome) {
  if (outcome.held || outcome.replayed || !state_.NeedsCommit()) return;
  if (!command.has_meta()) {
    unflushed_.AddOfAll(state_.applied());
    return GatherThenCommit();
  }
  std::vector<InodeId> touched = outcome.touched;
  const InodeId locked = InodeOfLocks(command.meta());
  if (locked != InodeId{0}) touched.push_back(locked);
  outcome.tell_now = MayTellNow(command, outcome, touched);
  const SessionId told{outcome.tell_now ? command.meta().session() : 0};
  unflushed_.Add(state_.applied(), told, touched);
  if (outcome.tell_now && told_now_ != nullptr) told_now_->Add();
  if (outcome.tell_now) TellOwnGrants(told, outcome.events);
  // Others wait for a grant.
  if (!outcome.tell_now || !outcome.events.grants.empty()) return GatherThenCommit();
  GatherForAWhile();
}

// It says again what has ended the wait, and, unless the disk has it, the wait.
void CommandLog::TellOwnGrants(SessionId session, Events& events) {
  const auto own = std::ranges::stable_partition(events.grants, [&](const wire::GrantPush& grant) {
    return SessionId{grant.session()} != session;
  });
  if (own.empty()) return;
  listener_->Granted({own.begin(), own.end()});
  events.grants.erase(own.begin(), own.end());
}

void CommandLog::GatherForAWhile() {
  if (committing_ || stopped_ || std::exchange(gathering_, true)) return;
  gathered_long_.expires_after(gather_);
  gathered_long_.async_wait([this, alive = std::weak_ptr<char>(alive_)](const asio::error_code&) {
    if (alive.expired() || !std::exchange(gathering_, false)) return;
    if (state_.NeedsCommit()) GatherThenCommit();
  });
}

asio::awaitable<void> CommandLog::WaitDurable(uint64_t index) {
  if (index <= durable_) co_return;
  if (!committing_ || index > batch_.index) GatherThenCommit();
  auto enqueue = [this, index](auto handler) {
    auto held = std::make_shared<decltype(handler)>(std::move(handler));
    const auto place = std::ranges::upper_bound(waiters_, index, {}, &Waiter::index);
    waiters_.insert(place, Waiter{index, [held] { std::move (*held)(); }});
  };
  co_await asio::async_initiate<decltype(asio::use_awaitable), void()>(enqueue,
                                                                       asio::use_awaitable);
}

// The group is taken only after the requests that have already arrived were applied.
void CommandLog::GatherThenCommit() {
  awaited_ = true;
  if (committing_ || stopped_) return;
  committing_ = true;
  asio::post(executor_, [this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired() && !stopped_) CommitGroup();
  });
}

void CommandLog::CommitGroup() {
  awaited_ = false;
  batch_ = state_.TakeBatch();
  batch_epoch_ = state_.epoch();
  batch_events_ = std::exchange(gathered_events_, {});
  asio::post(writer_, [this, alive = std::weak_ptr<char>(alive_)] {
    // The destructor waits for this thread, so `this` is there; afterwards it may not be.
    const int64_t began_ns = commit_seconds_ == nullptr ? 0 : clock_.MonotonicNs();
    batch_written_ = state_.Commit(batch_);
    if (commit_seconds_ != nullptr) commit_seconds_->Observe(clock_.MonotonicNs() - began_ns);
    asio::post(executor_, [this, alive] {
      if (!alive.expired() && !stopped_) GroupWritten();
    });
  });
}

void CommandLog::GroupWritten() {
  if (!TakeWritten()) {
    stopped_ = true;
    return;
  }
  durable_ = batch_.index;
  durable_epoch_ = batch_epoch_;
  unflushed_.Flushed(durable_);
  committing_ = false;
  const Events events = std::exchange(batch_events_, {});
  if (state_.NeedsCommit()) awaited_ ? GatherThenCommit() : GatherForAWhile();
  WakeWaiters();
  listener_->Durable(events);
}

bool CommandLog::TakeWritten() {
  const Result<void> written = *std::exchange(batch_written_, std::nullopt);
  if (!written) {
    listener_->DiskFailed(written.error());
    return false;
  }
  state_.Committed();
  return true;
}

void CommandLog::WakeWaiters() {
  while (!waiters_.empty() && waiters_.front().index <= durable_) {
    const std::function<void()> resume = std::move(waiters_.front().resume);
    waiters_.pop_front();
    resume();
  }
}

void CommandLog::Abandon() {
  stopped_ = true;
  writer_.join();
}

void CommandLog::Stop() {
  if (stopped_) return;
  stopped_ = true;
  writer_.join();
  // The writer's thread may have finished a group that was not looked at any more.
  if (batch_written_ && !TakeWritten()) return;
  if (!state_.NeedsCommit()) return;
  batch_ = state_.TakeBatch();
  batch_written_ = state_.Commit(batch_);
  TakeWritten();
}

}  // namespace ringfs::master
