#pragma once

#include <cstdint>

namespace ringfs {

// Where time comes from, so that tests can bend it.
class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since 1970, by the machine's wall clock.
  virtual int64_t WallNs() const = 0;
  // Nanoseconds of a clock that never goes back and stands still for nobody (CLOCK_BOOTTIME).
  virtual int64_t MonotonicNs() const = 0;
};

// The machine's clocks.
class SystemClock final : public Clock {
 public:
  int64_t WallNs() const override;
  int64_t MonotonicNs() const override;
};

inline constexpr int64_t kNsPerMs = 1'000'000;
inline constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace ringfs
