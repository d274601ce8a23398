#include "client/retry.h"

#include <algorithm>

namespace ringfs::client {
namespace {

constexpr int64_t kFirstPauseMs = 2;
constexpr int64_t kLongestPauseMs = 500;

}  // namespace

int64_t PauseMs(int pauses) {
  const int doublings = std::clamp(pauses, 0, 8);
  return std::min(kLongestPauseMs, kFirstPauseMs << doublings);
}

asio::awaitable<bool> Retry::Pause(Event& early) {
  const int64_t left_ms = deadline_.left_ms();
  if (left_ms == 0) co_return false;
  const int64_t pause_ms = PauseMs(pauses_++);
  // The low digits of the clock are as good as dice for spreading the clients out.
  const int64_t jitter_ms = (deadline_.clock().MonotonicNs() / 1000) % (pause_ms / 2 + 1);
  co_await early.WaitFor(std::min(left_ms, pause_ms / 2 + 1 + jitter_ms));
  co_return deadline_.left_ms() > 0;
}

bool WantsNewMap(Errc code) {
  return code == Errc::kStaleEpoch || code == Errc::kNotHead || code == Errc::kNotServing;
}

bool MayRetry(Errc code) {
  return WantsNewMap(code) || code == Errc::kUnavailable || code == Errc::kTimedOut ||
         code == Errc::kUncommitted || code == Errc::kVersionMismatch || code == Errc::kNoServers;
}

}  // namespace ringfs::client
