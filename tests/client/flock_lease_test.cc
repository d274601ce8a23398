// flock under the lease of an inode's locks.

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "client/lock_calls.h"
#include "tests/client/world.h"

namespace ringfs::client {
namespace {

using FlockOperation = wire::MetaRequest::OperationCase;

// A client that caches, a master with a real table of locks that leases them, and one file that is
// open three times.
class FlockLeaseTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.options.caching = true;
    world_.master.locks.emplace();
    world_.master.lease_locks = true;
    ASSERT_TRUE(world_.Connect());
    const Opened made = world_.Create("a");
    inode_ = InodeId{made.attributes.inode()};
    handles_.push_back(made.handle);
    for (int i = 0; i < 2; ++i) {
      auto opened = world_.Await(world_.fs->Open(inode_, {.read = true}, Caller()));
      ASSERT_TRUE(opened);
      handles_.push_back(opened->handle);
    }
  }

  LockRequest Flock(size_t file, wire::LockType type, bool wait = false) {
    LockRequest request;
    request.inode = inode_;
    request.handle = handles_[file];
    request.kind = wire::LOCK_FLOCK;
    request.type = type;
    request.owner = 40 + file;
    request.last = INT64_MAX;
    request.wait = wait;
    return request;
  }
  Result<void> Set(const LockRequest& request) {
    return world_.Await(world_.fs->SetLock(request, Interrupt()));
  }
  Pending<Result<void>> Start(const LockRequest& request, Interrupt interrupt = Interrupt()) {
    auto pending = world_.Begin(world_.fs->SetLock(request, interrupt));
    world_.Settle();
    return pending;
  }
  // The lease is here, and the master knows of no lock.
  void TakeLease() {
    ASSERT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
    ASSERT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));
    world_.RunUntil([&] { return AtMaster().empty(); });
  }
  int Asked() { return world_.master.Count(FlockOperation::kSetLock); }
  // "40S 41?X": owners with what they hold or wait for.
  std::string AtMaster() {
    std::string shown;
    for (const wire::LockInfo& lock : world_.master.locks->List(inode_)) {
      if (!shown.empty()) shown += " ";
      shown += std::to_string(lock.owner()) + (lock.waiting() ? "?" : "");
      shown += lock.type() == wire::LOCK_SHARED ? "S" : "X";
    }
    return shown;
  }
  bool GaveBack() { return !world_.master.lease_answers.empty(); }
  void Recall() { world_.master.PushRecall(Raw(LocksOf(inode_)), wire::LEASE_NONE); }

  World world_;
  InodeId inode_{0};
  std::vector<HandleId> handles_;
};

TEST_F(FlockLeaseTest, AsksTheMasterOnlyForTheFirst) {
  TakeLease();
  const int asked = Asked();

  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
    EXPECT_EQ(Set(Flock(1, wire::LOCK_SHARED)).code(), Errc::kWouldBlock);
    EXPECT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));
    EXPECT_TRUE(Set(Flock(1, wire::LOCK_SHARED)));
    EXPECT_TRUE(Set(Flock(2, wire::LOCK_SHARED)));
    EXPECT_TRUE(Set(Flock(1, wire::LOCK_UNLOCK)));
    EXPECT_TRUE(Set(Flock(2, wire::LOCK_UNLOCK)));
  }

  EXPECT_LE(Asked() - asked, 10) << "but for what it is told when that stays for a while";
}

TEST_F(FlockLeaseTest, AWaitThatIsHereEndsWithTheUnlock) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
  const int asked = Asked();
  auto second = Start(Flock(1, wire::LOCK_EXCLUSIVE, true));
  auto third = Start(Flock(2, wire::LOCK_EXCLUSIVE, true));

  EXPECT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(world_.Finish(second));
  EXPECT_FALSE(third->has_value());
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(world_.Finish(third));

  EXPECT_EQ(Asked(), asked);
}

TEST_F(FlockLeaseTest, AnInterruptedWaitThatIsHereIsGone) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
  Interrupt interrupt;
  auto waiting = Start(Flock(1, wire::LOCK_EXCLUSIVE, true), interrupt);

  interrupt.Raise();

  EXPECT_EQ(world_.Finish(waiting).code(), Errc::kInterrupted);
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(Set(Flock(2, wire::LOCK_EXCLUSIVE)));
}

TEST_F(FlockLeaseTest, TellsOfALockThatIsHeldForAWhile) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_SHARED)));
  EXPECT_EQ(AtMaster(), "");

  world_.RunUntil([&] { return AtMaster() == "41S"; });
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_UNLOCK)));
  world_.RunUntil([&] { return AtMaster().empty(); });
}

TEST_F(FlockLeaseTest, HandsLocksAndWaitsOverInTheirOrder) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_EXCLUSIVE)));
  auto first = Start(Flock(2, wire::LOCK_EXCLUSIVE, true));
  auto second = Start(Flock(0, wire::LOCK_EXCLUSIVE, true));
  world_.master.lease_locks = false;

  Recall();
  world_.RunUntil([&] { return GaveBack(); });
  EXPECT_EQ(AtMaster(), "41X 42?X 40?X");

  EXPECT_TRUE(Set(Flock(1, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(world_.Finish(first));
  EXPECT_EQ(AtMaster(), "42X 40?X");
  EXPECT_TRUE(Set(Flock(2, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(world_.Finish(second));
}

TEST_F(FlockLeaseTest, ARequestDuringTheHandOverGoesToTheMaster) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_SHARED)));
  world_.master.lease_locks = false;
  world_.master.hold = [](const wire::MetaRequest& request) { return request.has_set_lock(); };
  Recall();
  world_.RunUntil(
      [&] { return world_.master.Last(FlockOperation::kSetLock)->set_lock().owner() == 41; });

  auto unlock = Start(Flock(1, wire::LOCK_UNLOCK));
  EXPECT_FALSE(unlock->has_value());
  EXPECT_FALSE(GaveBack());
  world_.master.hold = nullptr;
  world_.master.Release();

  EXPECT_TRUE(world_.Finish(unlock));
  EXPECT_EQ(AtMaster(), "");
}

TEST_F(FlockLeaseTest, AnInterruptDuringTheHandOverWithdrawsTheWaitThere) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_EXCLUSIVE)));
  Interrupt interrupt;
  auto waiting = Start(Flock(2, wire::LOCK_EXCLUSIVE, true), interrupt);
  world_.master.lease_locks = false;
  world_.master.hold = [](const wire::MetaRequest& request) { return request.has_set_lock(); };
  Recall();
  world_.Settle();

  interrupt.Raise();
  world_.Settle();
  world_.master.hold = nullptr;
  world_.master.Release();

  EXPECT_EQ(world_.Finish(waiting).code(), Errc::kInterrupted);
  world_.RunUntil([&] { return AtMaster() == "41X"; });
}

TEST_F(FlockLeaseTest, ALongWaitIsHandedToTheMaster) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
  auto waiting = Start(Flock(1, wire::LOCK_EXCLUSIVE, true));

  world_.RunUntil([&] { return AtMaster() == "40X 41?X" && GaveBack(); });
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));

  EXPECT_TRUE(world_.Finish(waiting));
}

TEST_F(FlockLeaseTest, TakesWaitsOverFromTheMaster) {
  world_.master.lease_locks = false;
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
  auto first = Start(Flock(1, wire::LOCK_EXCLUSIVE, true));
  world_.RunUntil([&] { return AtMaster() == "40X 41?X"; });
  world_.master.lease_locks = true;
  auto second = Start(Flock(2, wire::LOCK_EXCLUSIVE, true));  // its answer brings the lease
  world_.RunUntil([&] { return AtMaster() == "40X 41?X 42?X"; });
  world_.Settle();

  EXPECT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));

  EXPECT_EQ(world_.master.Count(FlockOperation::kCancelLock), 2);
  EXPECT_TRUE(world_.Finish(first));
  EXPECT_FALSE(second->has_value());
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(world_.Finish(second));
}

TEST_F(FlockLeaseTest, ACloseFreesWhatIsHeldThroughTheFile) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_EXCLUSIVE)));
  auto waiting = Start(Flock(2, wire::LOCK_EXCLUSIVE, true));

  EXPECT_TRUE(world_.Await(world_.fs->Release(handles_[1], 41)));

  EXPECT_TRUE(world_.Finish(waiting));
  world_.RunUntil([&] { return AtMaster() == "42X"; });
}

TEST_F(FlockLeaseTest, ACloseFreesWhatTheMasterWasTold) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_EXCLUSIVE)));
  world_.RunUntil([&] { return AtMaster() == "41X"; });
  world_.Settle();

  EXPECT_TRUE(world_.Await(world_.fs->Release(handles_[1], 41)));

  EXPECT_EQ(AtMaster(), "");
  EXPECT_TRUE(Set(Flock(2, wire::LOCK_EXCLUSIVE)));
}

TEST_F(FlockLeaseTest, AnExpiredSessionLosesWhatIsHeldHere) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
  auto waiting = Start(Flock(1, wire::LOCK_EXCLUSIVE, true));
  world_.master.expired.insert(1);
  world_.master.peer->Close();

  EXPECT_TRUE(world_.Finish(waiting)) << "it waits again in the next session";
  EXPECT_EQ(Set(Flock(0, wire::LOCK_SHARED)).code(), Errc::kFenced);
  EXPECT_EQ(world_.Read(handles_[0], 0, 1).substr(0, 5), "error");
}

TEST_F(FlockLeaseTest, ARestartedMasterIsToldOfTheLease) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_EXCLUSIVE)));
  world_.master.Restart();
  world_.RunUntil([&] { return world_.master.sessions_opened.size() == 2; });

  const auto& writing = world_.master.sessions_opened.back().writing();
  EXPECT_NE(std::find(writing.begin(), writing.end(), Raw(LocksOf(inode_))), writing.end());
  // This one does not let the session keep it: it is handed over.
  world_.RunUntil([&] { return AtMaster() == "41X"; });
}

TEST_F(FlockLeaseTest, KnowsOfALockWhoseGrantHasOvertakenTheAnswer) {
  wire::SetLock other = MessageOf(Flock(0, wire::LOCK_EXCLUSIVE), 0);
  LockChanges changes;
  world_.master.locks->Set(SessionId{99}, other, 0, changes);
  world_.master.lease_locks = false;
  bool freed = false;
  world_.master.lose_answer = [&](const wire::MetaRequest& request) {
    if (request.set_lock().owner() != 41 || std::exchange(freed, true)) return false;
    other.set_type(wire::LOCK_UNLOCK);
    world_.master.locks->Set(SessionId{99}, other, 0, changes);
    for (const auto& grant : changes.granted) {
      world_.master.PushGrant(grant.inode(), grant.waiter());
    }
    return false;
  };
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_SHARED, true)));
  EXPECT_EQ(AtMaster(), "41S");
  world_.master.lease_locks = true;
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_SHARED)));
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));

  EXPECT_EQ(Set(Flock(2, wire::LOCK_EXCLUSIVE)).code(), Errc::kWouldBlock);
}

TEST_F(FlockLeaseTest, WaitsThatAreFetchedKeepTheirOrder) {
  world_.master.lease_locks = false;
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_SHARED)));
  auto first = Start(Flock(1, wire::LOCK_EXCLUSIVE, true));
  world_.RunUntil([&] { return AtMaster() == "40S 41?X"; });
  world_.master.lease_locks = true;
  auto second = Start(Flock(2, wire::LOCK_SHARED, true));
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_SHARED)));
  world_.RunUntil([&] { return world_.master.Count(FlockOperation::kCancelLock) == 2; });
  world_.Settle();
  EXPECT_FALSE(second->has_value()) << "it has passed one that came before it";

  EXPECT_TRUE(Set(Flock(0, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(world_.Finish(first));
  EXPECT_FALSE(second->has_value());
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(world_.Finish(second));
}

// Else two mounts whose processes wait for each other's files would hand nothing over.
TEST_F(FlockLeaseTest, RequestsThatWaitAtTheMasterLeaveRoomToHandOver) {
  const Opened other = world_.Create("b");
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_EXCLUSIVE)));
  world_.master.lease_locks = false;
  world_.master.hold = [&](const wire::MetaRequest& request) {
    return request.set_lock().inode() == other.attributes.inode();
  };
  std::vector<Pending<Result<void>>> held;
  for (uint64_t i = 0; i < world_.master.slots; ++i) {
    LockRequest request = Flock(0, wire::LOCK_SHARED);
    request.inode = InodeId{other.attributes.inode()};
    request.handle = other.handle;
    request.owner = 70 + i;
    held.push_back(Start(request));
  }

  Recall();
  world_.RunUntil([&] { return GaveBack(); });

  EXPECT_EQ(AtMaster(), "41X");
  world_.master.hold = nullptr;
  world_.master.Release();
  for (auto& one : held) EXPECT_TRUE(world_.Finish(one));
}

TEST_F(FlockLeaseTest, AMountCanEndInTheMiddleOfAHandOver) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(0, wire::LOCK_EXCLUSIVE)));
  Interrupt interrupt;
  auto waiting = Start(Flock(1, wire::LOCK_EXCLUSIVE, true), interrupt);
  world_.master.hold = [](const wire::MetaRequest& request) { return request.has_set_lock(); };
  const int asked = Asked();
  world_.RunUntil([&] { return Asked() > asked; });
  world_.Settle();

  world_.AwaitVoid(world_.fs->Close());

  interrupt.Raise();
  world_.master.Release();
  world_.Settle();
}

TEST_F(FlockLeaseTest, AnInterruptEndsTheCallWhileTheMasterIsAway) {
  TakeLease();
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_EXCLUSIVE)));
  Interrupt interrupt;
  auto waiting = Start(Flock(2, wire::LOCK_EXCLUSIVE, true), interrupt);
  world_.master.lease_locks = false;
  world_.master.hold = [](const wire::MetaRequest& request) { return request.has_set_lock(); };
  Recall();
  world_.Settle();

  interrupt.Raise();

  EXPECT_EQ(world_.Finish(waiting).code(), Errc::kInterrupted);
  world_.master.hold = nullptr;
  world_.master.Release();
  world_.RunUntil([&] { return GaveBack() && AtMaster() == "41X"; });
  EXPECT_TRUE(Set(Flock(1, wire::LOCK_UNLOCK)));
  EXPECT_TRUE(Set(Flock(2, wire::LOCK_EXCLUSIVE)));
}

// A lease that goes since there are too many: the master may name it once more before it has heard.
class FlockGivenBackTest : public testing::TestWithParam<int> {};

TEST_P(FlockGivenBackTest, IsNotTakenForOneThatIsHeld) {
  World world;
  world.options.caching = true;
  world.options.max_leases = 1;
  world.master.locks.emplace();
  world.master.lease_locks = true;
  ASSERT_TRUE(world.Connect());
  const Opened first = world.Create("a");
  const Opened second = world.Create("b");
  auto flock = [&](const Opened& file, wire::LockType type) {
    LockRequest request;
    request.inode = InodeId{file.attributes.inode()};
    request.handle = file.handle;
    request.kind = wire::LOCK_FLOCK;
    request.type = type;
    request.owner = Raw(file.handle);
    request.last = INT64_MAX;
    return world.Begin(world.fs->SetLock(request, Interrupt()));
  };
  ASSERT_TRUE(world.Finish(flock(first, wire::LOCK_SHARED)));
  ASSERT_TRUE(world.Finish(flock(first, wire::LOCK_UNLOCK)));
  int answers = 0;  // when the lease was named last
  const uint64_t lease = Raw(LocksOf(InodeId{first.attributes.inode()}));
  auto given_back = [&] {
    return static_cast<int>(std::ranges::count_if(
        world.master.lease_answers, [&](const auto& one) { return one.inode() == lease; }));
  };
  world.master.lose_answer = [&](const wire::MetaRequest& request) {
    if (request.set_lock().inode() == first.attributes.inode()) answers = given_back();
    return false;
  };
  ASSERT_TRUE(world.Finish(flock(second, wire::LOCK_SHARED)));
  for (int i = 0; i < GetParam(); ++i) world.io.poll_one();

  auto again = flock(first, wire::LOCK_EXCLUSIVE);
  ASSERT_TRUE(world.Finish(again));
  world.Settle();

  const bool outdated = given_back() > answers;
  world.master.lease_locks = false;
  const int asked = world.master.Count(FlockOperation::kSetLock);
  ASSERT_TRUE(world.Finish(flock(first, wire::LOCK_UNLOCK)));
  const bool here = world.master.Count(FlockOperation::kSetLock) == asked;
  EXPECT_FALSE(outdated && here) << "the master does not know that it is held";
}

INSTANTIATE_TEST_SUITE_P(Polls, FlockGivenBackTest, testing::Range(0, 16));

}  // namespace
}  // namespace ringfs::client
