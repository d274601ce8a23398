#include "client/told_flocks.h"

#include <gtest/gtest.h>

#include <random>

#include "client/lock_calls.h"
#include "common/locks/lock_table.h"

namespace ringfs::client {
namespace {

constexpr InodeId kLocked{7};
constexpr SessionId kSession{1};

LockRequest Flock(uint64_t owner, wire::LockType type) {
  LockRequest request;
  request.inode = kLocked;
  request.kind = wire::LOCK_FLOCK;
  request.type = type;
  request.owner = owner;
  request.handle = HandleId{owner + 100};
  request.last = INT64_MAX;
  return request;
}

Result<wire::SetLockReply> Set(LockTable& table, const LockRequest& request) {
  LockChanges changes;
  const SetLockAnswer answer = table.Set(kSession, MessageOf(request, 0), 0, changes);
  if (answer.error != Errc::kOk) return Fail(answer.error);
  return wire::SetLockReply();
}

std::string Shown(const LockTable& table) {
  std::string shown;
  for (const wire::LockInfo& lock : table.List(kLocked)) {
    shown += std::to_string(lock.owner()) + wire::LockType_Name(lock.type()) + " ";
  }
  return shown;
}

TEST(ToldFlocksTest, BringsTheMasterToWhatIsHeldWithoutAConflict) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    LockTable here;
    LockTable master;
    ToldFlocks told;
    for (int round = 0; round < 20; ++round) {
      for (uint64_t changes = random() % 6; changes > 0; --changes) {
        (void)Set(here, Flock(random() % 4, static_cast<wire::LockType>(random() % 3)));
      }
      for (int told_of = 0; auto next = told.Next(kLocked, here.List(kLocked)); ++told_of) {
        ASSERT_LT(told_of, 10);
        const auto set = Set(master, *next);
        ASSERT_TRUE(set) << set.error().ToString();
        // An answer may be lost.
        const bool lost = random() % 8 == 0;
        told.Answered(*next, lost ? Result<wire::SetLockReply>(Fail(Errc::kTimedOut)) : set);
      }
      ASSERT_EQ(Shown(master), Shown(here));
    }
  }
}

TEST(ToldFlocksTest, HoldsOnlyWhatIsSure) {
  ToldFlocks told;
  told.Answered(Flock(1, wire::LOCK_SHARED), wire::SetLockReply());
  told.Answered(Flock(2, wire::LOCK_SHARED), Fail(Errc::kTimedOut));
  told.Answered(Flock(3, wire::LOCK_SHARED), Fail(Errc::kNoLocks));
  wire::SetLockReply queued;
  queued.set_queued(true);
  told.Answered(Flock(4, wire::LOCK_EXCLUSIVE), queued);

  ASSERT_EQ(told.Held(kLocked).size(), 1u);
  EXPECT_EQ(told.Held(kLocked)[0].owner, 1u);
  EXPECT_TRUE(told.Through(HandleId{102})) << "it may be held";
  EXPECT_FALSE(told.Through(HandleId{103}));

  // One that is held and cannot be converted at once is lost.
  told.Answered(Flock(1, wire::LOCK_EXCLUSIVE), Fail(Errc::kWouldBlock));
  EXPECT_TRUE(told.Held(kLocked).empty());
}

TEST(ToldFlocksTest, FreesWhatWasTakenThroughAFileThatIsClosed) {
  ToldFlocks told;
  told.Granted(Flock(1, wire::LOCK_SHARED));
  told.Granted(Flock(2, wire::LOCK_SHARED));

  told.Closed(HandleId{101}, true);
  told.Closed(HandleId{102}, false);

  EXPECT_TRUE(told.Held(kLocked).empty());
  const auto next = told.Next(kLocked, {});
  ASSERT_TRUE(next) << "it is not sure that this one is free";
  EXPECT_EQ(next->owner, 2u);
  EXPECT_EQ(next->type, wire::LOCK_UNLOCK);
}

}  // namespace
}  // namespace ringfs::client
