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

// Lets requests wait until something has changed about what `Key` stands for. The waiter looks
// again by itself whether it may go on.
//
// Threads: only from `executor`.
template <typename Key>
class EventsOf {
 public:
  explicit EventsOf(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // Returns true at the next Notify() of `key`, false when `timeout_ms` have passed before.
  asio::awaitable<bool> WaitFor(Key key, int64_t timeout_ms);
  void Notify(Key key);
  // Wakes everybody.
  void NotifyAll();

 private:
  asio::any_io_executor executor_;
  // Entries stay as long as somebody waits on them.
  std::unordered_map<Key, std::weak_ptr<Event>> events_;
};

using InodeEvents = EventsOf<InodeId>;
using TicketEvents = EventsOf<uint64_t>;  // of waits in the table of leases

}  // namespace ringfs::master
