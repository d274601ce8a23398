#include "common/locks/lock_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/common/lock_support.h"

namespace ringfs {
namespace {

const Who kA{.session = 1, .owner = 1};
const Who kB{.session = 2, .owner = 1};
const Who kC{.session = 3, .owner = 1};

TEST(LockTable, SplitsAndMergesTheRangesOfAnOwner) {
  struct Step {
    wire::LockType type;
    uint64_t start;
    uint64_t last;
  };
  struct Case {
    const char* name;
    std::vector<Step> steps;
    std::string held;
  };
  const wire::LockType S = wire::LOCK_SHARED;
  const wire::LockType X = wire::LOCK_EXCLUSIVE;
  const wire::LockType U = wire::LOCK_UNLOCK;
  const Case cases[] = {
      {"one", {{X, 5, 9}}, "X 5-9 1/1"},
      {"one byte at the end",
       {{X, kMaxLockOffset, kMaxLockOffset}},
       "X 9223372036854775807-end 1/1"},
      {"again", {{X, 5, 9}, {X, 5, 9}}, "X 5-9 1/1"},
      {"adjacent above", {{X, 5, 9}, {X, 10, 12}}, "X 5-12 1/1"},
      {"adjacent below", {{X, 5, 9}, {X, 0, 4}}, "X 0-9 1/1"},
      {"a gap of one", {{X, 5, 9}, {X, 11, 12}}, "X 5-9 1/1, X 11-12 1/1"},
      {"the gap filled", {{X, 5, 9}, {X, 11, 12}, {X, 10, 10}}, "X 5-12 1/1"},
      {"overlap", {{S, 5, 9}, {S, 8, 20}}, "S 5-20 1/1"},
      {"inside", {{S, 5, 20}, {S, 8, 9}}, "S 5-20 1/1"},
      {"around many", {{S, 1, 1}, {S, 3, 3}, {S, 5, 5}, {S, 0, 9}}, "S 0-9 1/1"},
      {"to the end", {{S, 5, 9}, {S, 0, kMaxLockOffset}}, "S 0-end 1/1"},
      {"other types do not merge", {{S, 5, 9}, {X, 10, 12}}, "S 5-9 1/1, X 10-12 1/1"},
      {"upgrade of the middle", {{S, 0, 9}, {X, 4, 5}}, "S 0-3 1/1, X 4-5 1/1, S 6-9 1/1"},
      {"upgrade of the head", {{S, 0, 9}, {X, 0, 5}}, "X 0-5 1/1, S 6-9 1/1"},
      {"upgrade of the tail", {{S, 0, 9}, {X, 5, 20}}, "S 0-4 1/1, X 5-20 1/1"},
      {"downgrade of all", {{X, 0, 9}, {S, 0, 9}}, "S 0-9 1/1"},
      {"downgrade merges both sides", {{S, 0, 9}, {X, 4, 5}, {S, 4, 5}}, "S 0-9 1/1"},
      {"unlock of the middle", {{X, 0, 9}, {U, 4, 5}}, "X 0-3 1/1, X 6-9 1/1"},
      {"unlock of the head", {{X, 0, 9}, {U, 0, 5}}, "X 6-9 1/1"},
      {"unlock of the tail", {{X, 0, 9}, {U, 5, 90}}, "X 0-4 1/1"},
      {"unlock to the end", {{X, 0, 9}, {S, 20, 30}, {U, 5, kMaxLockOffset}}, "X 0-4 1/1"},
      {"unlock of all", {{X, 2, 9}, {S, 20, 30}, {U, 0, kMaxLockOffset}}, ""},
      {"unlock beside", {{X, 5, 9}, {U, 0, 4}, {U, 10, 12}}, "X 5-9 1/1"},
      {"unlock of nothing", {{U, 0, 4}}, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    LockBench bench;

    for (const Step& step : c.steps) {
      EXPECT_EQ(bench.Set(kA, step.type, step.start, step.last), "granted");
    }

    EXPECT_EQ(bench.Listing(), c.held);
    bench.Restart();
    EXPECT_EQ(bench.Listing(), c.held);
  }
}

TEST(LockTable, ExcludesOtherOwnersOnly) {
  struct Case {
    const char* name;
    wire::LockType held;
    wire::LockType asked;
    Who who;
    uint64_t start;
    std::string answer;
  };
  const wire::LockType S = wire::LOCK_SHARED;
  const wire::LockType X = wire::LOCK_EXCLUSIVE;
  const Case cases[] = {
      {"shared with shared", S, S, kB, 5, "granted"},
      {"shared with exclusive", S, X, kB, 5, "WouldBlock"},
      {"exclusive with shared", X, S, kB, 5, "WouldBlock"},
      {"exclusive with exclusive", X, X, kB, 5, "WouldBlock"},
      {"behind it", X, X, kB, 10, "granted"},
      {"the same owner", X, X, kA, 5, "granted"},
      {"another owner of the session", X, X, {.session = 1, .owner = 2}, 5, "WouldBlock"},
      {"another inode", X, X, {.session = 2, .owner = 1, .inode = 8}, 5, "granted"},
      {"another kind", X, X, Flock(2), 0, "granted"},
      {"another kind with an equal number", X, X, Flock(1), 0, "granted"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    LockBench bench;
    ASSERT_EQ(bench.Set(kA, c.held, 0, 9), "granted");

    EXPECT_EQ(bench.Set(c.who, c.asked, c.start, 20), c.answer);
  }
}

TEST(LockTable, RefusesWhatMakesNoSense) {
  LockBench bench;
  EXPECT_EQ(bench.Exclusive(kA, 9, 5), "Invalid");
  EXPECT_EQ(bench.Exclusive(kA, 0, kMaxLockOffset + 1), "Invalid");
  EXPECT_EQ(bench.Set(kA, static_cast<wire::LockType>(9), 0, 1), "Invalid");
  Who odd = kA;
  odd.kind = static_cast<wire::LockKind>(9);
  EXPECT_EQ(bench.Exclusive(odd, 0, 1), "Invalid");
  EXPECT_EQ(bench.Listing(), "");

  ASSERT_EQ(bench.Exclusive(kA, 0, 1), "granted");
  ASSERT_EQ(bench.Exclusive(kB, 0, 1, 11), "queued");
  EXPECT_EQ(bench.Exclusive(kB, 5, 6, 11), "Invalid") << "a waiter's number is used once";
}

TEST(LockTable, RefusesMoreThanItsBound) {
  LockTable table(2);
  wire::SetLock ask;
  ask.set_inode(1);
  ask.set_type(wire::LOCK_SHARED);
  LockChanges changes;
  for (uint64_t owner = 1; owner <= 2; ++owner) {
    ask.set_owner(owner);
    EXPECT_EQ(table.Set(SessionId{1}, ask, 1, changes).error, Errc::kOk);
  }

  ask.set_owner(3);
  EXPECT_EQ(table.Set(SessionId{1}, ask, 1, changes).error, Errc::kNoLocks);

  ask.set_type(wire::LOCK_UNLOCK);
  ask.set_owner(1);
  EXPECT_EQ(table.Set(SessionId{1}, ask, 1, changes).error, Errc::kOk);
  EXPECT_EQ(table.size(), 1u);
}

TEST(LockTable, TellsTheFirstLockThatIsInTheWay) {
  LockBench bench;
  bench.Shared({.session = 1, .owner = 1, .pid = 41}, 50, 59);
  bench.Exclusive({.session = 2, .owner = 1, .pid = 42}, 70, 79);
  bench.Shared({.session = 2, .owner = 2, .pid = 43}, 55, 60);
  struct Case {
    const char* name;
    Who who;
    wire::LockType type;
    uint64_t start;
    uint64_t last;
    int32_t pid;  // 0: nothing
  };
  const wire::LockType S = wire::LOCK_SHARED;
  const wire::LockType X = wire::LOCK_EXCLUSIVE;
  const Case cases[] = {
      {"before all", kC, X, 0, 49, 0},
      {"exclusive over all", kC, X, 0, 99, 41},
      {"exclusive, the second", kC, X, 60, 99, 43},
      {"shared over all", kC, S, 0, 99, 42},
      {"shared on shared", kC, S, 50, 69, 0},
      {"the holder's own", kA, X, 50, 54, 0},
      {"behind the holder's own", kA, X, 50, 99, 43},
      {"shared, the holder's own", kB, S, 0, kMaxLockOffset, 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    wire::TestLock ask;
    ask.set_inode(7);
    ask.set_type(c.type);
    ask.set_owner(c.who.owner);
    ask.set_start(c.start);
    ask.set_last(c.last);

    Result<wire::TestLockReply> reply = bench.table().Test(SessionId{c.who.session}, ask);

    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->blocked(), c.pid != 0);
    EXPECT_EQ(reply->pid(), c.pid);
    if (c.pid == 42) {
      EXPECT_EQ(reply->type(), wire::LOCK_EXCLUSIVE);
      EXPECT_EQ(reply->start(), 70u);
      EXPECT_EQ(reply->last(), 79u);
      EXPECT_EQ(reply->session(), 2u);
    }
  }
  wire::TestLock unlock;
  unlock.set_type(wire::LOCK_UNLOCK);
  EXPECT_EQ(bench.table().Test(SessionId{1}, unlock).code(), Errc::kInvalid);
}

TEST(LockTable, KeepsARangeLockWhileItsUpgradeWaits) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(kA, 0, 9), "granted");
  ASSERT_EQ(bench.Shared(kB, 0, 9), "granted");

  EXPECT_EQ(bench.Exclusive(kA, 0, 9), "WouldBlock");
  EXPECT_EQ(bench.Exclusive(kA, 0, 9, 11), "queued");

  EXPECT_EQ(bench.Listing(), "S 0-9 1/1, S 0-9 2/1, X? 0-9 1/1");
  bench.Unlock(kB, 0, 9);
  EXPECT_EQ(bench.TakeGrants(), "1/11");
  EXPECT_EQ(bench.Listing(), "X 0-9 1/1");
}

TEST(LockTable, ConvertsAnFlockInPlaceWhenNobodyElseHoldsIt) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Flock(1), 0, 0), "granted");
  ASSERT_EQ(bench.Exclusive(Flock(2), 0, 0, 21), "queued");

  EXPECT_EQ(bench.Exclusive(Flock(1), 0, 0), "granted");
  EXPECT_EQ(bench.TakeGrants(), "");
  EXPECT_EQ(bench.Shared(Flock(1), 0, 0), "granted");
  EXPECT_EQ(bench.Listing(), "S 0-end 1/1, X? 0-end 2/1");
  bench.Unlock(Flock(1), 0, 0);
  EXPECT_EQ(bench.TakeGrants(), "2/21");
}

TEST(LockTable, LosesAnFlockThatCannotBeConverted) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Flock(1), 0, 0), "granted");
  ASSERT_EQ(bench.Shared(Flock(2), 0, 0), "granted");

  EXPECT_EQ(bench.Exclusive(Flock(1), 0, 0), "WouldBlock");
  EXPECT_EQ(bench.Listing(), "S 0-end 2/1");
}

TEST(LockTable, LetsTwoFlocksUpgradeOneAfterTheOther) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Flock(1), 0, 0), "granted");
  ASSERT_EQ(bench.Shared(Flock(2), 0, 0), "granted");

  EXPECT_EQ(bench.Exclusive(Flock(1), 0, 0, 11), "queued");
  EXPECT_EQ(bench.Exclusive(Flock(2), 0, 0, 21), "granted") << "the other's shared one is lost";

  bench.Unlock(Flock(2), 0, 0);
  EXPECT_EQ(bench.TakeGrants(), "1/11");
}

TEST(LockTable, QueuesAnFlockThatWasLostBehindTheOthers) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Flock(1), 0, 0), "granted");
  ASSERT_EQ(bench.Shared(Flock(2), 0, 0), "granted");
  ASSERT_EQ(bench.Exclusive(Flock(3), 0, 0, 31), "queued");

  EXPECT_EQ(bench.Exclusive(Flock(1), 0, 0, 11), "queued");
  EXPECT_EQ(bench.Listing(), "S 0-end 2/1, X? 0-end 3/1, X? 0-end 1/1");

  bench.Unlock(Flock(2), 0, 0);
  EXPECT_EQ(bench.TakeGrants(), "3/31");
  bench.Unlock(Flock(3), 0, 0);
  EXPECT_EQ(bench.TakeGrants(), "1/11");
}

TEST(LockTable, FreesWhatACloseFrees) {
  LockBench bench;
  Who process{.session = 1, .owner = 1, .handle = 5};
  Who file{.session = 1, .owner = 77, .handle = 5, .kind = wire::LOCK_FLOCK};
  Who description{.session = 1, .owner = 78, .handle = 6};
  Who elsewhere{.session = 2, .owner = 1, .handle = 5};
  ASSERT_EQ(bench.Exclusive(process, 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(file, 0, 0), "granted");
  ASSERT_EQ(bench.Exclusive(description, 20, 29), "granted");
  ASSERT_EQ(bench.Exclusive(elsewhere, 40, 49), "granted");
  ASSERT_EQ(bench.Exclusive(process, 20, 29, 51), "queued");

  bench.CloseOwner(process);
  EXPECT_EQ(bench.Listing(), "X 20-29 1/78, X 40-49 2/1, X? 20-29 1/1, X 0-end 1/77")
      << "waits stay, flocks too";

  bench.CloseHandle(process);
  EXPECT_EQ(bench.Listing(), "X 20-29 1/78, X 40-49 2/1");
  bench.CloseHandle(description);
  EXPECT_EQ(bench.Listing(), "X 40-49 2/1");
  EXPECT_EQ(bench.TakeGrants(), "");
}

TEST(LockTable, FreesAllOfASession) {
  LockBench bench;
  Who other_inode{.session = 1, .owner = 2, .inode = 8};
  ASSERT_EQ(bench.Exclusive(kA, 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(other_inode, 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(Flock(1), 0, 0), "granted");
  ASSERT_EQ(bench.Exclusive(kB, 0, 9, 21), "queued");
  ASSERT_EQ(bench.Exclusive(kC, 0, 9, 31), "queued");
  ASSERT_EQ(bench.Exclusive({.session = 1, .owner = 3}, 0, 9, 12), "queued");
  ASSERT_EQ(bench.Exclusive({.session = 2, .owner = 1, .inode = 8}, 5, 5, 22), "queued");
  EXPECT_EQ(bench.table().SizeOf(SessionId{1}), 4u);

  bench.EndSession(1);

  EXPECT_EQ(bench.TakeGrants(), "2/21 2/22");
  EXPECT_EQ(bench.Listing(), "X 0-9 2/1, X? 0-9 3/1");
  EXPECT_EQ(bench.table().SizeOf(SessionId{1}), 0u);
  bench.EndSession(1);
  bench.EndSession(2);
  EXPECT_EQ(bench.TakeGrants(), "3/31");
  bench.EndSession(3);
  EXPECT_EQ(bench.table().size(), 0u);
  EXPECT_TRUE(bench.stored().empty());
}

TEST(LockTable, FreesAllOfASessionOnOneInode) {
  LockTable table;
  LockChanges changes;
  auto set = [&](uint64_t session, uint64_t inode, uint64_t owner, uint64_t waiter) {
    wire::SetLock ask;
    ask.set_inode(inode);
    ask.set_kind(wire::LOCK_FLOCK);
    ask.set_type(wire::LOCK_EXCLUSIVE);
    ask.set_owner(owner);
    ask.set_wait(waiter != 0);
    ask.set_waiter(waiter);
    table.Set(SessionId{session}, ask, 0, changes);
  };
  set(1, 7, 1, 0);
  set(1, 7, 2, 1);
  set(1, 8, 1, 0);
  EXPECT_TRUE(table.OnlyOf(SessionId{1}, InodeId{7}, wire::LOCK_FLOCK));
  EXPECT_FALSE(table.OnlyOf(SessionId{2}, InodeId{7}, wire::LOCK_FLOCK));
  EXPECT_TRUE(table.OnlyOf(SessionId{2}, InodeId{7}, wire::LOCK_RANGE));
  set(2, 7, 1, 5);
  EXPECT_FALSE(table.OnlyOf(SessionId{1}, InodeId{7}, wire::LOCK_FLOCK));

  changes = {};
  table.ReleaseAll(SessionId{1}, InodeId{7}, 0, changes);

  ASSERT_EQ(changes.granted.size(), 1u) << "its own wait is not granted on the way";
  EXPECT_EQ(changes.granted[0].session(), 2u);
  EXPECT_TRUE(table.OnlyOf(SessionId{2}, InodeId{7}, wire::LOCK_FLOCK));
  EXPECT_EQ(table.SizeOf(SessionId{1}), 1u);
}

TEST(LockTable, ListsWhatIsKnownOfALock) {
  LockBench bench;
  Who who{.session = 4, .owner = 6, .pid = 99, .handle = 3, .inode = 12};
  ASSERT_EQ(bench.Exclusive(who, 10, 19), "granted");
  ASSERT_EQ(bench.Shared({.session = 5, .owner = 1, .inode = 12}, 0, 99, 8), "queued");
  ASSERT_EQ(bench.Shared({.session = 5, .owner = 1, .inode = 13}, 0, 99), "granted");

  std::vector<wire::LockInfo> list = bench.table().List(InodeId{12});

  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].inode(), 12u);
  EXPECT_EQ(list[0].session(), 4u);
  EXPECT_EQ(list[0].owner(), 6u);
  EXPECT_EQ(list[0].pid(), 99);
  EXPECT_EQ(list[0].handle(), 3u);
  EXPECT_GT(list[0].grant(), 0u);
  EXPECT_EQ(list[0].since_ns(), 1001);
  EXPECT_FALSE(list[0].waiting());
  EXPECT_TRUE(list[1].waiting());
  EXPECT_EQ(list[1].since_ns(), 1002);
  EXPECT_EQ(bench.table().List(std::nullopt).size(), 3u);
}

TEST(LockTable, RefusesRecordsThatCannotStand) {
  auto record = [] {
    wire::LockRecord r;
    r.set_inode(1);
    r.set_id(5);
    r.set_session(1);
    r.set_owner(1);
    r.set_type(wire::LOCK_EXCLUSIVE);
    r.set_last(9);
    return r;
  };
  LockTable table;
  ASSERT_TRUE(table.Load(record()));
  EXPECT_EQ(table.counter(), 5u);

  wire::LockRecord same = record();
  EXPECT_EQ(table.Load(same).code(), Errc::kCorrupted);
  wire::LockRecord other = record();
  other.set_owner(2);
  EXPECT_EQ(table.Load(other).code(), Errc::kCorrupted);
  wire::LockRecord backwards = record();
  backwards.set_start(20);
  EXPECT_EQ(table.Load(backwards).code(), Errc::kCorrupted);
  wire::LockRecord unlock = record();
  unlock.set_type(wire::LOCK_UNLOCK);
  EXPECT_EQ(table.Load(unlock).code(), Errc::kCorrupted);
  wire::LockRecord wait = record();
  wait.set_id(6);
  wait.set_owner(2);
  wait.set_waiting(true);
  wait.set_waiter(3);
  EXPECT_TRUE(table.Load(wait));
  EXPECT_EQ(table.Load(wait).code(), Errc::kCorrupted);
  EXPECT_EQ(table.size(), 2u);
}

}  // namespace
}  // namespace ringfs
