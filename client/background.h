#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <string_view>
#include <utility>

#include "common/async.h"

namespace ringfs::client {

// The coroutines that belong to no call of an application: keeping alive, fetching the map,
// finishing what a call gave up. Whoever owns what they use stops them and waits for their end.
//
// Threads: only from `executor`.
class Background {
 public:
  // Counts one that was not started here, as long as it exists.
  class Mark {
   public:
    explicit Mark(Background& background) : background_(background) { ++background_.running_; }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    ~Mark() {
      if (--background_.running_ == 0) background_.ended_.NotifyAll();
    }

   private:
    Background& background_;
  };

  explicit Background(asio::any_io_executor executor)
      : executor_(executor), stop_(executor), ended_(executor) {}

  void Start(asio::awaitable<void> work, std::string_view name) {
    Spawn(executor_, Run(std::move(work)), name);
  }

  bool stopping() const { return stopping_; }
  // Waits for `ms`, or until Stop() is called.
  asio::awaitable<void> SleepMs(int64_t ms) {
    if (!stopping_) co_await stop_.WaitFor(ms);
  }

  void Stop() {
    stopping_ = true;
    stop_.NotifyAll();
  }
  // Returns when all have ended.
  asio::awaitable<void> Join() {
    while (running_ > 0) co_await ended_.Wait();
  }

 private:
  asio::awaitable<void> Run(asio::awaitable<void> work) {
    Mark mark(*this);
    co_await std::move(work);
  }

  asio::any_io_executor executor_;
  Event stop_;
  Event ended_;
  uint64_t running_ = 0;
  bool stopping_ = false;
};

}  // namespace ringfs::client
