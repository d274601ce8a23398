// Answers that come before the disk has what they tell, and what is said again after a crash.

#include <gtest/gtest.h>

#include <utility>

#include "proto/backup.pb.h"
#include "service_support.h"

namespace ringfs::master {
namespace {

// Nothing is written unless somebody waits for it.
ServiceOptions NeverByItself() {
  ServiceOptions options;
  options.gather_ms = 3'600'000;
  return options;
}

// A client that keeps its changes, and says them again.
class Keeper : public TestClient {
 public:
  using TestClient::TestClient;

  Result<wire::MetaReply> Change(wire::MetaRequest request) {
    request.set_keeps(true);
    const auto reply = Meta(request);
    if (!reply || reply->unflushed() == 0) return reply;
    wire::MetaRequest& kept = kept_.emplace_back(request);
    kept.mutable_again()->set_time_ns(reply->made_ns());
    if (reply->created()) kept.mutable_again()->set_inode(reply->attributes().inode());
    kept.mutable_again()->set_data(reply->attributes().data());
    return reply;
  }
  Result<wire::MetaReply> Create(const std::string& name, uint64_t parent = 1) {
    wire::MetaRequest request = Request();
    request.mutable_create()->set_parent(parent);
    request.mutable_create()->set_name(name);
    request.mutable_create()->set_mode(0644);
    request.mutable_create()->set_exclusive(true);
    return Change(request);
  }
  Result<wire::MetaReply> MakeDirectory(const std::string& name, uint64_t parent = 1) {
    wire::MetaRequest request = Request();
    request.mutable_make_node()->set_parent(parent);
    request.mutable_make_node()->set_name(name);
    request.mutable_make_node()->set_mode(0040755);
    return Change(request);
  }
  Result<wire::MetaReply> Unlink(const std::string& name) {
    wire::MetaRequest request = Request();
    request.mutable_unlink()->set_parent(1);
    request.mutable_unlink()->set_name(name);
    return Change(request);
  }
  Result<wire::MetaReply> Rename(const std::string& name, const std::string& to,
                                 uint64_t to_parent = 1) {
    wire::MetaRequest request = Request();
    request.mutable_rename()->set_parent(1);
    request.mutable_rename()->set_name(name);
    request.mutable_rename()->set_new_parent(to_parent);
    request.mutable_rename()->set_new_name(to);
    return Change(request);
  }
  Result<wire::MetaReply> Flock(uint64_t inode, wire::LockType type) {
    return Change(LockRequest(inode, type));
  }
  Result<wire::OpenSessionReply> ComeBack() {
    auto reply = Resume({}, {}, kept_);
    if (reply) SayAllDropped();
    return reply;
  }
  std::vector<wire::MetaRequest>& kept() { return kept_; }

 private:
  std::vector<wire::MetaRequest> kept_;
};

class EarlyAnswersTest : public testing::Test {
 protected:
  EarlyAnswersTest() {
    one.OpenCaching();
    other.OpenCaching();
  }

  // Inode 0: there is no such name in the root.
  wire::Attributes Look(TestClient& client, const std::string& name) {
    const auto found = client.Lookup(1, name);
    return found ? found->attributes() : wire::Attributes();
  }

  TestMaster master{nullptr, NeverByItself()};
  Keeper one{master, 'a'};
  Keeper other{master, 'b'};
};

TEST_F(EarlyAnswersTest, ComeToThoseWhoKeepTheChangeAndToNobodyElse) {
  const auto kept = one.Create("kept");
  ASSERT_TRUE(kept);
  EXPECT_GT(kept->unflushed(), kept->flushed());

  EXPECT_EQ(Look(one, "kept").inode(), kept->attributes().inode());

  wire::MetaRequest request = one.Request();
  request.mutable_unlink()->set_parent(1);
  request.mutable_unlink()->set_name("kept");
  const auto waited = one.Meta(request);
  ASSERT_TRUE(waited);
  EXPECT_EQ(waited->unflushed(), 0u);
  EXPECT_GT(waited->flushed(), kept->unflushed());
}

TEST_F(EarlyAnswersTest, AreLostWithTheMasterUnlessTheyAreSaidAgain) {
  ASSERT_TRUE(one.Create("file"));
  master.Crash();
  ASSERT_TRUE(one.Resume());
  ASSERT_TRUE(other.Resume());

  EXPECT_TRUE(one.Lookup(1, "file")->absent());
}

TEST_F(EarlyAnswersTest, WhatIsSaidAgainIsAsItWas) {
  const auto file = one.Create("file");
  const auto directory = one.MakeDirectory("directory");
  ASSERT_TRUE(file && directory);
  const auto inside = one.Create("inside", directory->attributes().inode());
  ASSERT_TRUE(one.Create("gone"));
  ASSERT_TRUE(one.Unlink("gone"));
  ASSERT_TRUE(one.Rename("file", "moved", directory->attributes().inode()));
  EXPECT_EQ(one.kept().size(), 6u);
  const wire::Attributes before = one.GetAttributes(directory->attributes().inode())->attributes();
  const wire::Attributes moved = one.GetAttributes(file->attributes().inode())->attributes();

  master.Crash();
  const auto back = one.ComeBack();
  ASSERT_TRUE(back);
  EXPECT_EQ(back->again_refused(), 0u);
  ASSERT_TRUE(other.ComeBack());

  const auto found = other.Lookup(before.inode(), "moved");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->attributes().SerializeAsString(), moved.SerializeAsString());
  EXPECT_EQ(other.Lookup(1, "directory")->attributes().SerializeAsString(),
            before.SerializeAsString());
  EXPECT_EQ(other.Lookup(before.inode(), "inside")->attributes().inode(),
            inside->attributes().inode());
  EXPECT_TRUE(other.Lookup(1, "gone")->absent());
  EXPECT_TRUE(other.Lookup(1, "file")->absent());
}

TEST_F(EarlyAnswersTest, WhatIsSaidAgainAndWasNotLostIsNotMadeTwice) {
  ASSERT_TRUE(one.MakeDirectory("directory"));
  ASSERT_TRUE(one.Rename("directory", "renamed"));
  one.Disconnect();

  const auto back = one.ComeBack();
  ASSERT_TRUE(back);
  EXPECT_EQ(back->again_refused(), 0u);
  EXPECT_TRUE(one.Lookup(1, "directory")->absent());
  // Who is back knows that all is on the disk.
  one.kept().clear();
  master.Crash();
  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(other.ComeBack());
  EXPECT_NE(Look(one, "renamed").inode(), 0u);
}

TEST_F(EarlyAnswersTest, WhatOthersHaveSeenIsOnTheDisk) {
  ASSERT_TRUE(one.Create("file"));
  ASSERT_NE(Look(other, "file").inode(), 0u);

  one.kept().clear();
  master.Crash();
  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(other.ComeBack());
  EXPECT_NE(Look(other, "file").inode(), 0u);
}

TEST_F(EarlyAnswersTest, AChangeOnTopOfWhatOthersDidWaitsForTheDisk) {
  const auto mine = one.MakeDirectory("mine");
  const auto theirs = other.MakeDirectory("theirs");
  ASSERT_TRUE(mine && theirs);
  // Both have changed the root: the second could not be told at once.
  EXPECT_NE(mine->unflushed(), 0u);
  EXPECT_EQ(theirs->unflushed(), 0u);

  const auto within = one.Create("file", mine->attributes().inode());
  const auto elsewhere = other.Create("file", theirs->attributes().inode());
  ASSERT_TRUE(within && elsewhere);
  EXPECT_NE(within->unflushed(), 0u);
  EXPECT_NE(elsewhere->unflushed(), 0u);
}

TEST_F(EarlyAnswersTest, LeaveInTheOrderInWhichTheyWereFound) {
  ASSERT_TRUE(other.Create("theirs"));
  const auto mine = one.MakeDirectory("mine");
  ASSERT_TRUE(mine);
  ASSERT_TRUE(other.Create("more"));

  // The first has to wait for what the other did, the second for nothing.
  const auto root = one.StartMeta(one.GetAttributesRequest(1));
  wire::MetaRequest create = one.Request();
  create.set_keeps(true);
  create.mutable_create()->set_parent(mine->attributes().inode());
  create.mutable_create()->set_name("file");
  bool after = false;
  const auto created = one.StartMeta(create);
  ASSERT_TRUE(master.RunUntil([&] {
    after = root->has_value();
    return created->has_value();
  }));

  EXPECT_TRUE(after);
}

TEST_F(EarlyAnswersTest, TellWhatTheDirectoryIsLikeNow) {
  ASSERT_TRUE(one.Lookup(1, "file"));  // brings the lease
  const auto made = one.MakeDirectory("directory");
  ASSERT_TRUE(made);

  ASSERT_EQ(made->changed().size(), 1);
  EXPECT_EQ(made->changed(0).SerializeAsString(),
            one.GetAttributes(1)->attributes().SerializeAsString());
}

TEST_F(EarlyAnswersTest, LeaveAFileOpenedUnderItsWriteLeaseUncounted) {
  wire::MetaRequest request = one.Request();
  request.mutable_create()->set_parent(1);
  request.mutable_create()->set_name("file");
  request.mutable_create()->set_mode(0644);
  request.mutable_create()->set_writing(true);
  request.mutable_create()->set_untold(true);
  const auto made = one.Change(request);
  ASSERT_TRUE(made);
  const InodeId inode{made->attributes().inode()};
  EXPECT_TRUE(made->untold());
  EXPECT_EQ(LeaseIn(*made, Raw(inode)), wire::LEASE_WRITE);
  EXPECT_FALSE(master.state().opens().IsOpen(inode));

  // Without the lease it is counted.
  request = other.Request();
  request.mutable_create()->set_parent(1);
  request.mutable_create()->set_name("plain");
  request.mutable_create()->set_mode(0644);
  request.mutable_create()->set_untold(true);
  const auto plain = other.Change(request);
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->untold());
  EXPECT_TRUE(master.state().opens().IsOpen(InodeId{plain->attributes().inode()}));
}

TEST_F(EarlyAnswersTest, FlushNamesBringsThemToTheDisk) {
  ASSERT_TRUE(one.Create("file"));
  wire::MetaRequest flush;
  flush.set_session(one.session());
  flush.mutable_flush_names();
  const auto flushed = one.Meta(flush);
  ASSERT_TRUE(flushed);

  one.kept().clear();
  master.Crash();
  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(other.ComeBack());
  EXPECT_NE(Look(one, "file").inode(), 0u);
}

TEST_F(EarlyAnswersTest, AreInABackupThatIsAskedForLater) {
  ASSERT_TRUE(one.Create("file"));
  ASSERT_TRUE(other.Call<wire::BackupReply>(wire::MASTER_BACKUP, wire::BackupRequest()));

  one.kept().clear();
  master.Crash();
  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(other.ComeBack());
  EXPECT_NE(Look(one, "file").inode(), 0u);
}

TEST_F(EarlyAnswersTest, NumbersThatAreLostAreGivenToNobodyElse) {
  const auto lost = one.Create("lost");
  ASSERT_TRUE(lost);
  master.Crash();
  // Whoever comes first, with a file under its write lease that it truncates.
  ASSERT_TRUE(other.ComeBack());
  wire::MetaRequest request = other.Request();
  request.mutable_make_node()->set_parent(1);
  request.mutable_make_node()->set_name("new");
  request.mutable_make_node()->set_mode(0100644);
  const auto waiting = other.StartMeta(request);
  other.Settle();
  EXPECT_FALSE(waiting->has_value());

  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(master.RunUntil([&] { return waiting->has_value(); }));
  const wire::Attributes made = (**waiting)->attributes();
  EXPECT_GT(made.inode(), lost->attributes().inode());
  EXPECT_GT(made.data(), lost->attributes().data());
  EXPECT_EQ(Look(one, "lost").inode(), lost->attributes().inode());
}

TEST_F(EarlyAnswersTest, NumbersThatWereNeverGivenAreRefused) {
  ASSERT_TRUE(one.Create("file"));
  ASSERT_TRUE(one.Create("second"));
  one.kept()[0].mutable_again()->set_inode(uint64_t{1} << 60);
  one.kept()[1].mutable_again()->set_inode(1);
  master.Crash();

  const auto back = one.ComeBack();
  ASSERT_TRUE(back);
  EXPECT_EQ(back->again_refused(), 2u);
  ASSERT_TRUE(other.ComeBack());
  EXPECT_TRUE(one.Lookup(1, "file")->absent());
}

TEST_F(EarlyAnswersTest, ALockThatWasLostIsNobodyElsesBeforeItsHolderIsBack) {
  const uint64_t file = one.Create("file")->attributes().inode();
  const auto locked = one.Flock(file, wire::LOCK_EXCLUSIVE);
  ASSERT_TRUE(locked);
  EXPECT_NE(locked->unflushed(), 0u);
  master.Crash();

  ASSERT_TRUE(other.ComeBack());
  const auto tried = other.StartMeta(other.LockRequest(file, wire::LOCK_SHARED));
  other.Settle();
  EXPECT_FALSE(tried->has_value());

  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(master.RunUntil([&] { return tried->has_value(); }));
  EXPECT_EQ((**tried).code(), Errc::kWouldBlock);
}

TEST_F(EarlyAnswersTest, AnUnlockReachesTheDiskBeforeOthersHaveTheLock) {
  const uint64_t file = one.Create("file")->attributes().inode();
  ASSERT_TRUE(one.Flock(file, wire::LOCK_EXCLUSIVE));
  const auto freed = one.Flock(file, wire::LOCK_UNLOCK);
  ASSERT_TRUE(freed);
  EXPECT_NE(freed->unflushed(), 0u);

  const auto taken = other.Flock(file, wire::LOCK_EXCLUSIVE);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->unflushed(), 0u);
  EXPECT_GT(taken->flushed(), freed->unflushed());
}

TEST_F(EarlyAnswersTest, AWaitThatTheSessionEndsItselfEndsAtOnce) {
  const uint64_t file = one.Create("file")->attributes().inode();
  ASSERT_TRUE(one.Flock(file, wire::LOCK_EXCLUSIVE));
  const wire::MetaRequest wait = one.LockRequest(file, wire::LOCK_EXCLUSIVE, 7, 2);
  const auto queued = one.Change(wait);
  ASSERT_TRUE(queued && queued->set_lock().queued());
  EXPECT_NE(queued->unflushed(), 0u);

  const auto freed = one.Flock(file, wire::LOCK_UNLOCK);
  ASSERT_TRUE(freed);
  EXPECT_EQ(one.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT).waiter(), 7u);
  EXPECT_LT(one.KeepAlive()->flushed(), freed->unflushed());

  // And it has the lock, not another, when all of that was lost.
  master.Crash();
  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(other.ComeBack());
  EXPECT_EQ(other.Flock(file, wire::LOCK_SHARED).code(), Errc::kWouldBlock);
  ASSERT_TRUE(one.Meta(one.LockRequest(file, wire::LOCK_UNLOCK, 0, 2)));
  EXPECT_TRUE(other.Flock(file, wire::LOCK_SHARED));
}

TEST_F(EarlyAnswersTest, DirectoriesThatMoveWaitForTheDisk) {
  const uint64_t into = one.MakeDirectory("into")->attributes().inode();
  ASSERT_TRUE(one.MakeDirectory("moved"));

  const auto renamed = one.Rename("moved", "moved", into);

  ASSERT_TRUE(renamed);
  EXPECT_EQ(renamed->unflushed(), 0u);
}

TEST_F(EarlyAnswersTest, ErrorsWaitForTheDisk) {
  const auto made = one.MakeDirectory("there");
  ASSERT_NE(made->unflushed(), 0u);

  EXPECT_EQ(one.MakeDirectory("there").code(), Errc::kExists);

  one.kept().clear();
  master.Crash();
  ASSERT_TRUE(one.ComeBack());
  ASSERT_TRUE(other.ComeBack());
  EXPECT_NE(Look(one, "there").inode(), 0u);
}

TEST_F(EarlyAnswersTest, ThoseWhoDoNotCacheHaveNone) {
  Keeper plain{master, 'p'};
  plain.Open();

  const auto made = plain.MakeDirectory("directory");

  ASSERT_TRUE(made);
  EXPECT_EQ(made->unflushed(), 0u);
}

TEST(UnflushedTest, OwnChangesNeedNoDiskAndThoseOfOthersDo) {
  Unflushed unflushed;
  const SessionId a{1};
  const SessionId b{2};
  unflushed.Add(5, a, {InodeId{10}});
  unflushed.Add(6, a, {InodeId{11}});
  unflushed.Add(7, b, {InodeId{11}});
  unflushed.Add(8, SessionId{0}, {InodeId{12}});

  EXPECT_EQ(unflushed.NeededFor(a, {InodeId{10}}), 0u);
  EXPECT_EQ(unflushed.NeededFor(b, {InodeId{10}}), 5u);
  EXPECT_EQ(unflushed.NeededFor(a, {InodeId{11}}), 7u);
  EXPECT_EQ(unflushed.NeededFor(b, {InodeId{11}}), 6u);
  EXPECT_EQ(unflushed.NeededFor(a, {InodeId{12}, InodeId{10}}), 8u);
  EXPECT_EQ(unflushed.NeededFor(a, {InodeId{13}}), 0u);
  EXPECT_EQ(unflushed.NeededForAll(a), 8u);

  unflushed.Flushed(6);
  EXPECT_EQ(unflushed.NeededFor(b, {InodeId{10}}), 0u);
  EXPECT_EQ(unflushed.NeededFor(a, {InodeId{11}}), 7u);
  unflushed.Flushed(8);
  EXPECT_EQ(unflushed.NeededFor(a, {InodeId{11}, InodeId{12}}), 0u);
  EXPECT_EQ(unflushed.NeededForAll(a), 0u);

  unflushed.AddOfAll(9);
  EXPECT_EQ(unflushed.NeededFor(a, {InodeId{10}}), 9u);
}

}  // namespace
}  // namespace ringfs::master
