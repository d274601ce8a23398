// What becomes of open files when the master does not renew the session any more.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/client/world.h"

namespace ringfs::client {
namespace {

using Operation = wire::MetaRequest::OperationCase;

constexpr int64_t kTtlMs = 200;

// One file that is locked and one that is not. The master answers all but keepalives, so that only
// the client itself can know that its time is up.
class SessionEndTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.master.ttl_ms = kTtlMs;
    ASSERT_TRUE(world_.Connect());
    locked_ = world_.Create("locked");
    free_ = world_.Create("free");
    ASSERT_TRUE(world_.Write(locked_.handle, 0, "before"));
    ASSERT_TRUE(world_.Write(free_.handle, 0, "before"));
    lock_.inode = InodeId{locked_.attributes.inode()};
    lock_.handle = locked_.handle;
    lock_.type = wire::LOCK_EXCLUSIVE;
    lock_.owner = 42;
    lock_.last = INT64_MAX;
    ASSERT_TRUE(world_.Await(world_.fs->SetLock(lock_, Interrupt())));
  }

  void LetTimePass() {
    world_.master.mute = true;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(2 * kTtlMs);
    world_.RunUntil([&] { return std::chrono::steady_clock::now() > until; });
  }
  void Answer() {
    world_.master.mute = false;
    world_.master.Release();
  }
  void Expire() {
    world_.master.expired.insert(1);
    Answer();
  }
  // What has not been answered although everything was done that can be done.
  template <typename T>
  bool Waits(const Pending<T>& pending) {
    world_.Settle();
    return !pending->has_value();
  }

  World world_;
  Opened locked_;
  Opened free_;
  LockRequest lock_;
};

TEST_F(SessionEndTest, NothingIsDoneThroughALockedHandleThatIsInDoubt) {
  LetTimePass();
  const size_t writes = world_.chunks1.writes.size();

  auto write = world_.Begin(world_.fs->Write(locked_.handle, 0, BufferOf("late"), false));
  auto read = world_.Begin(world_.fs->Read(locked_.handle, 0, 6));
  auto confirm = world_.Begin(world_.fs->Confirm(locked_.handle));
  auto pages = world_.Begin(world_.fs->ConfirmPages(lock_.inode));
  auto lock = world_.Begin(world_.fs->SetLock(lock_, Interrupt()));
  EXPECT_TRUE(world_.Write(free_.handle, 0, "during"));
  EXPECT_EQ(world_.Read(free_.handle, 0, 6), "during");
  EXPECT_TRUE(Waits(write));
  EXPECT_TRUE(Waits(read));
  EXPECT_TRUE(Waits(confirm));
  EXPECT_TRUE(Waits(pages));
  EXPECT_TRUE(Waits(lock));
  EXPECT_EQ(world_.chunks1.writes.size(), writes + 1);  // of the other file

  Expire();
  EXPECT_EQ(world_.Finish(write).code(), Errc::kFenced);
  EXPECT_EQ(world_.Finish(read).code(), Errc::kFenced);
  EXPECT_EQ(world_.Finish(confirm).code(), Errc::kFenced);
  EXPECT_EQ(world_.Finish(pages).code(), Errc::kFenced);
  EXPECT_EQ(world_.Finish(lock).code(), Errc::kFenced);
  EXPECT_EQ(world_.chunks1.writes.size(), writes + 1);
}

TEST_F(SessionEndTest, WhatWaitedGoesOnWhenTheSessionStillStands) {
  LetTimePass();
  auto write = world_.Begin(world_.fs->Write(locked_.handle, 0, BufferOf("since!"), false));
  auto pages = world_.Begin(world_.fs->ConfirmPages(lock_.inode));
  EXPECT_TRUE(Waits(write));

  Answer();

  EXPECT_TRUE(world_.Finish(write));
  EXPECT_TRUE(world_.Finish(pages));
  EXPECT_EQ(world_.Read(locked_.handle, 0, 6), "since!");
  EXPECT_EQ(world_.master.session, 1u);
}

TEST_F(SessionEndTest, WhatWasUnderWayWhenTheTimeRanOutDoesNotCount) {
  world_.master.hold = [&](const wire::MetaRequest& request) {
    return request.has_get_attributes() || request.has_extend();
  };
  auto read = world_.Begin(world_.fs->Read(locked_.handle, 0, 6));
  auto write = world_.Begin(world_.fs->Write(locked_.handle, 0, BufferOf("during"), false));
  world_.RunUntil([&] { return world_.master.Count(Operation::kGetAttributes) > 0; });
  LetTimePass();
  world_.master.hold = nullptr;
  world_.master.Release();
  EXPECT_TRUE(Waits(read));
  EXPECT_TRUE(Waits(write));

  Expire();

  EXPECT_EQ(world_.Finish(read).code(), Errc::kFenced);
  EXPECT_EQ(world_.Finish(write).code(), Errc::kFenced);
}

// With a write lease a write would be answered without asking anybody.
class CachingSessionEndTest : public SessionEndTest {
 protected:
  void SetUp() override {
    world_.options.caching = true;
    world_.master.grants = wire::LEASE_WRITE;
    SessionEndTest::SetUp();
  }
};

TEST_F(CachingSessionEndTest, NothingIsHeldBackOfAHandleThatIsInDoubt) {
  LetTimePass();

  auto write = world_.Begin(world_.fs->Write(locked_.handle, 0, BufferOf("late"), false));
  auto read = world_.Begin(world_.fs->Read(locked_.handle, 0, 6));
  EXPECT_TRUE(Waits(write));
  EXPECT_TRUE(Waits(read));

  Expire();
  EXPECT_EQ(world_.Finish(write).code(), Errc::kFenced);
  EXPECT_EQ(world_.Finish(read).code(), Errc::kFenced);
}

TEST_F(SessionEndTest, AnUnreachableMasterIsWaitedForUpToTheTimeout) {
  World world(500);
  world.master.ttl_ms = 100;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  LockRequest lock{.inode = InodeId{file.attributes.inode()}, .handle = file.handle};
  ASSERT_TRUE(world.Await(world.fs->SetLock(lock, Interrupt())));
  world.master.mute = true;
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  world.RunUntil([&] { return std::chrono::steady_clock::now() > until; });

  EXPECT_EQ(world.Write(file.handle, 0, "x").code(), Errc::kTimedOut);
}

TEST_F(SessionEndTest, AFencedHandleAnswersWithAnErrorUntilItIsClosed) {
  Expire();
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.session == 2; });
  world_.Settle();

  EXPECT_EQ(world_.Await(world_.fs->Confirm(locked_.handle)).code(), Errc::kFenced);
  EXPECT_EQ(world_.Await(world_.fs->TestLock(lock_)).code(), Errc::kFenced);
  EXPECT_EQ(world_.Await(world_.fs->Seek(locked_.handle, 0, true)).code(), Errc::kFenced);
  EXPECT_EQ(world_.Await(world_.fs->Fallocate(locked_.handle, 0, 0, 10)).code(), Errc::kFenced);
  EXPECT_EQ(world_.Await(world_.fs->CopyRange(locked_.handle, 0, free_.handle, 0, 4)).code(),
            Errc::kFenced);
  EXPECT_EQ(world_.Await(world_.fs->ConfirmPages(lock_.inode)).code(), Errc::kFenced);
  ASSERT_TRUE(world_.Await(world_.fs->Release(locked_.handle, {})));
  EXPECT_TRUE(world_.Await(world_.fs->ConfirmPages(lock_.inode)));
  auto again = world_.Await(world_.fs->Open(lock_.inode, {.read = true, .write = true}, {}));
  ASSERT_TRUE(again);
  lock_.handle = again->handle;
  EXPECT_TRUE(world_.Await(world_.fs->SetLock(lock_, Interrupt())));
  EXPECT_TRUE(world_.Write(again->handle, 0, "after!"));
  EXPECT_EQ(world_.Read(again->handle, 0, 6), "after!");
}

TEST_F(SessionEndTest, TheNextSessionSaysWhichOneIsGivenUp) {
  Expire();
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.session == 2; });

  EXPECT_EQ(world_.master.sessions_opened.back().lost(), 1u);
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.sessions_opened.back().session() == 2; });
  EXPECT_EQ(world_.master.sessions_opened.back().lost(), 0u);
}

TEST_F(SessionEndTest, WhatWasWrittenIsNotLostWithTheSession) {
  Expire();
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.session == 2; });

  EXPECT_TRUE(world_.Write(free_.handle, 6, " and after"));
  EXPECT_TRUE(world_.Await(world_.fs->Fsync(InodeId{free_.attributes.inode()}, HandleId{0}, false)));
  EXPECT_EQ(world_.Read(free_.handle, 0, 100), "before and after");
}

// The master that is asked is a fake: it knows no paths.
TEST_F(SessionEndTest, AsksForTheNamesOfFencedFilesToLogThem) {
  Expire();
  world_.master.peer->Close();
  world_.RunUntil([&] { return world_.master.Count(Operation::kGetPath) == 1; });

  EXPECT_EQ(world_.master.Last(Operation::kGetPath)->get_path().inode(), Raw(lock_.inode));
}

}  // namespace
}  // namespace ringfs::client
