#include <gtest/gtest.h>

#include "tests/client/world.h"

namespace ringfs::client {
namespace {

using Operation = wire::MetaRequest::OperationCase;

// Loses the answer to the first request of an operation.
std::function<bool(const wire::MetaRequest&)> LoseFirst(Operation operation) {
  auto lost = std::make_shared<bool>(false);
  return [lost, operation](const wire::MetaRequest& request) {
    return request.operation_case() == operation && !std::exchange(*lost, true);
  };
}

TEST(MasterLinkTest, AChangeTakesEffectOnceThoughItsAnswerIsLost) {
  World world;
  ASSERT_TRUE(world.Connect()) << world.error.ToString();
  world.master.lose_answer = LoseFirst(Operation::kCreate);

  auto opened = world.Await(
      world.fs->Create(kRootInode, "a", 0644, true, OpenMode{.read = true, .write = true}, {}));

  ASSERT_TRUE(opened) << opened.error().ToString();
  EXPECT_EQ(world.master.Count(Operation::kCreate), 2);
  EXPECT_EQ(world.master.applied, 1);
  EXPECT_EQ(world.master.sessions_opened.size(), 2u);
  EXPECT_EQ(world.master.sessions_opened[1].session(), 1u);
}

TEST(MasterLinkTest, AnErrorOfTheNamespaceIsTheAnswer) {
  World world;
  ASSERT_TRUE(world.Connect());

  auto found = world.Await(world.fs->Lookup(kRootInode, "missing", {}));

  EXPECT_EQ(found.code(), Errc::kNotFound);
  EXPECT_EQ(world.master.Count(Operation::kLookup), 1);
}

TEST(MasterLinkTest, SaysAgainWhatIsOpenAfterAReconnect) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened first = world.Create("a");
  world.Create("a", OpenMode{.read = true});
  world.Create("b");
  ASSERT_TRUE(world.Await(world.fs->Release(first.handle, {})));

  world.master.peer->Close();
  ASSERT_TRUE(world.Await(world.fs->GetAttributes(InodeId{2})));

  const auto& open = world.master.sessions_opened.back().open();
  ASSERT_EQ(open.size(), 2);
  for (const wire::OpenInode& inode : open) {
    EXPECT_EQ(inode.readers(), inode.inode() == 2 ? 1u : 0u);
    EXPECT_EQ(inode.writers(), inode.inode() == 2 ? 0u : 1u);
  }
}

TEST(MasterLinkTest, WithoutAMasterCallsFailInTimeAndWords) {
  World world(300);
  ASSERT_TRUE(world.Connect());
  world.master_server.Stop();

  auto found = world.Await(world.fs->Lookup(kRootInode, "a", {}));

  EXPECT_TRUE(found.code() == Errc::kUnavailable || found.code() == Errc::kTimedOut);
  EXPECT_NE(found.error().detail.find("lookup"), std::string::npos) << found.error().ToString();
  EXPECT_NE(found.error().detail.find(world.options.masters[0]), std::string::npos);
}

TEST(MasterLinkTest, ConnectingWithoutAMasterFailsInTime) {
  World world(200);
  world.master_server.Stop();

  EXPECT_FALSE(world.Connect());

  EXPECT_EQ(world.error.code, Errc::kTimedOut);
  EXPECT_NE(world.error.detail.find(world.options.masters[0]), std::string::npos);
  EXPECT_NE(world.error.detail.find("onnection refused"), std::string::npos) << world.error.detail;
}

TEST(MasterLinkTest, SaysOnceAndAtOnceThatItWaits) {
  World world(1000);
  world.master_server.Stop();
  std::vector<std::string> said;
  world.options.on_waiting = [&](const std::string& why) { said.push_back(why); };

  auto connect = [](World* with) -> asio::awaitable<bool> {
    auto connected = co_await Filesystem::Connect(with->io.get_executor(), with->options);
    co_return static_cast<bool>(connected);
  };
  auto connecting = world.Begin(connect(&world));
  world.RunUntil([&] { return !said.empty(); });

  EXPECT_FALSE(connecting->has_value());
  EXPECT_FALSE(world.Finish(connecting));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("onnection refused"), std::string::npos) << said[0];
}

TEST(MasterLinkTest, KeepsTheSessionAlive) {
  World world;
  world.master.ttl_ms = 200;
  ASSERT_TRUE(world.Connect());
  world.MoveHead(2);

  // The epoch comes with the answer.
  world.RunUntil([&] { return world.fs->map().epoch() == world.master.map.epoch(); });
}

TEST(MasterLinkTest, AnExpiredSessionIsFollowedByANewOne) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened idle = world.Create("idle", OpenMode{.read = true});
  const Opened locked = world.Create("locked");
  LockRequest lock{.inode = InodeId{locked.attributes.inode()}, .handle = locked.handle};
  ASSERT_TRUE(world.Await(world.fs->SetLock(lock, Interrupt())));
  world.master.expired.insert(1);

  EXPECT_EQ(world.Await(world.fs->Unlink(kRootInode, "idle", {})).code(), Errc::kFenced);
  EXPECT_EQ(world.Read(idle.handle, 0, 10), "");

  EXPECT_EQ(world.master.session, 2u);
  const auto& open = world.master.sessions_opened.back().open();
  ASSERT_EQ(open.size(), 1);
  EXPECT_EQ(open[0].inode(), idle.attributes.inode());
  EXPECT_EQ(world.Await(world.fs->Read(locked.handle, 0, 1)).code(), Errc::kFenced);
  EXPECT_EQ(world.Write(locked.handle, 0, "late").code(), Errc::kFenced);
  EXPECT_EQ(world.Await(world.fs->Flush(locked.handle, 1)).code(), Errc::kFenced);
  EXPECT_TRUE(world.Await(world.fs->Release(locked.handle, {})));
  EXPECT_EQ(world.master.Count(Operation::kClose), 0);
  EXPECT_TRUE(world.Await(world.fs->Release(idle.handle, {})));
  EXPECT_EQ(world.master.Count(Operation::kClose), 1);
}

TEST(MasterLinkTest, AWriteOfAnExpiredSessionFailsAndItsFileIsFenced) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  world.master.before = [&](const wire::MetaRequest& request) -> std::optional<Error> {
    if (request.has_extend()) world.master.expired.insert(1);
    if (request.has_extend()) return Error{Errc::kFenced, "it has expired"};
    return {};
  };

  EXPECT_EQ(world.Write(file.handle, 0, "lost").code(), Errc::kFenced);
  world.RunUntil([&] { return world.master.session == 2; });
  world.Settle();

  EXPECT_EQ(world.Await(world.fs->Read(file.handle, 0, 4)).code(), Errc::kFenced);
  EXPECT_TRUE(world.Await(world.fs->GetAttributes(InodeId{file.attributes.inode()})));
}

TEST(MasterLinkTest, HeldChangesDoNotKeepEndingsOut) {
  World world;
  world.master.slots = 4;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  LockRequest lock{.inode = InodeId{file.attributes.inode()}, .handle = file.handle};
  ASSERT_TRUE(world.Await(world.fs->SetLock(lock, Interrupt())));
  world.master.hold = [](const wire::MetaRequest& request) { return request.has_unlink(); };
  std::vector<Pending<Result<void>>> held;
  for (int i = 0; i < 6; ++i) {
    held.push_back(world.Begin(world.fs->Unlink(kRootInode, "x", {})));
  }

  lock.type = wire::LOCK_UNLOCK;
  EXPECT_TRUE(world.Await(world.fs->SetLock(lock, Interrupt())));

  EXPECT_EQ(world.master.Count(Operation::kUnlink), 3);
  world.master.hold = nullptr;
  world.master.Release();
  for (const auto& each : held) EXPECT_EQ(world.Finish(each).code(), Errc::kNotFound);
}

class KeptChangesTest : public testing::Test {
 protected:
  KeptChangesTest() {
    world.options.caching = true;
    world.master.answers_early = true;
    world.master.grants = wire::LEASE_WRITE;
  }

  World world;
};

TEST_F(KeptChangesTest, AreSaidAgainToAMasterThatHasRestarted) {
  ASSERT_TRUE(world.Connect());
  const Opened made = world.Create("a");
  ASSERT_TRUE(world.Await(world.fs->Unlink(kRootInode, "a", {})));

  world.master.Restart();
  world.RunUntil([&] { return world.master.sessions_opened.size() == 2; });

  const auto& again = world.master.sessions_opened.back().again();
  ASSERT_EQ(again.size(), 2);
  EXPECT_EQ(again[0].create().name(), "a");
  EXPECT_EQ(again[0].again().inode(), made.attributes.inode());
  EXPECT_EQ(again[0].again().data(), made.attributes.data());
  EXPECT_EQ(again[0].again().time_ns(), 1001);
  EXPECT_GT(again[0].sequence(), 0u);
  EXPECT_EQ(again[1].unlink().name(), "a");
}

TEST_F(KeptChangesTest, AreNotSaidAgainOnceTheyAreOnTheDisk) {
  ASSERT_TRUE(world.Connect());
  world.Create("a");
  ASSERT_TRUE(world.Await(world.fs->FsyncNames(kRootInode)));
  EXPECT_EQ(world.master.Count(Operation::kFlushNames), 1);
  // There is nothing more to wait for.
  ASSERT_TRUE(world.Await(world.fs->FsyncNames(kRootInode)));
  EXPECT_EQ(world.master.Count(Operation::kFlushNames), 1);

  world.master.Restart();
  world.RunUntil([&] { return world.master.sessions_opened.size() == 2; });

  EXPECT_EQ(world.master.sessions_opened.back().again().size(), 0);
}

TEST_F(KeptChangesTest, FsyncOfAFileBringsItsNameToTheDisk) {
  ASSERT_TRUE(world.Connect());
  const Opened made = world.Create("a");

  ASSERT_TRUE(world.Await(world.fs->Fsync(InodeId{made.attributes.inode()}, made.handle, false)));

  EXPECT_EQ(world.master.Count(Operation::kFlushNames), 1);
}

TEST_F(KeptChangesTest, WithDirsyncThereAreNone) {
  world.options.dirsync = true;
  ASSERT_TRUE(world.Connect());

  world.Create("a");

  EXPECT_FALSE(world.master.Last(Operation::kCreate)->keeps());
}

TEST_F(KeptChangesTest, WhatIsDoneUponTheAnswerIsNotKept) {
  ASSERT_TRUE(world.Connect());
  const Opened made = world.Create("a");
  AttributeChange change;
  change.size = 100;

  ASSERT_TRUE(world.Await(world.fs->SetAttributes(InodeId{made.attributes.inode()}, change, {})));

  EXPECT_TRUE(world.master.Last(Operation::kCreate)->keeps());
  EXPECT_FALSE(world.master.Last(Operation::kSetAttributes)->keeps());
}

}  // namespace
}  // namespace ringfs::client
