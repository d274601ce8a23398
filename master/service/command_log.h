#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/result.h"
#include "master/service/unflushed.h"
#include "master/state/state_machine.h"

namespace ringfs::master {

// The way of every change into the state machine: applied at once, on disk with the next group.
// While one group is being written the next one gathers. A group begins as soon as somebody waits for
// it; of changes that their sessions keep (MetaRequest.keeps) nobody need, and they gather longer. With several masters, this is where the
// commands would be agreed upon; neither the state machine nor the callers would know.
//
// Owns:      one thread, which writes to the disk.
// Threads:   everything is called on `executor`, which one thread runs; Stop() too.
// Invariant: groups reach the disk in the order of their commands.
class CommandLog {
 public:
  struct Listener {
    virtual ~Listener() = default;
    // At once, with each command that was applied.
    virtual void Applied(const Events& events) = 0;
    // A session that keeps its changes has ended waits of its own by one of them.
    virtual void Granted(const std::vector<wire::GrantPush>& grants) = 0;
    // When a group is on the disk, after the replies that waited for it: what it made known.
    virtual void Durable(const Events& events) = 0;
    // The disk has failed: nothing is answered any more, the program has to end.
    virtual void DiskFailed(const Error& error) = 0;
  };

  // Changes that nobody waits for gather for `gather_ms`: what is lost with the master is what the
  // sessions have to say again.
  CommandLog(asio::any_io_executor executor, StateMachine& state, const Clock& clock,
             uint64_t seed, int64_t gather_ms);
  ~CommandLog();
  CommandLog(const CommandLog&) = delete;
  CommandLog& operator=(const CommandLog&) = delete;

  // Set once, before the first command.
  void SetListener(Listener& listener) { listener_ = &listener; }

  // Counts commands and the groups that they reach the disk in.
  void CountIn(Metrics& metrics);

  // Stamps `command` with time and random number and applies it. What comes out may be told to
  // nobody before WaitDurable(), but, with Outcome::tell_now, to its session.
  Outcome Apply(wire::Command& command);
  // Returns when everything applied before the call is on the disk; at once if it is.
  asio::awaitable<void> WaitDurable() { return WaitDurable(state_.applied()); }
  // When the changes up to this number are.
  asio::awaitable<void> WaitDurable(uint64_t number);
  // The number of the newest change, and of the newest that is on the disk.
  uint64_t applied() const { return state_.applied(); }
  uint64_t flushed() const { return durable_; }
  // What is not on the disk, and for whom that matters.
  const Unflushed& unflushed() const { return unflushed_; }

  // The newest epoch of the cluster map that is on the disk.
  uint64_t durable_epoch() const { return durable_epoch_; }
  // By the master's clock, never less than a time already given to a change.
  int64_t TimeNs() const;

  // Waits for the group that is being written, if any, and writes what has gathered since. Nothing
  // may be applied after it. Blocks.
  void Stop();
  // As if the program were killed: nothing more is written. Blocks while a group is.
  void Abandon();

 private:
  struct Waiter {
    uint64_t index;
    std::function<void()> resume;
  };

  bool MayTellNow(const wire::Command& command, const Outcome& outcome,
                  const std::vector<InodeId>& touched) const;
  void Note(const wire::Command& command, Outcome& outcome);
  void TellOwnGrants(SessionId session, Events& events);
  void GatherForAWhile();
  void GatherThenCommit();
  void CommitGroup();
  void GroupWritten();
  bool TakeWritten();
  void WakeWaiters();

  asio::any_io_executor executor_;
  StateMachine& state_;
  const Clock& clock_;
  Listener* listener_ = nullptr;
  std::mt19937_64 random_;
  const std::chrono::milliseconds gather_;

  Unflushed unflushed_;
  Counter* commands_ = nullptr;        // null: nobody counts
  Counter* told_now_ = nullptr;
  Histogram* commit_seconds_ = nullptr;
  bool committing_ = false;                    // a group is being written, or is about to be
  bool awaited_ = false;                       // by somebody: what has gathered since
  bool gathering_ = false;                     // until the timer says so
  asio::steady_timer gathered_long_;
  bool stopped_ = false;                       // by Stop() or by a failure of the disk
  Overlay::Batch batch_;                       // being written; the writer's thread has it
  std::optional<Result<void>> batch_written_;  // set by the writer's thread when it is done
  uint64_t batch_epoch_ = 0;
  Events batch_events_;
  Events gathered_events_;
  uint64_t durable_ = 0;
  uint64_t durable_epoch_ = 0;
  std::deque<Waiter> waiters_;  // by growing index
  asio::thread_pool writer_{1};
  // Handlers that are still queued on the executor hold it weakly, so that they find us gone.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace ringfs::master
