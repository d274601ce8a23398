#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <memory>

#include "chunkserver/replication/seams.h"

namespace ringfs::chunkserver {

// Returns `ms` from now by `timers`.
asio::awaitable<void> Pause(Timers& timers, int64_t ms);

// Coroutines that run side by side, and a wait for the end of all. A group may be destroyed before
// they end; what they borrow must live until then.
class Group {
 public:
  explicit Group(asio::any_io_executor executor);
  void Start(asio::awaitable<void> job);
  asio::awaitable<void> Wait();

 private:
  struct State;
  asio::any_io_executor executor_;
  std::shared_ptr<State> state_;
};

}  // namespace ringfs::chunkserver
