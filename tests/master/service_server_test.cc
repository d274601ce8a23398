#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service_support.h"

namespace ringfs::master {
namespace {

wire::Server ServerInMap(TestPeer& peer, uint32_t id) {
  const auto map = peer.Call<wire::ClusterMap>(wire::MASTER_GET_MAP, wire::GetMapRequest());
  RINGFS_CHECK(bool{map});
  for (const wire::Server& server : map->servers()) {
    if (server.id() == id) return server;
  }
  return {};
}

Result<wire::ServerOrderReply> Order(TestPeer& peer, const std::string& server,
                                     wire::ServerOrder order, uint32_t weight = 0) {
  wire::ServerOrderRequest request;
  request.set_server(server);
  request.set_order(order);
  request.set_weight(weight);
  return peer.Call<wire::ServerOrderReply>(wire::MASTER_SERVER_ORDER, request);
}

// Gives every bucket to the first server that registers, and says what it was told.
class FirstServerServes final : public Membership {
 public:
  void ServerRegistered(ServerId server, bool restarted, int64_t) override {
    told.push_back("registered " + std::to_string(Raw(server)) + (restarted ? " again" : ""));
    server_ = server;
  }
  void ServerLost(ServerId server, int64_t) override {
    told.push_back("lost " + std::to_string(Raw(server)));
  }
  void ServerChanged(ServerId server, int64_t) override {
    told.push_back("changed " + std::to_string(Raw(server)));
  }
  void BucketsSynced(ServerId server, const std::vector<wire::SyncedBucket>& buckets) override {
    told.push_back("synced " + std::to_string(Raw(server)) + " " +
                   std::to_string(buckets.at(0).bucket()));
  }
  std::vector<wire::Command> Decide(const StateMachine& state, int64_t) override {
    wire::Command command;
    wire::BucketTable& table = *command.mutable_change_members()->add_tables();
    table.set_pool(1);
    for (const wire::BucketRecord& record : state.Buckets(PoolId{1})) {
      if (server_ == ServerId{0} || record.bucket().servers_size() > 0) continue;
      wire::Bucket& bucket = *table.add_buckets();
      bucket.set_id(record.bucket().id());
      bucket.add_servers(Raw(server_));
      bucket.add_states(wire::MEMBER_SERVING);
    }
    if (table.buckets().empty()) return {};
    return {command};
  }

  std::vector<std::string> told;

 private:
  ServerId server_{0};
};

TEST(Server, KeepsItsNumber) {
  TestMaster master;
  TestServer server(master, 's');
  const auto first = server.Register();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->lease_ms(), kLeaseMs);
  EXPECT_EQ(first->cluster_id(), std::string(16, 'c'));
  EXPECT_TRUE(first->map().complete());

  master.Restart();
  const auto second = server.Register();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->server(), first->server());
}

TEST(Server, OfAnotherClusterIsRefused) {
  TestMaster master;
  TestPeer peer(master);
  wire::RegisterServerRequest request;
  request.set_cluster_id(std::string(16, 'x'));
  request.set_uuid(std::string(16, 's'));
  request.set_address("host:1");
  request.set_incarnation(1);
  EXPECT_EQ(peer.Call<wire::RegisterServerReply>(wire::MASTER_REGISTER_SERVER, request).code(),
            Errc::kWrongCluster);
  request.set_cluster_id("");
  request.set_uuid("short");
  EXPECT_EQ(peer.Call<wire::RegisterServerReply>(wire::MASTER_REGISTER_SERVER, request).code(),
            Errc::kInvalid);
}

TEST(Server, IsDownWhenItsLeaseHasRunOut) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestPeer other(master);
  for (int i = 0; i < 3; ++i) {
    master.PassTime(kLeaseMs / 2);
    ASSERT_TRUE(server.Heartbeat());
  }
  EXPECT_EQ(ServerInMap(other, server.id()).state(), wire::SERVER_UP);

  master.PassTime(kLeaseMs + 200);
  EXPECT_EQ(ServerInMap(other, server.id()).state(), wire::SERVER_DOWN);
  EXPECT_FALSE(server.Heartbeat());
  ASSERT_TRUE(server.Register());
  EXPECT_EQ(ServerInMap(other, server.id()).state(), wire::SERVER_UP);
}

TEST(Server, HasANewLeaseAfterARestartOfTheMaster) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestPeer other(master);
  master.Restart();
  master.PassTime(kLeaseMs - 500);
  EXPECT_EQ(ServerInMap(other, server.id()).state(), wire::SERVER_UP);
  master.PassTime(1'000);
  EXPECT_EQ(ServerInMap(other, server.id()).state(), wire::SERVER_DOWN);
}

TEST(Server, MustRegisterFirst) {
  TestMaster master;
  TestServer server(master, 's');
  EXPECT_EQ(server.Heartbeat().code(), Errc::kNotPermitted);
  wire::CheckSessionRequest check;
  EXPECT_EQ(server.Call<wire::CheckSessionReply>(wire::MASTER_CHECK_SESSION, check).code(),
            Errc::kNotPermitted);
}

TEST(Server, ThatRegistersLearnsOfFencesThatStand) {
  TestMaster master;
  TestServer first(master, 's');
  ASSERT_TRUE(first.Register());
  TestClient client(master, 'a');
  client.Open(1'000);
  master.PassTime(1'200);

  TestServer second(master, 't');
  const auto reply = second.Register();
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->fenced_sessions_size(), 1);
  EXPECT_EQ(reply->fenced_sessions(0), client.session());
}

TEST(Server, LearnsAfterARestartOfTheMasterOfFencesThatStand) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestClient client(master, 'a');
  client.Open(1'000);
  master.PassTime(1'200);

  master.Restart();
  const auto reply = server.Register();
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->fenced_sessions_size(), 1);
  server.ConfirmFence(client.session());
  // What it lived before the restart is not known.
  EXPECT_NE(master.state().FindSession(SessionId{client.session()}), nullptr);
  master.PassTime(1'200);
  EXPECT_EQ(master.state().FindSession(SessionId{client.session()}), nullptr);
}

TEST(Map, ChangesArePushedToMountsAndServers) {
  TestMaster master;
  TestServer first(master, 's');
  ASSERT_TRUE(first.Register());
  first.TakePush<wire::MapPush>(wire::MASTER_PUSH_MAP);  // of its own arrival
  TestClient client(master, 'a');
  client.Open();

  TestServer second(master, 't');
  const auto registered = second.Register();
  ASSERT_TRUE(registered);
  const auto to_client = client.TakePush<wire::MapPush>(wire::MASTER_PUSH_MAP);
  EXPECT_EQ(to_client.epoch(), registered->map().epoch());
  EXPECT_EQ(first.TakePush<wire::MapPush>(wire::MASTER_PUSH_MAP).epoch(), to_client.epoch());
  const auto keep_alive = client.KeepAlive();
  ASSERT_TRUE(keep_alive);
  EXPECT_EQ(keep_alive->epoch(), to_client.epoch());
}

TEST(Map, IsToldAsWhatHasChangedSince) {
  FirstServerServes membership;
  TestMaster master(&membership);
  TestServer server(master, 's');
  const auto registered = server.Register();
  ASSERT_TRUE(registered);
  ASSERT_EQ(registered->map().tables_size(), 1);
  EXPECT_EQ(registered->map().tables(0).buckets(3).servers(0), server.id());

  wire::GetMapRequest request;
  request.set_since_epoch(registered->map().epoch());
  const auto delta = server.Call<wire::ClusterMap>(wire::MASTER_GET_MAP, request);
  ASSERT_TRUE(delta);
  EXPECT_FALSE(delta->complete());
  EXPECT_EQ(delta->tables_size(), 0);
  const auto status = server.Call<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->buckets_degraded(), 16u);
  EXPECT_EQ(status->servers(0).capacity_bytes(), 1000u);
}

TEST(Membership, IsToldWhatHappensToServers) {
  FirstServerServes membership;
  TestMaster master(&membership);
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  wire::BucketSyncedRequest synced;
  synced.set_server(server.id());
  synced.set_incarnation(server.incarnation);
  synced.add_buckets()->set_bucket(9);
  ASSERT_TRUE(server.Call<wire::BucketSyncedReply>(wire::MASTER_BUCKET_SYNCED, synced));
  ASSERT_TRUE(Order(server, "1", wire::SERVER_ORDER_WEIGHT, 50));
  master.PassTime(kLeaseMs + 200);
  server.incarnation = 2;
  ASSERT_TRUE(server.Register());

  EXPECT_THAT(membership.told, testing::ElementsAre("registered 1", "synced 1 9", "changed 1",
                                                    "lost 1", "registered 1 again"));
}

TEST(ServerOrder, DrainStandsThroughARestartOfTheServer) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestPeer admin(master);
  ASSERT_TRUE(Order(admin, "host-s:1", wire::SERVER_ORDER_DRAIN));
  EXPECT_EQ(ServerInMap(admin, server.id()).state(), wire::SERVER_DRAINING);

  master.PassTime(kLeaseMs + 200);
  EXPECT_EQ(ServerInMap(admin, server.id()).state(), wire::SERVER_DOWN);
  ASSERT_TRUE(server.Register());
  EXPECT_EQ(ServerInMap(admin, server.id()).state(), wire::SERVER_DRAINING);
  ASSERT_TRUE(Order(admin, "1", wire::SERVER_ORDER_UNDRAIN));
  EXPECT_EQ(ServerInMap(admin, server.id()).state(), wire::SERVER_UP);
}

TEST(ServerOrder, RemovedServerNeverComesBack) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestPeer admin(master);
  EXPECT_EQ(Order(admin, std::string(32, '7'), wire::SERVER_ORDER_REMOVE).code(), Errc::kNotFound);
  std::string uuid;
  for (int i = 0; i < 16; ++i) uuid += "73";  // 's'
  ASSERT_TRUE(Order(admin, uuid, wire::SERVER_ORDER_REMOVE));
  EXPECT_EQ(server.Register().code(), Errc::kNotPermitted);
}

TEST(ServerOrder, RemoveIsRefusedWhileDataWouldBeLost) {
  FirstServerServes membership;
  TestMaster master(&membership);
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestPeer admin(master);
  EXPECT_EQ(Order(admin, "1", wire::SERVER_ORDER_REMOVE).code(), Errc::kBusy);
  EXPECT_EQ(Order(admin, "1", wire::SERVER_ORDER_NONE).code(), Errc::kInvalid);
  EXPECT_EQ(Order(admin, "2", wire::SERVER_ORDER_DRAIN).code(), Errc::kNotFound);
}

}  // namespace
}  // namespace ringfs::master
