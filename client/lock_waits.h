#pragma once

#include <algorithm>
#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "client/filesystem.h"
#include "common/async.h"
#include "common/result.h"

namespace ringfs::client {

// A request for a lock that may have to wait for others.
struct LockWait {
  // Who has it in a queue.
  enum class Queue { kNone, kMaster, kHere };

  LockWait(const asio::any_io_executor& executor, uint64_t its_number, LockRequest what)
      : changed(executor), number(its_number), request(what) {}

  Event changed;
  const uint64_t number;  // given to the master, and used once
  const LockRequest request;
  Queue queue = Queue::kNone;
  uint64_t place = 0;  // in it: by LockWaits
  bool moving = false;   // from one queue to the other: nothing is to be done to it meanwhile
  bool granted = false;
  bool left = false;  // by its caller, who was interrupted: somebody else ends it
  std::optional<Error> failed;
  int64_t since_ns = 0;   // when it came into a queue here
  uint64_t connects = 0;  // as of MasterLink, when the master was asked
};

// The requests that are under way.
//
// Threads: only from the executor.
class LockWaits {
 public:
  explicit LockWaits(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  std::shared_ptr<LockWait> Add(const LockRequest& request) {
    const uint64_t number = ++last_number_;
    return waits_[number] = std::make_shared<LockWait>(executor_, number, request);
  }
  void Queue(LockWait& wait, LockWait::Queue queue) {
    wait.queue = queue;
    wait.place = ++last_place_;
  }
  void Remove(const LockWait& wait) { waits_.erase(wait.number); }
  // Null: it has ended.
  std::shared_ptr<LockWait> Find(uint64_t number) const {
    const auto found = waits_.find(number);
    return found == waits_.end() ? nullptr : found->second;
  }
  // In their order.
  std::vector<std::shared_ptr<LockWait>> Flocks(InodeId inode, LockWait::Queue queue) const {
    std::vector<std::shared_ptr<LockWait>> found;
    for (const auto& [number, wait] : waits_) {
      const LockRequest& request = wait->request;
      if (request.inode != inode || request.kind != wire::LOCK_FLOCK) continue;
      if (wait->queue == queue && !wait->granted) found.push_back(wait);
    }
    std::ranges::sort(found, {}, &LockWait::place);
    return found;
  }
  void WakeAll() {
    for (const auto& [number, wait] : waits_) wait->changed.NotifyAll();
  }

 private:
  asio::any_io_executor executor_;
  std::map<uint64_t, std::shared_ptr<LockWait>> waits_;
  uint64_t last_number_ = 0;
  uint64_t last_place_ = 0;
};

}  // namespace ringfs::client
