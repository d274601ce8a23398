#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>

#include "common/async.h"
#include "common/clock.h"
#include "common/errc.h"

namespace ringfs::client {

// When one operation of an application gives up. Made once, where the operation begins, and handed
// to everything that it does.
class Deadline {
 public:
  Deadline(const Clock& clock, int64_t timeout_ms)
      : clock_(&clock), at_ns_(clock.MonotonicNs() + timeout_ms * kNsPerMs) {}

  // 0 when it has passed.
  int64_t left_ms() const {
    const int64_t left_ns = at_ns_ - clock_->MonotonicNs();
    return left_ns <= 0 ? 0 : (left_ns + kNsPerMs - 1) / kNsPerMs;
  }
  const Clock& clock() const { return *clock_; }

 private:
  const Clock* clock_;
  int64_t at_ns_;
};

// The tries of one request. The only place in ringfs where something is tried again:
//   for (Retry retry(deadline);;) {
//     auto answer = co_await ...;
//     if (answer || !MayRetry(answer.code()) || !co_await retry.Pause(event)) co_return answer;
//   }
class Retry {
 public:
  explicit Retry(Deadline deadline) : deadline_(deadline) {}

  // Waits before the next try: longer each time, with jitter, and shorter when `early` is notified.
  // False, at once, when the deadline leaves no time for another try.
  asio::awaitable<bool> Pause(Event& early);

  const Deadline& deadline() const { return deadline_; }
  int64_t left_ms() const { return deadline_.left_ms(); }
  // How many times Pause() was called.
  int pauses() const { return pauses_; }

 private:
  Deadline deadline_;
  int pauses_ = 0;
};

// The pause before try number `pauses` + 1, without jitter: 2 ms, doubling up to 500 ms.
int64_t PauseMs(int pauses);

// Whether the same request may succeed when it is sent again: nobody said no, somebody was away.
bool MayRetry(Errc code);

// Whether the answer says that the map it was sent by is not the current one.
bool WantsNewMap(Errc code);

}  // namespace ringfs::client
