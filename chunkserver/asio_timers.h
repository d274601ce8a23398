#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
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
    auto timer = std::make_shared<asio::steady_timer>(executor_, std::chrono::milliseconds(ms));
    timer->async_wait([timer, then = std::move(then)](const std::error_code&) { then(); });
  }

 private:
  asio::any_io_executor executor_;
  const Clock& clock_;
};

}  // namespace ringfs::chunkserver
