#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/rpc/channel.h"

namespace ringfs::rpc {

// A coroutine that is suspended until its call has ended.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // Runs it, here and now, up to its next suspension. Once only.
  virtual void Resume(Result<Answer> result) = 0;
};

// The calls of a channel that have not ended, by their correlation ids and by their deadlines.
class CallTable {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Expired {
    std::unique_ptr<Waiter> waiter;
    uint64_t id = 0;
    bool sent = false;
  };

  // Returns the id of the call, never 0 and never the same again.
  uint64_t Add(std::unique_ptr<Waiter> waiter, Time deadline);
  void MarkSent(uint64_t id);
  // Null when there is none: it has ended already.
  std::unique_ptr<Waiter> Take(uint64_t id);
  // In order of their deadlines.
  std::vector<Expired> TakeExpired(Time now);
  // In order of their ids.
  std::vector<std::unique_ptr<Waiter>> TakeSent();
  std::vector<std::unique_ptr<Waiter>> TakeAll();

  std::optional<Time> earliest() const;
  bool empty() const { return calls_.empty(); }

 private:
  struct Entry {
    std::unique_ptr<Waiter> waiter;
    Time deadline;
    bool sent = false;
  };

  std::vector<std::unique_ptr<Waiter>> TakeThose(bool unsent_too);

  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, Entry> calls_;
  std::set<std::pair<Time, uint64_t>> deadlines_;
};

}  // namespace ringfs::rpc
