#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>

#include "common/async.h"
#include "common/ids.h"

namespace ringfs::master {

// Lets requests wait until something has changed about an inode. The waiter looks again by itself
// whether it may go on.
//
// Threads: only from `executor`.
class InodeEvents {
 public:
  explicit InodeEvents(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // Returns true at the next Notify() of `inode`, false when `timeout_ms` have passed before.
  asio::awaitable<bool> WaitFor(InodeId inode, int64_t timeout_ms);
  void Notify(InodeId inode);
  // Wakes everybody.
  void NotifyAll();

 private:
  asio::any_io_executor executor_;
  // Entries stay as long as somebody waits on them.
  std::unordered_map<InodeId, std::weak_ptr<Event>> events_;
};

}  // namespace ringfs::master
