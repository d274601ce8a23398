#include "master/service/command_log.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

namespace ringfs::master {
namespace {

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
                       uint64_t seed)
    : executor_(std::move(executor)),
      state_(state),
      clock_(clock),
      random_(seed),
      durable_(state.applied()),
      durable_epoch_(state.epoch()) {}

CommandLog::~CommandLog() { writer_.join(); }

void CommandLog::CountIn(Metrics& metrics) {
  commands_ = &metrics.AddCounter("ringfs_commands_total", "Changes of the state.");
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
  if (state_.NeedsCommit()) GatherThenCommit();
  if (!outcome.held && !outcome.replayed) {
    Append(gathered_events_, outcome.events);
    listener_->Applied(outcome.events);
  }
  return outcome;
}

asio::awaitable<void> CommandLog::WaitDurable() {
  const uint64_t index = state_.applied();
  if (index <= durable_) co_return;
  auto enqueue = [this, index](auto handler) {
    auto held = std::make_shared<decltype(handler)>(std::move(handler));
    waiters_.push_back(Waiter{index, [held] { std::move (*held)(); }});
  };
  co_await asio::async_initiate<decltype(asio::use_awaitable), void()>(enqueue,
                                                                       asio::use_awaitable);
}

// The group is taken only after the requests that have already arrived were applied.
void CommandLog::GatherThenCommit() {
  if (committing_ || stopped_) return;
  committing_ = true;
  asio::post(executor_, [this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired() && !stopped_) CommitGroup();
  });
}

void CommandLog::CommitGroup() {
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
  committing_ = false;
  const Events events = std::exchange(batch_events_, {});
  if (state_.NeedsCommit()) GatherThenCommit();
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
