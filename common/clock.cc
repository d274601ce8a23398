#include "common/clock.h"

#include <ctime>

namespace ringfs {
namespace {

int64_t Read(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

}  // namespace

int64_t SystemClock::WallNs() const { return Read(CLOCK_REALTIME); }
int64_t SystemClock::MonotonicNs() const { return Read(CLOCK_BOOTTIME); }

}  // namespace ringfs
