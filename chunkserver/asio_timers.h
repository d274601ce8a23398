#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <utility>

#include "chunkserver/replication/seams.h"
#include "common/clock.h"

namespace ringfs::chunkserver {

// The machine's time. Threads: only from `executor`.
class AsioTimers final : public Timers {
 public:
  AsioTimers(asio::any_io_executor executor, const Clock& clock)
      : executor_(std::move(executor)), clock_(clock) {}

  int64_t NowMs() override { return clock_.MonotonicNs() / kNsPerMs; }
  void After(int64_t ms, std::function<void()> then) override {
    const auto timer =
        pending_->emplace(pending_->end(), executor_, std::chrono::milliseconds(ms));
    timer->async_wait([pending = pending_, timer, then = std::move(then)](const std::error_code&) {
      pending->erase(timer);
      then();
    });
  }
  // What waits goes on now.
  void Stop() {
    for (asio::steady_timer& timer : *pending_) timer.cancel();
  }

 private:
  asio::any_io_executor executor_;
  const Clock& clock_;
  std::shared_ptr<std::list<asio::steady_timer>> pending_ =
      std::make_shared<std::list<asio::steady_timer>>();
};

}  // namespace ringfs::chunkserver
