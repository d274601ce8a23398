#include <gtest/gtest.h>

#include "service_support.h"

namespace ringfs::master {
namespace {

wire::MetaRequest MakeDirectory(TestClient& client, const std::string& name) {
  wire::MetaRequest request = client.Request();
  request.mutable_make_node()->set_parent(Raw(kRootInode));
  request.mutable_make_node()->set_name(name);
  request.mutable_make_node()->set_mode(0040755);
  return request;
}

wire::StatusReply Status(TestPeer& peer) {
  const auto status = peer.Call<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  RINGFS_CHECK(bool{status});
  return *status;
}

TEST(Session, LivesAsLongAsItIsKeptAlive) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  for (int i = 0; i < 4; ++i) {
    master.PassTime(kTtlMs / 2);
    EXPECT_TRUE(client.KeepAlive());
  }

  master.PassTime(kTtlMs + 1000);
  EXPECT_EQ(client.KeepAlive().code(), Errc::kFenced);
  EXPECT_EQ(client.Meta(MakeDirectory(client, "late")).code(), Errc::kFenced);
  EXPECT_EQ(client.Resume().code(), Errc::kFenced);
}

TEST(Session, ThatHasExpiredMayBeFollowedByAnotherOnTheSameConnection) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  const uint64_t first = client.session();
  master.PassTime(kTtlMs + 1000);
  ASSERT_EQ(client.KeepAlive().code(), Errc::kFenced);
  client.Forget();
  client.Open();
  EXPECT_NE(client.session(), first);
  EXPECT_TRUE(client.Meta(MakeDirectory(client, "d")));
}

TEST(Session, HasTheTimeToLiveThatItAskedFor) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open(60'000);
  master.PassTime(50'000);
  EXPECT_TRUE(client.KeepAlive());
}

TEST(Session, IsServedOnlyOnItsOwnConnection) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  TestClient thief(master, 'b');
  thief.Open();

  wire::MetaRequest request = thief.Request();
  request.set_session(client.session());
  request.mutable_get_attributes()->set_inode(1);
  EXPECT_EQ(thief.Meta(request).code(), Errc::kNotPermitted);
  wire::OpenSessionRequest take_over = thief.OpenRequest();
  take_over.set_session(client.session());
  EXPECT_EQ(thief.Call<wire::OpenSessionReply>(wire::MASTER_OPEN_SESSION, take_over).code(),
            Errc::kNotPermitted);
  take_over.set_cluster_id(std::string(16, 'x'));
  EXPECT_EQ(thief.Call<wire::OpenSessionReply>(wire::MASTER_OPEN_SESSION, take_over).code(),
            Errc::kWrongCluster);
}

TEST(Session, IsOpenedOnceWhenTheAnswerIsLost) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  const uint64_t first = client.session();
  client.Open();
  EXPECT_EQ(client.session(), first);
  EXPECT_EQ(Status(client).sessions(), 1u);
}

TEST(Session, IsRefusedWhenThereAreTooMany) {
  ServiceOptions options;
  options.max_sessions = 1;
  TestMaster master(nullptr, options);
  TestClient client(master, 'a');
  client.Open();
  TestClient other(master, 'b');
  EXPECT_EQ(other.Resume().code(), Errc::kUnavailable);
}

TEST(Changes, AreAppliedOnceOverAReconnect) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  const wire::MetaRequest request = MakeDirectory(client, "d");
  const auto first = client.Meta(request);
  ASSERT_TRUE(first);

  client.Disconnect();
  ASSERT_TRUE(client.Resume());
  const auto again = client.Meta(request);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->attributes().inode(), first->attributes().inode());

  master.Restart();
  ASSERT_TRUE(client.Resume());
  const auto after_restart = client.Meta(request);
  ASSERT_TRUE(after_restart);
  EXPECT_EQ(after_restart->attributes().inode(), first->attributes().inode());
}

TEST(Changes, NeedASlotAndASequence) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  wire::MetaRequest request = MakeDirectory(client, "d");
  request.set_slot(kSlots);
  EXPECT_EQ(client.Meta(request).code(), Errc::kProtocol);
}

TEST(Changes, OfManyClientsAllArrive) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  std::vector<Pending<wire::MetaReply>> pending;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    for (TestClient* client : {&a, &b}) {
      wire::MetaRequest request = MakeDirectory(*client, "");
      request.mutable_make_node()->set_name(std::to_string(client->session()) + "-" +
                                            std::to_string(slot));
      request.set_slot(slot);
      pending.push_back(client->StartMeta(request));
    }
  }
  ASSERT_TRUE(master.RunUntil([&] {
    return std::all_of(pending.begin(), pending.end(),
                       [](const auto& p) { return p->has_value(); });
  }));
  for (const auto& answer : pending) EXPECT_TRUE(**answer) << (*answer)->error().ToString();
  EXPECT_EQ(Status(a).inodes(), 1 + 2 * kSlots);
}

TEST(Locks, ArePushedToTheNextInLine) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_EXCLUSIVE));
  const auto queued = b.Lock(file, wire::LOCK_EXCLUSIVE, 77);
  ASSERT_TRUE(queued);
  EXPECT_TRUE(queued->set_lock().queued());

  ASSERT_TRUE(a.Lock(file, wire::LOCK_UNLOCK));
  const auto grant = b.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT);
  EXPECT_EQ(grant.waiter(), 77u);
  EXPECT_EQ(grant.inode(), file);
  EXPECT_EQ(a.Lock(file, wire::LOCK_EXCLUSIVE).code(), Errc::kWouldBlock);
}

TEST(Locks, AreFreedByACleanEndAtOnce) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_EXCLUSIVE));
  ASSERT_TRUE(b.Lock(file, wire::LOCK_EXCLUSIVE, 5));

  wire::CloseSessionRequest close;
  close.set_session(a.session());
  ASSERT_TRUE(a.Call<wire::CloseSessionReply>(wire::MASTER_CLOSE_SESSION, close));
  EXPECT_EQ(b.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT).waiter(), 5u);
}

TEST(Locks, OfAnExpiredSessionWaitForTheChunkservers) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open(1'000);
  b.Open(60'000);
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_EXCLUSIVE));
  ASSERT_TRUE(b.Lock(file, wire::LOCK_EXCLUSIVE, 5));

  master.PassTime(1'200);
  const auto fence = server.TakePush<wire::FencePush>(wire::MASTER_PUSH_FENCE);
  ASSERT_EQ(fence.sessions_size(), 1);
  EXPECT_EQ(fence.sessions(0), a.session());
  wire::CheckSessionRequest check;
  check.set_session(a.session());
  const auto live = server.Call<wire::CheckSessionReply>(wire::MASTER_CHECK_SESSION, check);
  ASSERT_TRUE(live);
  EXPECT_FALSE(live->live());
  b.Settle();
  EXPECT_FALSE(b.HasPush(wire::MASTER_PUSH_GRANT));

  server.ConfirmFence(a.session());
  EXPECT_EQ(b.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT).waiter(), 5u);
}

TEST(Locks, OfAnExpiredSessionDoNotWaitForAServerWithoutALease) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open(1'000);
  b.Open(60'000);
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_EXCLUSIVE));
  ASSERT_TRUE(b.Lock(file, wire::LOCK_EXCLUSIVE, 5));

  master.PassTime(1'200);
  b.Settle();
  EXPECT_FALSE(b.HasPush(wire::MASTER_PUSH_GRANT));
  master.PassTime(kLeaseMs);
  EXPECT_EQ(b.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT).waiter(), 5u);
}

TEST(Locks, AndTheirWaitersSurviveARestart) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_EXCLUSIVE));
  ASSERT_TRUE(b.Lock(file, wire::LOCK_EXCLUSIVE, 5));

  master.Restart();
  ASSERT_TRUE(a.Resume());
  ASSERT_TRUE(b.Resume());
  wire::MetaRequest ask = b.Request();
  ask.mutable_lock_status()->set_inode(file);
  ask.mutable_lock_status()->set_waiter(5);
  const auto status = b.Meta(ask);
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->lock_status().waiting());
  ASSERT_TRUE(a.Lock(file, wire::LOCK_UNLOCK));
  EXPECT_EQ(b.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT).waiter(), 5u);
}

TEST(Locks, BrokenByAnAdministratorGoToTheNextWhenTheirHolderKnows) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open();
  b.Open();
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_EXCLUSIVE));
  ASSERT_TRUE(b.Lock(file, wire::LOCK_EXCLUSIVE, 5));
  wire::ListLocksRequest list;
  list.set_path("/f");
  const auto locks = b.Call<wire::ListLocksReply>(wire::MASTER_LIST_LOCKS, list);
  ASSERT_TRUE(locks);
  ASSERT_EQ(locks->locks_size(), 2);
  EXPECT_EQ(locks->locks(0).host(), "host-a");
  EXPECT_EQ(locks->locks(0).path(), "/f");
  EXPECT_TRUE(locks->locks(1).waiting());

  wire::BreakLockRequest request;
  request.set_session(a.session());
  ASSERT_TRUE(b.Call<wire::BreakLockReply>(wire::MASTER_BREAK_LOCK, request));
  EXPECT_EQ(a.Resume().code(), Errc::kFenced);
  b.Settle();
  EXPECT_FALSE(b.HasPush(wire::MASTER_PUSH_GRANT));

  wire::OpenSessionRequest open = a.OpenRequest();
  open.set_session(0);
  open.set_client("another run of a");
  open.set_lost(a.session());
  ASSERT_TRUE(a.Call<wire::OpenSessionReply>(wire::MASTER_OPEN_SESSION, open));
  EXPECT_EQ(b.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT).waiter(), 5u);
}

TEST(Locks, BrokenByAnAdministratorGoToTheNextWhenTheirHolderMustHaveNoticed) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  a.Open(5'000);
  b.Open(60'000);
  const uint64_t file = a.MakeFile("f").inode();
  ASSERT_TRUE(a.Lock(file, wire::LOCK_EXCLUSIVE));
  ASSERT_TRUE(b.Lock(file, wire::LOCK_EXCLUSIVE, 5));
  wire::BreakLockRequest request;
  request.set_session(a.session());
  ASSERT_TRUE(b.Call<wire::BreakLockReply>(wire::MASTER_BREAK_LOCK, request));

  master.PassTime(4'000);
  b.Settle();
  EXPECT_FALSE(b.HasPush(wire::MASTER_PUSH_GRANT));
  master.PassTime(1'200);
  EXPECT_EQ(b.TakePush<wire::GrantPush>(wire::MASTER_PUSH_GRANT).waiter(), 5u);
}

TEST(Standstill, OfTheMasterTakesNothingFromSessions) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  master.StandStill(10 * kTtlMs);
  EXPECT_TRUE(client.KeepAlive());
}

TEST(BadInput, EndsTheConnectionAndNothingElse) {
  TestMaster master;
  TestClient good(master, 'a');
  good.Open();
  for (const uint32_t method :
       {wire::MASTER_META, wire::MASTER_OPEN_SESSION, wire::MASTER_REGISTER_SERVER,
        wire::MASTER_HEARTBEAT, wire::MASTER_FENCE_DONE, wire::MASTER_WHERE}) {
    SCOPED_TRACE(method);
    TestPeer bad(master);
    EXPECT_EQ(bad.CallRaw(method, "\xff\xff\xff").code(), Errc::kProtocol);
  }
  TestPeer lost(master);
  EXPECT_EQ(lost.CallRaw(9999, "").code(), Errc::kNotSupported);
  EXPECT_TRUE(good.KeepAlive());
}

TEST(BadInput, OfAnOperationFromALaterVersionIsRefusedInWords) {
  TestMaster master;
  TestClient client(master, 'a');
  client.Open();
  EXPECT_EQ(client.Meta(client.Request()).code(), Errc::kNotSupported);
}

}  // namespace
}  // namespace ringfs::master
