#include <gtest/gtest.h>

#include "tests/client/world.h"

namespace ringfs::client {
namespace {

using Operation = wire::MetaRequest::OperationCase;

// A world with one open file, and a lock request for it.
class LockTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.Connect());
    file_ = world_.Create("a");
    lock_.inode = InodeId{file_.attributes.inode()};
    lock_.handle = file_.handle;
    lock_.type = wire::LOCK_EXCLUSIVE;
    lock_.owner = 42;
    lock_.last = INT64_MAX;
    lock_.wait = true;
  }

  Result<void> Set(LockRequest request) {
    return world_.Await(world_.fs->SetLock(request, Interrupt()));
  }
  // A lock that the master has queued.
  Pending<Result<void>> Wait(Interrupt interrupt = Interrupt()) {
    world_.master.queue_locks = true;
    auto pending = world_.Begin(world_.fs->SetLock(lock_, interrupt));
    world_.RunUntil([&] { return world_.master.Count(Operation::kSetLock) > 0; });
    world_.Settle();
    EXPECT_FALSE(pending->has_value());
    return pending;
  }
  uint64_t LastWaiter() { return world_.master.Last(Operation::kSetLock)->set_lock().waiter(); }

  World world_;
  Opened file_;
  LockRequest lock_;
};

TEST_F(LockTest, IsTakenAtOnceWhenItIsFree) {
  EXPECT_TRUE(Set(lock_));

  const wire::SetLock& sent = world_.master.Last(Operation::kSetLock)->set_lock();
  EXPECT_EQ(sent.owner(), 42u);
  EXPECT_EQ(sent.handle(), Raw(file_.handle));
  EXPECT_TRUE(sent.wait());
}

TEST_F(LockTest, WaitsForTheGrant) {
  auto waiting = Wait();

  world_.master.PushGrant(Raw(lock_.inode), LastWaiter());

  EXPECT_TRUE(world_.Finish(waiting));
}

TEST_F(LockTest, TakesAGrantThatComesRightBehindTheAnswer) {
  world_.master.queue_locks = true;
  world_.master.before = [&](const wire::MetaRequest& request) -> std::optional<Error> {
    if (request.has_set_lock()) {
      world_.master.PushGrant(request.set_lock().inode(), request.set_lock().waiter());
    }
    return {};
  };

  EXPECT_TRUE(Set(lock_));
}

TEST_F(LockTest, AnInterruptedWaitIsWithdrawn) {
  Interrupt interrupt;
  auto waiting = Wait(interrupt);

  interrupt.Raise();

  EXPECT_EQ(world_.Finish(waiting).code(), Errc::kInterrupted);
  EXPECT_EQ(world_.master.Last(Operation::kCancelLock)->cancel_lock().waiter(), LastWaiter());
  EXPECT_EQ(world_.master.Count(Operation::kSetLock), 1);
}

TEST_F(LockTest, AnInterruptedWaitThatWasGrantedIsUnlocked) {
  Interrupt interrupt;
  auto waiting = Wait(interrupt);
  world_.master.cancel_finds_granted = true;

  interrupt.Raise();

  EXPECT_EQ(world_.Finish(waiting).code(), Errc::kInterrupted);
  EXPECT_EQ(world_.master.Count(Operation::kSetLock), 2);
  EXPECT_EQ(world_.master.Last(Operation::kSetLock)->set_lock().type(), wire::LOCK_UNLOCK);
}

TEST_F(LockTest, AnInterruptBeforeTheAnswerCounts) {
  world_.master.queue_locks = true;
  Interrupt interrupt;
  interrupt.Raise();

  auto set = world_.Await(world_.fs->SetLock(lock_, interrupt));

  EXPECT_EQ(set.code(), Errc::kInterrupted);
  EXPECT_EQ(world_.master.Count(Operation::kCancelLock), 1);
}

TEST_F(LockTest, AsksHowTheWaitStandsAfterAReconnect) {
  auto waiting = Wait();
  world_.master.lock_status.set_waiting(true);
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.Count(Operation::kLockStatus) == 1; });
  world_.Settle();
  EXPECT_FALSE(waiting->has_value());

  world_.master.lock_status.Clear();
  world_.master.lock_status.set_granted(true);
  world_.master.peer->Close();

  EXPECT_TRUE(world_.Finish(waiting));
}

TEST_F(LockTest, AsksAgainForAWaitThatTheMasterForgot) {
  auto waiting = Wait();
  const uint64_t first = LastWaiter();
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.Count(Operation::kSetLock) == 2; });
  world_.Settle();

  EXPECT_NE(LastWaiter(), first);
  world_.master.PushGrant(Raw(lock_.inode), LastWaiter());

  EXPECT_TRUE(world_.Finish(waiting));
}

TEST_F(LockTest, WaitersOfAnExpiredSessionWaitAgainInTheNext) {
  auto waiting = Wait();
  world_.master.expired.insert(1);
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.Count(Operation::kSetLock) == 2; });
  world_.Settle();
  EXPECT_FALSE(waiting->has_value());

  world_.master.PushGrant(Raw(lock_.inode), LastWaiter());

  EXPECT_TRUE(world_.Finish(waiting));
  EXPECT_EQ(world_.master.Last(Operation::kSetLock)->session(), 2u);
}

TEST_F(LockTest, AWaiterWhoseHandleHasLostALockGetsAnError) {
  LockRequest held = lock_;
  held.start = held.last = 7;
  ASSERT_TRUE(Set(held));
  world_.master.asked.clear();
  auto waiting = Wait();
  world_.master.expired.insert(1);
  world_.master.peer->Close();

  EXPECT_EQ(world_.Finish(waiting).code(), Errc::kFenced);
  EXPECT_EQ(world_.master.Count(Operation::kSetLock), 1);
}

TEST_F(LockTest, ALockThatWasFreedOrRefusedIsNotLostWithTheSession) {
  LockRequest request = lock_;
  request.start = 10;
  request.last = 19;
  ASSERT_TRUE(Set(request));
  request.type = wire::LOCK_UNLOCK;
  ASSERT_TRUE(Set(request));
  world_.master.before = [](const wire::MetaRequest& asked) -> std::optional<Error> {
    if (asked.has_set_lock()) return Error{Errc::kWouldBlock, "held"};
    return {};
  };
  ASSERT_EQ(Set(lock_).code(), Errc::kWouldBlock);
  world_.master.before = nullptr;
  world_.master.expired.insert(1);
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.session == 2; });

  EXPECT_TRUE(world_.Write(file_.handle, 0, "goes on"));
  EXPECT_EQ(world_.Read(file_.handle, 0, 7), "goes on");
}

TEST_F(LockTest, RequestsOfAnOwnerKeepTheirOrder) {
  world_.master.lose_answer = [count = 0](const wire::MetaRequest& request) mutable {
    return request.has_set_lock() && count++ == 0;
  };
  LockRequest unlock = lock_;
  unlock.type = wire::LOCK_UNLOCK;
  auto first = world_.Begin(world_.fs->SetLock(lock_, Interrupt()));
  auto second = world_.Begin(world_.fs->SetLock(unlock, Interrupt()));
  EXPECT_TRUE(world_.Finish(first));
  EXPECT_TRUE(world_.Finish(second));

  ASSERT_EQ(world_.master.Count(Operation::kSetLock), 3);
  EXPECT_EQ(world_.master.Last(Operation::kSetLock)->set_lock().type(), wire::LOCK_UNLOCK);
}

TEST_F(LockTest, AWaitIsNotInTheWayOfTheOwnersOtherRequests) {
  auto waiting = Wait();
  LockRequest other = lock_;
  other.start = other.last = 7;
  other.wait = false;

  EXPECT_TRUE(Set(other));

  world_.master.PushGrant(Raw(lock_.inode), 1);
  EXPECT_TRUE(world_.Finish(waiting));
}

TEST_F(LockTest, ClosingADescriptorFreesTheOwnersLocksOnlyIfThereCanBeAny) {
  ASSERT_TRUE(world_.Await(world_.fs->Flush(file_.handle, 42)));
  EXPECT_EQ(world_.master.Count(Operation::kReleaseLocks), 0);
  ASSERT_TRUE(Set(lock_));

  ASSERT_TRUE(world_.Await(world_.fs->Flush(file_.handle, 41)));
  ASSERT_TRUE(world_.Await(world_.fs->Flush(file_.handle, 42)));
  ASSERT_TRUE(world_.Await(world_.fs->Flush(file_.handle, 42)));

  EXPECT_EQ(world_.master.Count(Operation::kReleaseLocks), 1);
  EXPECT_EQ(world_.master.Last(Operation::kReleaseLocks)->release_locks().owner(), 42u);
}

TEST_F(LockTest, TheEndOfAFileFreesTheLocksTakenThroughIt) {
  lock_.kind = wire::LOCK_FLOCK;
  ASSERT_TRUE(Set(lock_));

  ASSERT_TRUE(world_.Await(world_.fs->Release(file_.handle, 42)));

  const wire::MetaRequest* close = world_.master.Last(Operation::kClose);
  EXPECT_EQ(close->close().handle(), Raw(file_.handle));
  EXPECT_TRUE(close->close().writing());
  EXPECT_GT(close->sequence(), 0u);
}

TEST_F(LockTest, TellsWhoIsInTheWay) {
  auto tested = world_.Await(world_.fs->TestLock(lock_));

  ASSERT_TRUE(tested);
  EXPECT_TRUE(tested->blocked());
}

}  // namespace
}  // namespace ringfs::client
