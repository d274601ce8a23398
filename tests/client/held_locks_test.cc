#include "client/held_locks.h"

#include <gtest/gtest.h>

#include <array>
#include <bitset>
#include <cstdint>
#include <random>

namespace ringfs::client {
namespace {

constexpr HandleId kOne{1};
constexpr HandleId kTwo{2};

TEST(HeldLocksTest, KnowsThroughWhichHandleALockWasTaken) {
  HeldLocks held;
  held.Take(kOne, wire::LOCK_RANGE, 7, 0, 9);

  EXPECT_TRUE(held.Through(kOne));
  EXPECT_FALSE(held.Through(kTwo));
  held.Free(wire::LOCK_FLOCK, 7, 0, INT64_MAX);
  held.Free(wire::LOCK_RANGE, 8, 0, INT64_MAX);
  EXPECT_TRUE(held.Through(kOne));
  held.Free(wire::LOCK_RANGE, 7, 0, INT64_MAX);
  EXPECT_TRUE(held.empty());
}

TEST(HeldLocksTest, FreesThroughWhicheverHandle) {
  HeldLocks held;
  held.Take(kOne, wire::LOCK_RANGE, 7, 0, 9);
  held.Take(kTwo, wire::LOCK_RANGE, 7, 20, 29);

  held.Free(wire::LOCK_RANGE, 7, 5, 25);

  EXPECT_TRUE(held.Through(kOne));
  EXPECT_TRUE(held.Through(kTwo));
  held.Free(wire::LOCK_RANGE, 7, 0, 4);
  EXPECT_FALSE(held.Through(kOne));
  held.FreeHandle(kTwo);
  EXPECT_TRUE(held.empty());
}

// Ranges of one owner through two handles, against one bit for each byte.
TEST(HeldLocksTest, IsTheSetOfWhatWasTakenAndNotFreed) {
  constexpr uint64_t kBytes = 24;
  std::mt19937 random(1);
  HeldLocks held;
  std::array<std::bitset<kBytes>, 2> model;
  for (int step = 0; step < 20'000; ++step) {
    SCOPED_TRACE(step);
    const uint64_t start = random() % kBytes;
    const uint64_t last = start + random() % (kBytes - start);
    const size_t handle = random() % 2;
    const bool take = random() % 3 == 0;
    if (take) {
      held.Take(handle == 0 ? kOne : kTwo, wire::LOCK_RANGE, 7, start, last);
    } else {
      held.Free(wire::LOCK_RANGE, 7, start, last);
    }
    for (uint64_t byte = start; byte <= last; ++byte) {
      if (take) {
        model[handle].set(byte);
      } else {
        model[0].reset(byte);
        model[1].reset(byte);
      }
    }
    ASSERT_EQ(held.Through(kOne), model[0].any());
    ASSERT_EQ(held.Through(kTwo), model[1].any());
    ASSERT_EQ(held.empty(), model[0].none() && model[1].none());
  }
}

}  // namespace
}  // namespace ringfs::client
