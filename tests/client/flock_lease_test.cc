// flock under the lease of an inode's locks.

#include <gtest/gtest.h>

#include <algorithm>

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

}  // namespace
}  // namespace ringfs::client
