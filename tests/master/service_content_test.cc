#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service_support.h"

namespace ringfs::master {
namespace {

using testing::UnorderedElementsAre;

wire::MetaRequest BeginAppend(TestClient& client, uint64_t inode) {
  wire::MetaRequest request = client.Request();
  request.mutable_begin_append()->set_inode(inode);
  return request;
}

Result<wire::MetaReply> Append(TestClient& client, const wire::Attributes& file, uint64_t end) {
  wire::MetaRequest request = client.Request();
  request.mutable_extend()->set_inode(file.inode());
  request.mutable_extend()->set_data(file.data());
  request.mutable_extend()->set_generation(file.generation());
  request.mutable_extend()->set_end(end);
  request.mutable_extend()->set_append(true);
  return client.Meta(request);
}

Result<wire::MetaReply> Truncate(TestClient& client, uint64_t inode, uint64_t size) {
  wire::MetaRequest request = client.Request();
  request.mutable_set_attributes()->set_inode(inode);
  request.mutable_set_attributes()->set_size(size);
  return client.Meta(request);
}

Result<wire::MetaReply> Unlink(TestClient& client, const std::string& name) {
  wire::MetaRequest request = client.Request();
  request.mutable_unlink()->set_parent(Raw(kRootInode));
  request.mutable_unlink()->set_name(name);
  return client.Meta(request);
}

Result<wire::MetaReply> Close(TestClient& client, uint64_t inode) {
  wire::MetaRequest request = client.Request();
  request.mutable_close()->set_inode(inode);
  request.mutable_close()->set_writing(true);
  return client.Meta(request);
}

uint64_t GarbageEntries(TestPeer& peer) {
  const auto status = peer.Call<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  RINGFS_CHECK(bool{status});
  return status->garbage_entries();
}

wire::OpenInode OpenForWriting(uint64_t inode, bool appending = false) {
  wire::OpenInode open;
  open.set_inode(inode);
  open.set_writers(1);
  open.set_appending(appending);
  return open;
}

TEST(AppendTurn, IsGivenInTheOrderOfAsking) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  TestClient c(master, 'c');
  for (TestClient* client : {&a, &b, &c}) client->Open();
  const uint64_t file = a.MakeFile("f").inode();
  const auto first = a.Meta(BeginAppend(a, file));
  ASSERT_TRUE(first);
  const auto second = b.StartMeta(BeginAppend(b, file));
  b.Settle();
  const auto third = c.StartMeta(BeginAppend(c, file));
  c.Settle();
  EXPECT_FALSE(second->has_value());

  ASSERT_TRUE(Append(a, first->attributes(), 10));
  ASSERT_TRUE(master.RunUntil([&] { return second->has_value(); }));
  ASSERT_TRUE(**second);
  EXPECT_EQ((**second)->attributes().size(), 10u);
  c.Settle();
  EXPECT_FALSE(third->has_value());
  wire::MetaRequest abort = b.Request();
  abort.mutable_abort_append()->set_inode(file);
  ASSERT_TRUE(b.Meta(abort));
  EXPECT_TRUE(master.RunUntil([&] { return third->has_value(); }));
}

TEST(AppendTurn, OfAnEndedSessionGoesToTheNext) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open(1'000);
  b.Open(60'000);
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Meta(BeginAppend(a, file)));
  const auto waiting = b.StartMeta(BeginAppend(b, file));
  b.Settle();

  master.PassTime(1'500);
  EXPECT_TRUE(master.RunUntil([&] { return waiting->has_value(); }));
  EXPECT_TRUE(**waiting);
}

TEST(AppendTurn, WaitEndsWithItsTime) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Meta(BeginAppend(a, file)));
  const auto waiting = b.StartMeta(BeginAppend(b, file), 50);
  ASSERT_TRUE(master.RunUntil([&] { return waiting->has_value(); }));
  EXPECT_EQ((*waiting)->code(), Errc::kTimedOut);
}

TEST(AppendTurn, IsNotGivenAfterARestartBeforeAllHaveReturned) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const wire::Attributes file = a.MakeFile("f");
  ASSERT_TRUE(a.Meta(BeginAppend(a, file.inode())));

  master.Restart();
  ASSERT_TRUE(b.Resume());
  const auto waiting = b.StartMeta(BeginAppend(b, file.inode()));
  b.Settle();
  EXPECT_FALSE(waiting->has_value());
  ASSERT_TRUE(a.Resume({OpenForWriting(file.inode(), true)}));
  b.Settle();
  EXPECT_FALSE(waiting->has_value());
  ASSERT_TRUE(Append(a, file, 10));
  ASSERT_TRUE(master.RunUntil([&] { return waiting->has_value(); }));
  EXPECT_EQ((**waiting)->attributes().size(), 10u);
}

TEST(Cut, HoldsWhatGrowsTheFileUntilItIsDone) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f", 8192).inode();
  const auto cut = Truncate(a, file, 100);
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->attributes().cut().session(), a.session());

  wire::MetaRequest grow = b.Request();
  grow.mutable_set_attributes()->set_inode(file);
  grow.mutable_set_attributes()->set_size(5000);
  const auto held = b.StartMeta(grow);
  b.Settle();
  EXPECT_FALSE(held->has_value());
  wire::MetaRequest done = a.Request();
  done.mutable_cut_done()->set_inode(file);
  done.mutable_cut_done()->set_generation(cut->attributes().generation());
  ASSERT_TRUE(a.Meta(done));
  ASSERT_TRUE(master.RunUntil([&] { return held->has_value(); }));
  ASSERT_TRUE(**held) << (*held)->error().ToString();
  EXPECT_EQ((**held)->attributes().size(), 5000u);
}

TEST(Cut, HeldRequestThatTimedOutMayBeSentAgain) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f", 8192).inode();
  const auto cut = Truncate(a, file, 100);
  ASSERT_TRUE(cut);
  wire::MetaRequest grow = b.Request();
  grow.mutable_set_attributes()->set_inode(file);
  grow.mutable_set_attributes()->set_size(5000);
  const auto held = b.StartMeta(grow, 50);
  ASSERT_TRUE(master.RunUntil([&] { return held->has_value(); }));
  EXPECT_EQ((*held)->code(), Errc::kTimedOut);

  wire::MetaRequest done = a.Request();
  done.mutable_cut_done()->set_inode(file);
  done.mutable_cut_done()->set_generation(cut->attributes().generation());
  ASSERT_TRUE(a.Meta(done));
  EXPECT_TRUE(b.Meta(grow));
}

TEST(Cut, OfAnExpiredSessionIsClaimedByWhoWaits) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open(1'000);
  b.Open(60'000);
  const uint64_t file = a.MakeFile("f", 8192).inode();
  ASSERT_TRUE(Truncate(a, file, 100));
  wire::MetaRequest claim = b.Request();
  claim.mutable_claim_cut()->set_inode(file);
  const auto held = b.StartMeta(claim);
  b.Settle();
  EXPECT_FALSE(held->has_value());

  master.PassTime(1'500);
  ASSERT_TRUE(master.RunUntil([&] { return held->has_value(); }));
  ASSERT_TRUE(**held) << (*held)->error().ToString();
  EXPECT_EQ((**held)->attributes().cut().session(), b.session());
}

TEST(Cut, HoldsNoMoreThanItsBoundOfASession) {
  ServiceOptions options;
  options.max_held_per_session = 1;
  TestMaster master(nullptr, options);
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f", 8192).inode();
  ASSERT_TRUE(Truncate(a, file, 100));
  wire::MetaRequest claim = b.Request(1);
  claim.mutable_claim_cut()->set_inode(file);
  const auto held = b.StartMeta(claim);
  b.Settle();
  EXPECT_EQ(Truncate(b, file, 5000).code(), Errc::kUnavailable);
  EXPECT_FALSE(held->has_value());
}

TEST(Garbage, IsRemovedByEveryServerBeforeItIsForgotten) {
  TestMaster master;
  TestServer s(master, 's');
  TestServer t(master, 't');
  ASSERT_TRUE(s.Register());
  ASSERT_TRUE(t.Register());
  TestClient a(master, 'a');
  a.Open();
  const wire::Attributes file = a.MakeFile("f", 4096);
  ASSERT_TRUE(Close(a, file.inode()));
  ASSERT_TRUE(Unlink(a, "f"));
  master.PassTime(200);

  const auto push = s.TakePush<wire::GarbagePush>(wire::MASTER_PUSH_GARBAGE);
  ASSERT_EQ(push.items_size(), 1);
  EXPECT_EQ(push.items(0).data(), file.data());
  s.ConfirmGarbage(push);
  EXPECT_EQ(GarbageEntries(a), 1u);
  t.ConfirmGarbage(t.TakePush<wire::GarbagePush>(wire::MASTER_PUSH_GARBAGE));
  EXPECT_EQ(GarbageEntries(a), 0u);
}

TEST(Garbage, IsKeptForAServerThatIsAway) {
  TestMaster master;
  TestServer s(master, 's');
  TestServer t(master, 't');
  ASSERT_TRUE(s.Register());
  ASSERT_TRUE(t.Register());
  TestClient a(master, 'a');
  a.Open(60'000);
  t.Disconnect();
  for (int i = 0; i < 3; ++i) {
    const wire::Attributes file = a.MakeFile("f", 4096);
    ASSERT_TRUE(Close(a, file.inode()));
    ASSERT_TRUE(Unlink(a, "f"));
    master.PassTime(200);
    s.ConfirmGarbage(s.TakePush<wire::GarbagePush>(wire::MASTER_PUSH_GARBAGE));
  }
  EXPECT_EQ(GarbageEntries(a), 3u);

  ASSERT_TRUE(t.Register());
  t.ConfirmGarbage(t.TakePush<wire::GarbagePush>(wire::MASTER_PUSH_GARBAGE));
  EXPECT_EQ(GarbageEntries(a), 0u);
}

TEST(Garbage, IsNotMadeOfAFileThatSomebodyHasOpen) {
  TestMaster master;
  TestServer s(master, 's');
  ASSERT_TRUE(s.Register());
  TestClient a(master, 'a');
  a.Open();
  const wire::Attributes file = a.MakeFile("f", 4096);
  ASSERT_TRUE(Unlink(a, "f"));
  master.PassTime(400);
  a.Settle();
  EXPECT_EQ(GarbageEntries(a), 0u);

  ASSERT_TRUE(Close(a, file.inode()));
  master.PassTime(400);
  EXPECT_EQ(s.TakePush<wire::GarbagePush>(wire::MASTER_PUSH_GARBAGE).items(0).data(), file.data());
}

TEST(Garbage, IsMadeAfterARestartOnlyWhenAllHaveReturned) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t kept = a.MakeFile("kept", 4096).inode();
  a.MakeFile("left", 4096);
  ASSERT_TRUE(Unlink(a, "kept"));
  ASSERT_TRUE(Unlink(a, "left"));

  master.Restart();
  ASSERT_TRUE(b.Resume());
  master.PassTime(1'000);
  EXPECT_EQ(GarbageEntries(b), 0u);
  ASSERT_TRUE(a.Resume({OpenForWriting(kept)}));
  master.PassTime(400);
  EXPECT_EQ(GarbageEntries(b), 1u);
  EXPECT_EQ(Close(a, kept).code(), Errc::kOk);
  master.PassTime(400);
  EXPECT_EQ(GarbageEntries(b), 2u);
}

TEST(Garbage, IsMadeWhenTheSessionThatHadItOpenExpires) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open(1'000);
  b.Open(60'000);
  a.MakeFile("f", 4096);
  ASSERT_TRUE(Unlink(a, "f"));
  master.PassTime(1'500);
  master.PassTime(400);
  EXPECT_EQ(GarbageEntries(b), 1u);
}

TEST(StatFs, CountsWhatCanBePlaced) {
  TestMaster master;
  TestServer s(master, 's');
  TestServer t(master, 't');
  ASSERT_TRUE(s.Register(1000, 100));
  ASSERT_TRUE(t.Register(600, 200));
  TestClient a(master, 'a');
  a.Open();
  wire::MetaRequest request = a.Request();
  request.mutable_stat_fs()->set_inode(1);
  const auto reply = a.Meta(request);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->stat_fs().capacity_bytes(), 600u);
  EXPECT_EQ(reply->stat_fs().free_bytes(), 400u);
  EXPECT_EQ(reply->stat_fs().files(), 1u);
  EXPECT_GT(reply->stat_fs().files_free(), 1'000'000u);
}

TEST(Where, ResolvesAPath) {
  TestMaster master;
  TestClient a(master, 'a');
  a.Open();
  const uint64_t file = a.MakeFile("f", 4096).inode();
  wire::WhereRequest request;
  request.set_path("/f");
  const auto found = a.Call<wire::WhereReply>(wire::MASTER_WHERE, request);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->attributes().inode(), file);
  request.set_path("/none");
  EXPECT_EQ(a.Call<wire::WhereReply>(wire::MASTER_WHERE, request).code(), Errc::kNotFound);
}

TEST(Sessions, AreListedWithWhatTheyHold) {
  TestMaster master;
  TestClient a(master, 'a');
  a.Open();
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_SHARED));
  master.PassTime(2'000);
  const auto list =
      a.Call<wire::ListSessionsReply>(wire::MASTER_LIST_SESSIONS, wire::ListSessionsRequest());
  ASSERT_TRUE(list);
  ASSERT_EQ(list->sessions_size(), 1);
  const wire::SessionInfo& info = list->sessions(0);
  EXPECT_EQ(info.host(), "host-a");
  EXPECT_EQ(info.open_files(), 1u);
  EXPECT_EQ(info.locks(), 1u);
  EXPECT_TRUE(info.connected());
  EXPECT_EQ(info.expires_in_ms(), kTtlMs - 2'000);
  EXPECT_NEAR(info.age_ms(), 2'000, 1);
}

}  // namespace
}  // namespace ringfs::master
