// Leases of several sessions, through the service.

#include <gtest/gtest.h>

#include "service_support.h"

namespace ringfs::master {
namespace {

constexpr uint64_t kRootNode = 1;
constexpr int64_t kPatientMs = 120'000;

wire::StatusReply StatusOf(TestPeer& peer) {
  const auto status = peer.Call<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  RINGFS_CHECK(bool{status});
  return *status;
}

wire::MetaRequest Chmod(TestClient& client, uint64_t inode, uint32_t slot = 0) {
  wire::MetaRequest request = client.Request(slot);
  request.mutable_set_attributes()->set_inode(inode);
  request.mutable_set_attributes()->set_mode(0600);
  return request;
}

wire::MetaRequest UnlinkRequest(TestClient& client, const std::string& name) {
  wire::MetaRequest request = client.Request();
  request.mutable_unlink()->set_parent(kRootNode);
  request.mutable_unlink()->set_name(name);
  return request;
}

wire::MetaRequest OpenFile(TestClient& client, uint64_t inode, bool writing) {
  wire::MetaRequest request = client.Request();
  request.mutable_open()->set_inode(inode);
  request.mutable_open()->set_writing(writing);
  return request;
}

// A master, two sessions that cache, one that does not.
class LeaseServiceTest : public testing::Test {
 protected:
  LeaseServiceTest() {
    a_.OpenCaching();
    b_.OpenCaching();
    plain_.Open();
  }

  bool Comes(const Pending<wire::MetaReply>& pending) {
    return master_.RunUntil([&] { return pending->has_value(); });
  }
  // Lets time pass in which only `alive` say that they are there.
  void PassTime(int64_t ms, const std::vector<TestClient*>& alive) {
    for (int64_t passed = 0; passed < ms; passed += 1000) {
      master_.PassTime(1000);
      for (TestClient* client : alive) EXPECT_TRUE(client->KeepAlive());
    }
  }

  TestMaster master_;
  TestClient a_{master_, 'a'};
  TestClient b_{master_, 'b'};
  TestClient plain_{master_, 'p'};
};

TEST_F(LeaseServiceTest, AFileThatIsMadeComesWithItsWriteLease) {
  wire::MetaRequest request = a_.Request();
  request.mutable_create()->set_parent(kRootNode);
  request.mutable_create()->set_name("f");
  request.mutable_create()->set_writing(true);
  const auto made = a_.Meta(request);
  ASSERT_TRUE(made);
  const uint64_t inode = made->attributes().inode();
  EXPECT_EQ(LeaseIn(*made, inode), wire::LEASE_WRITE);
  EXPECT_EQ(LeaseIn(*made, kRootNode), wire::LEASE_NONE) << "it had none and is shown nothing of it";

  ASSERT_TRUE(a_.Lookup(kRootNode, "f"));
  const auto changed = a_.Meta(Chmod(a_, inode));
  ASSERT_TRUE(changed);
  EXPECT_EQ(LeaseIn(*changed, inode), wire::LEASE_WRITE);
  EXPECT_EQ(changed->touched_size(), 1);
  a_.Settle();
  EXPECT_FALSE(a_.HasPush(wire::MASTER_PUSH_RECALL)) << "nobody is in the way of himself";

  const auto unlinked = a_.Meta(UnlinkRequest(a_, "f"));
  ASSERT_TRUE(unlinked);
  EXPECT_EQ(unlinked->touched_size(), 2);
  EXPECT_EQ(LeaseIn(*unlinked, kRootNode), wire::LEASE_READ);
}

TEST_F(LeaseServiceTest, AReaderSeesWhatWasHeldBackAndLeavesTheReadLease) {
  const wire::Attributes file = a_.MakeFile("f");
  const auto pending = b_.StartMeta(b_.GetAttributesRequest(file.inode()));
  const wire::RecallPush recall = a_.TakeRecall();
  EXPECT_EQ(recall.inode(), file.inode());
  EXPECT_EQ(recall.keep(), wire::LEASE_READ);
  wire::MetaRequest flush = a_.Request();
  wire::Extend& extend = *flush.mutable_extend();
  extend.set_inode(file.inode());
  extend.set_data(file.data());
  extend.set_generation(file.generation());
  extend.set_end(77);
  extend.set_held_back(true);
  extend.set_mtime_ns(file.mtime_ns() + 5);
  extend.set_ctime_ns(file.ctime_ns() + 6);
  const auto flushed = a_.Meta(flush);
  ASSERT_TRUE(flushed);
  EXPECT_EQ(LeaseIn(*flushed, file.inode()), wire::LEASE_NONE) << "it is being recalled";
  EXPECT_FALSE(pending->has_value());
  a_.Answer(recall);

  ASSERT_TRUE(Comes(pending));
  ASSERT_TRUE(**pending);
  EXPECT_EQ((**pending)->attributes().size(), 77u);
  EXPECT_EQ((**pending)->attributes().mtime_ns(), file.mtime_ns() + 5);
  EXPECT_EQ((**pending)->attributes().ctime_ns(), file.ctime_ns() + 6);
  EXPECT_EQ(LeaseIn(***pending, file.inode()), wire::LEASE_READ);
  EXPECT_EQ(LeaseIn(*a_.GetAttributes(file.inode()), file.inode()), wire::LEASE_READ);
}

TEST_F(LeaseServiceTest, ASessionThatDoesNotCacheIsToldNothingOfLeases) {
  const wire::Attributes file = plain_.MakeFile("f");
  ASSERT_TRUE(a_.Lookup(kRootNode, "f"));
  EXPECT_EQ(plain_.Lookup(kRootNode, "none").code(), Errc::kNotFound);
  const auto looked = plain_.Lookup(kRootNode, "f");
  ASSERT_TRUE(looked);
  EXPECT_EQ(looked->leases_size(), 0);
  const auto pending = plain_.StartMeta(Chmod(plain_, file.inode()));
  a_.Answer(a_.TakeRecall());
  ASSERT_TRUE(Comes(pending));
  EXPECT_EQ((**pending)->touched_size(), 0);
  EXPECT_EQ((**pending)->leases_size(), 0);
  ASSERT_TRUE(a_.Meta(Chmod(a_, file.inode())));
  plain_.Settle();
  EXPECT_FALSE(plain_.HasPush(wire::MASTER_PUSH_RECALL));
}

TEST_F(LeaseServiceTest, AnOpenForWritingGetsTheWriteLeaseOnlyWhenNobodyElseHasItOpen) {
  const uint64_t inode = plain_.MakeFile("f").inode();  // has it open for writing
  EXPECT_EQ(LeaseIn(*b_.Meta(OpenFile(b_, inode, true)), inode), wire::LEASE_NONE)
      << "two that write have none";
  wire::MetaRequest close_b = b_.Request();
  close_b.mutable_close()->set_inode(inode);
  close_b.mutable_close()->set_writing(true);
  ASSERT_TRUE(b_.Meta(close_b));
  wire::MetaRequest close = plain_.Request();
  close.mutable_close()->set_inode(inode);
  close.mutable_close()->set_writing(true);
  ASSERT_TRUE(plain_.Meta(close));
  EXPECT_EQ(LeaseIn(*a_.Meta(OpenFile(a_, inode, false)), inode), wire::LEASE_READ);
  EXPECT_EQ(LeaseIn(*a_.Meta(OpenFile(a_, inode, true)), inode), wire::LEASE_WRITE);

  const auto pending = b_.StartMeta(OpenFile(b_, inode, true));
  a_.Answer(a_.TakeRecall());
  ASSERT_TRUE(Comes(pending));
  EXPECT_EQ(LeaseIn(***pending, inode), wire::LEASE_NONE);
  wire::MetaRequest pages = a_.Request();
  pages.mutable_get_attributes()->set_inode(inode);
  pages.mutable_get_attributes()->set_for_pages(true);
  EXPECT_EQ(LeaseIn(*a_.Meta(pages), inode), wire::LEASE_NONE);
}

TEST_F(LeaseServiceTest, AListingShowsNoAttributesOfWhatAnotherHoldsBack) {
  const uint64_t mine = plain_.MakeFile("mine").inode();
  const uint64_t held = a_.MakeFile("held").inode();
  wire::MetaRequest list = b_.Request();
  list.mutable_read_directory()->set_inode(kRootNode);
  list.mutable_read_directory()->set_max_entries(10);
  list.mutable_read_directory()->set_attributes(true);
  const auto listed = b_.Meta(list);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->entries_size(), 2);
  for (const wire::Entry& entry : listed->entries()) {
    EXPECT_EQ(entry.has_attributes(), entry.inode() == mine);
  }
  EXPECT_EQ(LeaseIn(*listed, kRootNode), wire::LEASE_READ);
  EXPECT_EQ(LeaseIn(*listed, mine), wire::LEASE_READ);
  EXPECT_EQ(LeaseIn(*listed, held), wire::LEASE_NONE);
  a_.Settle();
  EXPECT_FALSE(a_.HasPush(wire::MASTER_PUSH_RECALL));
}

TEST_F(LeaseServiceTest, ARequestForPagesWaitsForTheChangesBeforeItAndGetsALease) {
  const uint64_t inode = plain_.MakeFile("f").inode();
  ASSERT_TRUE(a_.GetAttributes(inode));
  const auto change = plain_.StartMeta(Chmod(plain_, inode));
  const wire::RecallPush recall = a_.TakeRecall();
  wire::MetaRequest pages = b_.GetAttributesRequest(inode);
  pages.mutable_get_attributes()->set_for_pages(true);
  const auto read = b_.StartMeta(pages);
  const auto at_once = b_.GetAttributes(inode);
  ASSERT_TRUE(at_once);
  EXPECT_EQ(at_once->leases_size(), 0);
  EXPECT_FALSE(read->has_value());

  a_.Answer(recall);
  ASSERT_TRUE(Comes(read));
  EXPECT_TRUE(change->has_value());
  ASSERT_TRUE(**read);
  EXPECT_EQ((**read)->attributes().mode() & 07777, 0600u);
  EXPECT_EQ(LeaseIn(***read, inode), wire::LEASE_READ);
}

TEST_F(LeaseServiceTest, WhoDoesNotAnswerIsFencedAfterItsLifeAndTheOthersGoOn) {
  TestServer server(master_, 's');
  ASSERT_TRUE(server.Register());
  const wire::Attributes file = a_.MakeFile("f", 10);
  const auto pending = b_.StartMeta(b_.GetAttributesRequest(file.inode()), kPatientMs);
  a_.TakeRecall();
  for (int64_t passed = 0; passed < kTtlMs - 1000; passed += 1000) {
    PassTime(1000, {&a_, &b_});
    ASSERT_TRUE(server.Heartbeat());
  }
  EXPECT_FALSE(pending->has_value());
  master_.PassTime(1000);
  ASSERT_TRUE(server.Heartbeat());
  master_.PassTime(1000);
  EXPECT_EQ(a_.KeepAlive().code(), Errc::kFenced) << "although it was heard of";
  EXPECT_EQ(StatusOf(b_).lease_timeouts(), 1u);
  ASSERT_TRUE(b_.KeepAlive());
  EXPECT_FALSE(pending->has_value()) << "before the fence is in force";
  server.ConfirmFence(a_.session());
  PassTime(kTtlMs - 4000, {&b_});
  EXPECT_FALSE(pending->has_value()) << "before it must have seen that it has expired";
  PassTime(4000, {&b_});
  ASSERT_TRUE(Comes(pending));
  ASSERT_TRUE(**pending);
  EXPECT_TRUE((**pending)->attributes().has_cut()) << "it may have written behind the end";
}

TEST_F(LeaseServiceTest, WhoIsClosedHasNothingAnyMore) {
  const uint64_t inode = a_.MakeFile("f").inode();
  const auto pending = b_.StartMeta(b_.GetAttributesRequest(inode));
  a_.TakeRecall();
  wire::CloseSessionRequest close;
  close.set_session(a_.session());
  ASSERT_TRUE(a_.Call<wire::CloseSessionReply>(wire::MASTER_CLOSE_SESSION, close));
  EXPECT_TRUE(Comes(pending));
}

TEST_F(LeaseServiceTest, ARecallIsPushedAgainAfterAReconnect) {
  const uint64_t inode = a_.MakeFile("f").inode();
  const auto pending = b_.StartMeta(b_.GetAttributesRequest(inode));
  const wire::RecallPush first = a_.TakeRecall();
  a_.Disconnect();
  const auto resumed = a_.Resume({}, {inode});
  ASSERT_TRUE(resumed);
  ASSERT_EQ(resumed->leases_size(), 1);
  EXPECT_EQ(resumed->leases(0).number(), first.number());
  const wire::RecallPush again = a_.TakeRecall();
  EXPECT_EQ(again.number(), first.number());
  EXPECT_FALSE(pending->has_value());
  a_.Answer(again);
  EXPECT_TRUE(Comes(pending));
}

TEST_F(LeaseServiceTest, WhatWasOpenedUnsaidIsKeptWhenItsNameGoes) {
  const uint64_t inode = plain_.MakeFile("f").inode();
  wire::MetaRequest close = plain_.Request();
  close.mutable_close()->set_inode(inode);
  close.mutable_close()->set_writing(true);
  ASSERT_TRUE(plain_.Meta(close));
  ASSERT_TRUE(a_.GetAttributes(inode));
  const auto pending = plain_.StartMeta(UnlinkRequest(plain_, "f"));
  a_.Answer(a_.TakeRecall(), 1);
  ASSERT_TRUE(Comes(pending));
  master_.PassTime(1000);
  EXPECT_TRUE(plain_.GetAttributes(inode));

  close = a_.Request();
  close.mutable_close()->set_inode(inode);
  ASSERT_TRUE(a_.Meta(close));
  master_.PassTime(1000);
  EXPECT_EQ(plain_.GetAttributes(inode).code(), Errc::kStale);
}

TEST_F(LeaseServiceTest, WhatHasNoNameIsRecalledFromItsLastUserBeforeItGoes) {
  const uint64_t inode = a_.MakeFile("f").inode();
  ASSERT_TRUE(a_.Meta(UnlinkRequest(a_, "f")));
  wire::MetaRequest close = a_.Request();
  close.mutable_close()->set_inode(inode);
  close.mutable_close()->set_writing(true);
  ASSERT_TRUE(a_.Meta(close));
  master_.PassTime(1000);
  EXPECT_TRUE(master_.state().Attributes(InodeId{inode}));
  a_.Answer(a_.TakeRecall());
  master_.PassTime(1000);
  EXPECT_EQ(master_.state().Attributes(InodeId{inode}).code(), Errc::kStale);
}

TEST_F(LeaseServiceTest, TwoThatWriteOneFileDoNotPassTheLeaseToAndFro) {
  wire::Attributes file = a_.MakeFile("f");
  const auto opened = b_.StartMeta(OpenFile(b_, file.inode(), true));
  a_.Answer(a_.TakeRecall());
  ASSERT_TRUE(Comes(opened));
  for (uint64_t end = 1; end <= 40; ++end) {
    TestClient& writer = end % 2 == 0 ? a_ : b_;
    TestClient& other = end % 2 == 0 ? b_ : a_;
    wire::MetaRequest request = writer.Request();
    request.mutable_extend()->set_inode(file.inode());
    request.mutable_extend()->set_data(file.data());
    request.mutable_extend()->set_generation(file.generation());
    request.mutable_extend()->set_end(end);
    const auto pending = writer.StartMeta(request);
    ASSERT_TRUE(master_.RunUntil(
        [&] { return pending->has_value() || other.HasPush(wire::MASTER_PUSH_RECALL); }));
    if (!pending->has_value()) other.Answer(other.TakeRecall());
    ASSERT_TRUE(Comes(pending));
  }
  EXPECT_LE(StatusOf(a_).lease_recalls(), 4u);
}

// --- a restart of the master

TEST_F(LeaseServiceTest, ChangesWaitAfterARestartUntilAllIsDropped) {
  const uint64_t inode = plain_.MakeFile("f").inode();
  ASSERT_TRUE(a_.GetAttributes(inode));
  master_.Restart();
  ASSERT_TRUE(plain_.Resume());
  const auto read = plain_.StartMeta(plain_.GetAttributesRequest(inode));
  const auto change = plain_.StartMeta(Chmod(plain_, inode, 1));
  plain_.Settle();
  EXPECT_FALSE(read->has_value()) << "it may be held back by any of them";

  ASSERT_TRUE(a_.Resume());
  ASSERT_TRUE(b_.Resume());
  ASSERT_TRUE(Comes(read));
  EXPECT_FALSE(change->has_value());
  a_.SayAllDropped();
  plain_.Settle();
  EXPECT_FALSE(change->has_value());
  b_.SayAllDropped();
  ASSERT_TRUE(Comes(change));
  EXPECT_TRUE(**change);
}

TEST_F(LeaseServiceTest, AWriteLeaseStandsAfterARestart) {
  const uint64_t inode = a_.MakeFile("f").inode();
  master_.Restart();
  ASSERT_TRUE(b_.Resume());
  b_.SayAllDropped();
  const auto read = b_.StartMeta(b_.GetAttributesRequest(inode));
  const auto resumed = a_.Resume({}, {inode});
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->run(), 2u);
  ASSERT_EQ(resumed->leases_size(), 1);
  EXPECT_EQ(resumed->leases(0).inode(), inode);
  EXPECT_EQ(resumed->leases(0).kind(), wire::LEASE_WRITE);
  const wire::RecallPush recall = a_.TakeRecall();
  EXPECT_EQ(recall.number(), resumed->leases(0).number());
  EXPECT_FALSE(read->has_value());
  a_.Answer(recall);
  ASSERT_TRUE(Comes(read));
  EXPECT_EQ(LeaseIn(***read, inode), wire::LEASE_READ);
}

TEST_F(LeaseServiceTest, WhoDoesNotReturnAfterARestartIsWaitedForOnlyForItsLife) {
  const uint64_t inode = a_.MakeFile("f").inode();
  master_.Restart();
  ASSERT_TRUE(plain_.Resume());
  ASSERT_TRUE(b_.Resume());
  b_.SayAllDropped();
  const auto change = plain_.StartMeta(Chmod(plain_, inode), kPatientMs);
  PassTime(kTtlMs - 1000, {&plain_, &b_});
  EXPECT_FALSE(change->has_value());
  PassTime(2000, {&plain_, &b_});
  EXPECT_TRUE(Comes(change));
}

TEST(LeaseGrace, IsNotNeededWhereNobodyCaches) {
  TestMaster master;
  TestClient gone(master, 'a');
  gone.Open();
  TestClient client(master, 'b');
  client.Open();
  const uint64_t inode = client.MakeFile("f").inode();
  master.Restart();
  ASSERT_TRUE(client.Resume());
  EXPECT_TRUE(client.Meta(Chmod(client, inode)));
}

// --- the flocks of an inode under a lease

TEST_F(LeaseServiceTest, WhoAloneHasFlocksOfAFileGetsThemToItself) {
  const wire::Attributes file = a_.MakeFile("f");
  const uint64_t locks = Raw(LocksOf(InodeId{file.inode()}));
  wire::MetaRequest request = a_.LockRequest(file.inode(), wire::LOCK_EXCLUSIVE);
  const auto unasked = a_.Meta(request);
  ASSERT_TRUE(unasked);
  EXPECT_EQ(LeaseIn(*unasked, locks), wire::LEASE_NONE) << "only who asks for it gets it";
  request = a_.LockRequest(file.inode(), wire::LOCK_EXCLUSIVE);
  request.mutable_set_lock()->set_lease(true);
  const auto locked = a_.Meta(request);
  ASSERT_TRUE(locked);
  EXPECT_EQ(LeaseIn(*locked, locks), wire::LEASE_WRITE);

  // Another session waits until they are given back.
  const auto pending = b_.StartMeta(b_.LockRequest(file.inode(), wire::LOCK_EXCLUSIVE, 5));
  const wire::RecallPush recall = a_.TakeRecall();
  EXPECT_EQ(recall.inode(), locks);
  EXPECT_EQ(recall.keep(), wire::LEASE_NONE);
  EXPECT_FALSE(pending->has_value());
  ASSERT_TRUE(a_.Lock(file.inode(), wire::LOCK_UNLOCK));
  EXPECT_FALSE(pending->has_value()) << "it may still hold what the master does not know of";
  a_.Answer(recall);
  ASSERT_TRUE(Comes(pending));
  ASSERT_TRUE(**pending);
  EXPECT_FALSE((**pending)->set_lock().queued());

  // While somebody else holds one there is no lease, however quiet it is.
  PassTime(2000, {&a_, &b_, &plain_});
  request = a_.LockRequest(file.inode(), wire::LOCK_EXCLUSIVE, 6);
  request.mutable_set_lock()->set_lease(true);
  const auto queued = a_.Meta(request);
  ASSERT_TRUE(queued);
  EXPECT_TRUE(queued->set_lock().queued());
  EXPECT_EQ(LeaseIn(*queued, locks), wire::LEASE_NONE);
}

TEST_F(LeaseServiceTest, FlocksAreGivenAwayWhenTheirHolderHasExpired) {
  const wire::Attributes file = a_.MakeFile("f");
  wire::MetaRequest request = a_.LockRequest(file.inode(), wire::LOCK_SHARED);
  request.mutable_set_lock()->set_lease(true);
  ASSERT_TRUE(a_.Meta(request));
  ASSERT_TRUE(a_.Lock(file.inode(), wire::LOCK_UNLOCK));

  // The master knows of no lock any more, and of the lease.
  const auto pending =
      plain_.StartMeta(plain_.LockRequest(file.inode(), wire::LOCK_EXCLUSIVE), kPatientMs);
  PassTime(3000, {&b_, &plain_});
  EXPECT_FALSE(pending->has_value());
  PassTime(12'000, {&b_, &plain_});

  ASSERT_TRUE(Comes(pending));
  EXPECT_TRUE(**pending);
}

TEST_F(LeaseServiceTest, FlocksUnderLeaseOutliveARestart) {
  const wire::Attributes file = a_.MakeFile("f");
  const uint64_t locks = Raw(LocksOf(InodeId{file.inode()}));
  wire::MetaRequest request = a_.LockRequest(file.inode(), wire::LOCK_SHARED);
  request.mutable_set_lock()->set_lease(true);
  ASSERT_TRUE(a_.Meta(request));
  ASSERT_TRUE(a_.Lock(file.inode(), wire::LOCK_UNLOCK));
  master_.Restart();
  ASSERT_TRUE(b_.Resume());
  b_.SayAllDropped();
  const auto back = a_.Resume({}, {locks});
  ASSERT_TRUE(back);
  EXPECT_EQ(back->leases_size(), 1);
  a_.SayAllDropped();

  const auto pending = b_.StartMeta(b_.LockRequest(file.inode(), wire::LOCK_EXCLUSIVE));
  const wire::RecallPush recall = a_.TakeRecall();
  EXPECT_EQ(recall.inode(), locks);
  a_.Answer(recall);

  ASSERT_TRUE(Comes(pending));
  EXPECT_TRUE(**pending);
}

}  // namespace
}  // namespace ringfs::master
