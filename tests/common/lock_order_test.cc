#include <gtest/gtest.h>

#include <string>

#include "common/locks/lock_table.h"
#include "tests/common/lock_support.h"

namespace ringfs {
namespace {

constexpr uint64_t kEnd = kMaxLockOffset;

Who On(uint64_t session, uint64_t inode, uint64_t owner = 1) {
  return Who{.session = session, .owner = owner, .inode = inode};
}
Who Range(uint64_t session, uint64_t owner = 1) { return On(session, 7, owner); }

TEST(LockOrder, ServesWaitsInOrder) {
  for (wire::LockKind kind : {wire::LOCK_RANGE, wire::LOCK_FLOCK}) {
    LockBench bench;
    auto who = [kind](uint64_t session) {
      return Who{.session = session, .owner = 1, .kind = kind};
    };
    ASSERT_EQ(bench.Exclusive(who(1), 0, kEnd), "granted");
    for (uint64_t session = 2; session <= 5; ++session) {
      ASSERT_EQ(bench.Exclusive(who(session), 0, kEnd, session * 10), "queued");
    }
    for (uint64_t session = 1; session <= 4; ++session) {
      bench.Restart();
      bench.Unlock(who(session), 0, kEnd);
      EXPECT_EQ(bench.TakeGrants(),
                std::to_string(session + 1) + "/" + std::to_string((session + 1) * 10));
    }
  }
}

TEST(LockOrder, GrantsNeighbouringReadersTogether) {
  LockBench bench;
  ASSERT_EQ(bench.Exclusive(Range(1), 0, kEnd), "granted");
  ASSERT_EQ(bench.Shared(Range(2), 0, kEnd, 1), "queued");
  ASSERT_EQ(bench.Shared(Range(3), 0, 9, 1), "queued");
  ASSERT_EQ(bench.Exclusive(Range(4), 5, 5, 1), "queued");
  ASSERT_EQ(bench.Shared(Range(5), 0, 4, 1), "queued");
  ASSERT_EQ(bench.Shared(Range(6), 0, 5, 1), "queued");

  bench.Unlock(Range(1), 0, kEnd);

  EXPECT_EQ(bench.TakeGrants(), "2/1 3/1 5/1") << "the writer waits for 2 and 3, and 6 for it";
  bench.Unlock(Range(2), 0, kEnd);
  EXPECT_EQ(bench.TakeGrants(), "");
  bench.Unlock(Range(3), 0, kEnd);
  EXPECT_EQ(bench.TakeGrants(), "4/1");
  bench.Unlock(Range(4), 0, kEnd);
  EXPECT_EQ(bench.TakeGrants(), "6/1");
}

TEST(LockOrder, QueuesAReaderBehindAWaitingWriter) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Range(1), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(Range(2), 0, 9, 21), "queued");

  EXPECT_EQ(bench.Shared(Range(3), 20, 29, 30), "granted") << "not in the writer's range";
  bench.Unlock(Range(3), 0, kEnd);
  EXPECT_EQ(bench.Shared(Range(3), 0, 9, 31), "queued");
  EXPECT_EQ(bench.Shared(Range(4), 0, 9), "granted") << "who does not wait is not in the queue";

  bench.Unlock(Range(4), 0, 9);
  bench.Unlock(Range(1), 0, 9);
  EXPECT_EQ(bench.TakeGrants(), "2/21");
  bench.Unlock(Range(2), 0, 9);
  EXPECT_EQ(bench.TakeGrants(), "3/31");
}

// Each of these would wait for ever, were it put behind the writer.
TEST(LockOrder, DoesNotQueueAHolderBehindWhoWaitsForIt) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Range(1), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(Range(2), 0, 99, 21), "queued");

  EXPECT_EQ(bench.Shared(Range(1), 50, 59, 11), "granted") << "another range of a reader";
  EXPECT_EQ(bench.Shared(Range(1), 0, 99, 12), "granted");

  LockBench flocks;
  Who first{.session = 1, .owner = 1, .pid = 5, .kind = wire::LOCK_FLOCK};
  Who second{.session = 1, .owner = 2, .pid = 5, .kind = wire::LOCK_FLOCK};
  ASSERT_EQ(flocks.Shared(first, 0, 0), "granted");
  ASSERT_EQ(flocks.Exclusive(Flock(2), 0, 0, 21), "queued");
  EXPECT_EQ(flocks.Shared(second, 0, 0, 12), "granted") << "a second descriptor of the process";

  LockBench chain;
  ASSERT_EQ(chain.Shared(On(1, 7), 0, 9), "granted");
  ASSERT_EQ(chain.Exclusive(On(3, 8), 0, 9), "granted");
  ASSERT_EQ(chain.Exclusive(On(2, 7), 0, 9, 21), "queued");
  ASSERT_EQ(chain.Exclusive(On(1, 8), 0, 9, 11), "queued");
  EXPECT_EQ(chain.Shared(On(3, 7), 0, 9, 31), "granted") << "2 waits for 1, who waits for 3";
}

TEST(LockOrder, FreesAWaitFromTheOrderWhenItsOwnerGetsALock) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Range(1), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(Range(2), 0, 9, 21), "queued");
  ASSERT_EQ(bench.Shared(Range(3), 0, 9, 31), "queued");

  ASSERT_EQ(bench.Exclusive(On(3, 8), 0, 9), "granted");

  EXPECT_EQ(bench.TakeGrants(), "3/31");
}

TEST(LockOrder, LetsThroughWhoStoodBehindAWithdrawnWait) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Range(1), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(Range(2), 0, 9, 21), "queued");
  ASSERT_EQ(bench.Shared(Range(3), 0, 9, 31), "queued");
  ASSERT_EQ(bench.Shared(Range(4), 5, 20, 41), "queued");
  EXPECT_TRUE(bench.table().Waits(SessionId{2}, InodeId{7}, 21));

  EXPECT_FALSE(bench.Cancel(Range(3), 21)) << "the number of another session";
  EXPECT_TRUE(bench.Cancel(Range(2), 21));

  EXPECT_EQ(bench.TakeGrants(), "3/31 4/41");
  EXPECT_FALSE(bench.Cancel(Range(3), 31)) << "granted before";
  EXPECT_FALSE(bench.table().Waits(SessionId{2}, InodeId{7}, 21));
  EXPECT_EQ(bench.Listing(), "S 0-9 1/1, S 0-9 3/1, S 5-20 4/1");
}

TEST(LockOrder, GrantsBehindADowngrade) {
  LockBench bench;
  ASSERT_EQ(bench.Exclusive(Range(1), 0, 9), "granted");
  ASSERT_EQ(bench.Shared(Range(2), 0, 4, 21), "queued");
  ASSERT_EQ(bench.Exclusive(Range(3), 5, 9, 31), "queued");

  ASSERT_EQ(bench.Shared(Range(1), 0, 9), "granted");
  EXPECT_EQ(bench.TakeGrants(), "2/21");
  bench.Unlock(Range(1), 7, 9);
  EXPECT_EQ(bench.TakeGrants(), "");
  bench.Unlock(Range(1), 4, 6);
  EXPECT_EQ(bench.TakeGrants(), "3/31");
}

// The wait turns its owner's exclusive lock into a shared one, for which an earlier wait stood.
TEST(LockOrder, GrantsEarlierWaitsThatAGrantedDowngradeFrees) {
  LockBench bench;
  ASSERT_EQ(bench.Exclusive(Range(1), 0, 0), "granted");
  ASSERT_EQ(bench.Exclusive(Range(2), 5, 5), "granted");
  ASSERT_EQ(bench.Shared(Range(3), 0, 0, 31), "queued");
  ASSERT_EQ(bench.Shared(Range(1), 0, 9, 11), "queued");

  bench.Unlock(Range(2), 5, 5);

  EXPECT_EQ(bench.TakeGrants(), "1/11 3/31");
}

TEST(LockOrder, GrantsTheOtherWaitsOfAnOwner) {
  LockBench bench;
  ASSERT_EQ(bench.Exclusive(Range(1), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(Range(4), 50, 59), "granted");
  ASSERT_EQ(bench.Exclusive(Range(2), 0, 99, 21), "queued");
  ASSERT_EQ(bench.Shared(Range(2), 0, 9, 22), "queued") << "another thread of the same owner";

  bench.Unlock(Range(1), 0, 9);

  EXPECT_EQ(bench.TakeGrants(), "2/22");
  bench.Unlock(Range(4), 50, 59);
  EXPECT_EQ(bench.TakeGrants(), "2/21");
}

TEST(LockDeadlock, IsFoundOverTwoAndThreeOwners) {
  LockBench two;
  ASSERT_EQ(two.Exclusive(Range(1), 0, 0), "granted");
  ASSERT_EQ(two.Exclusive(Range(2), 1, 1), "granted");
  ASSERT_EQ(two.Exclusive(Range(1), 1, 1, 11), "queued");
  EXPECT_EQ(two.Exclusive(Range(2), 0, 0, 21), "Deadlock");
  EXPECT_EQ(two.Exclusive(Range(2), 0, 0), "WouldBlock") << "who does not wait is in no cycle";
  EXPECT_EQ(two.Listing(), "X 0-0 1/1, X 1-1 2/1, X? 1-1 1/1") << "nothing is lost by it";

  LockBench three;
  for (uint64_t session = 1; session <= 3; ++session) {
    ASSERT_EQ(three.Exclusive(On(session, 10 + session), 0, 9), "granted");
  }
  ASSERT_EQ(three.Shared(On(1, 12), 0, 0, 1), "queued");
  ASSERT_EQ(three.Shared(On(2, 13), 5, 5, 1), "queued");
  three.Restart();
  EXPECT_EQ(three.Shared(On(3, 11), 9, 99, 1), "Deadlock");
  EXPECT_EQ(three.Shared(On(3, 11), 10, 99, 1), "granted");
}

TEST(LockDeadlock, IsFoundWhenTwoReadersUpgrade) {
  LockBench bench;
  ASSERT_EQ(bench.Shared(Range(1), 0, 9), "granted");
  ASSERT_EQ(bench.Shared(Range(2), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(Range(1), 0, 9, 11), "queued");

  EXPECT_EQ(bench.Exclusive(Range(2), 0, 9, 21), "Deadlock");
  bench.Unlock(Range(2), 0, 9);
  EXPECT_EQ(bench.TakeGrants(), "1/11");
}

TEST(LockDeadlock, IsFoundBehindOneOfManyReaders) {
  LockBench bench;
  for (uint64_t session = 1; session <= 9; ++session) {
    ASSERT_EQ(bench.Shared(Range(session), 0, 9), "granted");
  }
  ASSERT_EQ(bench.Exclusive(On(20, 8), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(On(6, 8), 0, 9, 1), "queued");

  EXPECT_EQ(bench.Exclusive(On(20, 7), 3, 3, 1), "Deadlock");
}

TEST(LockDeadlock, IsNotSeenInFlocksNorInEqualNumbers) {
  LockBench bench;
  Who first = Flock(1);
  Who second = Flock(2);
  first.inode = 7;
  second.inode = 8;
  ASSERT_EQ(bench.Exclusive(first, 0, 0), "granted");
  ASSERT_EQ(bench.Exclusive(second, 0, 0), "granted");
  ASSERT_EQ(bench.Exclusive(On(1, 9), 0, 9), "granted");
  ASSERT_EQ(bench.Exclusive(On(2, 10), 0, 9), "granted");
  std::swap(first.inode, second.inode);

  EXPECT_EQ(bench.Exclusive(first, 0, 0, 11), "queued");
  EXPECT_EQ(bench.Exclusive(second, 0, 0, 21), "queued") << "flock finds no deadlock";
  EXPECT_EQ(bench.Exclusive(On(1, 10), 0, 0, 12), "queued");
  EXPECT_EQ(bench.Exclusive(On(2, 11), 0, 0, 22), "granted");
  EXPECT_EQ(bench.Exclusive(On(3, 9), 0, 0, 31), "queued") << "another session's owner 1";
}

TEST(LockOrder, StaysFastWithManyWaitsAndRanges) {
  constexpr uint64_t kMany = 3000;
  LockBench bench;
  ASSERT_EQ(bench.Exclusive(Range(1), 0, kEnd), "granted");
  for (uint64_t i = 2; i <= kMany; ++i) {
    ASSERT_EQ(bench.Exclusive(Range(i), 0, kEnd, i), "queued");
  }
  for (uint64_t i = 1; i < kMany; ++i) bench.Unlock(Range(i), 0, kEnd);
  bench.Unlock(Range(kMany), 0, kEnd);
  EXPECT_EQ(bench.table().size(), 0u);

  for (uint64_t i = 0; i < kMany; ++i)
    ASSERT_EQ(bench.Exclusive(Range(1), 2 * i, 2 * i), "granted");
  for (uint64_t i = 0; i < kMany; ++i) {
    ASSERT_EQ(bench.Exclusive(Range(2 + i), 2 * i, 2 * i, 1), "queued");
  }
  bench.CloseOwner(Range(1));
  EXPECT_EQ(bench.table().size(), kMany);
}

}  // namespace
}  // namespace ringfs
