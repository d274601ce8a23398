#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

wire::Command Register(char uuid, uint64_t incarnation = 1, uint32_t weight = 0) {
  wire::Command command;
  wire::RegisterServerRequest& server = *command.mutable_register_server();
  server.set_uuid(std::string(16, uuid));
  server.set_address("host:1");
  server.set_incarnation(incarnation);
  server.set_weight(weight);
  return command;
}

wire::Command Members(uint32_t bucket, std::vector<uint32_t> servers, uint64_t version = 0) {
  wire::Command command;
  wire::BucketTable& table = *command.mutable_change_members()->add_tables();
  table.set_pool(1);
  wire::Bucket& changed = *table.add_buckets();
  changed.set_id(bucket);
  changed.set_version(version);
  for (uint32_t server : servers) {
    changed.add_servers(server);
    changed.add_states(wire::MEMBER_SERVING);
  }
  return command;
}

TEST(Servers, GetOneNumberForTheirIdentity) {
  TestMaster master;
  Outcome first = master.Apply(Register('a'));
  EXPECT_EQ(first.server, ServerId{1});
  EXPECT_TRUE(first.events.map_changed);
  EXPECT_EQ(master.Apply(Register('b')).server, ServerId{2});

  Outcome again = master.Apply(Register('a'));
  EXPECT_EQ(again.server, ServerId{1});
  EXPECT_FALSE(again.server_restarted);
  EXPECT_FALSE(again.events.map_changed);
  EXPECT_TRUE(master.Apply(Register('a', 2)).server_restarted);
  master.Reopen();
  EXPECT_EQ(master.Apply(Register('b')).server, ServerId{2});
  EXPECT_EQ(master.Apply(Register('c')).server, ServerId{3});
}

TEST(Servers, AreRefusedWhenTheyDoNotBelong) {
  TestMaster master;
  wire::Command other = Register('a');
  other.mutable_register_server()->set_cluster_id("fedcba9876543210");
  EXPECT_EQ(master.Apply(other).error, Errc::kWrongCluster);
  wire::Command nameless = Register('a');
  nameless.mutable_register_server()->set_uuid("short");
  EXPECT_EQ(master.Apply(nameless).error, Errc::kInvalid);

  master.Apply(Register('a'));
  wire::Command remove;
  remove.mutable_change_server()->set_server(1);
  remove.mutable_change_server()->set_state(wire::SERVER_GONE);
  EXPECT_EQ(master.Apply(remove).error, Errc::kOk);
  EXPECT_EQ(master.Apply(Register('a')).error, Errc::kNotPermitted);
  EXPECT_EQ(master.Apply(remove).error, Errc::kNotPermitted);
  EXPECT_EQ(master.Apply(Register('b')).server, ServerId{2});
}

TEST(Servers, KeepTheOrdersOfAnAdministrator) {
  TestMaster master;
  master.Apply(Register('a', 1, 50));
  wire::Command order;
  order.mutable_change_server()->set_server(1);
  order.mutable_change_server()->set_weight(10);
  order.mutable_change_server()->set_state(wire::SERVER_DRAINING);
  EXPECT_TRUE(master.Apply(order).events.map_changed);
  EXPECT_FALSE(master.Apply(order).events.map_changed);
  master.Apply(Register('a', 2, 50));
  const wire::Server& server = master.machine().FindServer(ServerId{1})->server();
  EXPECT_EQ(server.weight(), 10u);
  EXPECT_EQ(server.state(), wire::SERVER_DRAINING);
  master.Apply(Register('a', 3, 70));
  EXPECT_EQ(master.machine().FindServer(ServerId{1})->server().weight(), 70u);

  order.mutable_change_server()->set_weight(0);
  EXPECT_EQ(master.Apply(order).error, Errc::kInvalid);
  order.mutable_change_server()->set_server(9);
  EXPECT_EQ(master.Apply(order).error, Errc::kNotFound);
}

TEST(Buckets, AreToldAsTheyChange) {
  TestMaster master;
  master.Apply(Register('a'));
  master.Apply(Register('b'));
  uint64_t before = master.machine().epoch();
  EXPECT_TRUE(master.Apply(Members(2, {1, 2})).events.map_changed);
  EXPECT_EQ(master.machine().epoch(), before + 1);
  EXPECT_EQ(master.machine().Buckets(PoolId{1})[2].bucket().version(), 1u);

  wire::ClusterMap whole = master.machine().Map(0);
  EXPECT_TRUE(whole.complete());
  ASSERT_EQ(whole.tables_size(), 1);
  EXPECT_EQ(whole.tables(0).buckets_size(), 4);
  master.Reopen();
  wire::ClusterMap delta = master.machine().Map(before);
  EXPECT_FALSE(delta.complete());
  EXPECT_EQ(delta.servers_size(), 2);
  ASSERT_EQ(delta.tables_size(), 1);
  ASSERT_EQ(delta.tables(0).buckets_size(), 1);
  EXPECT_EQ(delta.tables(0).buckets(0).id(), 2u);
  EXPECT_EQ(master.machine().Map(before + 1).tables_size(), 0);
  EXPECT_TRUE(master.machine().Map(before + 2).complete());
}

TEST(Buckets, ChangeOnlyFromTheVersionThatWasSeen) {
  TestMaster master;
  master.Apply(Register('a'));
  master.Apply(Register('b'));
  EXPECT_EQ(master.Apply(Members(0, {1})).error, Errc::kOk);
  EXPECT_EQ(master.Apply(Members(0, {2}, 2)).error, Errc::kStaleEpoch);
  EXPECT_EQ(master.Apply(Members(0, {2}, 1)).error, Errc::kOk);
  EXPECT_EQ(master.machine().Buckets(PoolId{1})[0].bucket().servers(0), 2u);
}

TEST(Buckets, AreNotChangedByNonsense) {
  TestMaster master;
  master.Apply(Register('a'));
  wire::Command uneven = Members(0, {1});
  uneven.mutable_change_members()->mutable_tables(0)->mutable_buckets(0)->add_servers(1);
  wire::Command stateless = Members(0, {1});
  stateless.mutable_change_members()->mutable_tables(0)->mutable_buckets(0)->set_states(
      0, wire::MEMBER_UNKNOWN);
  wire::Command second_wrong = Members(0, {1});
  *second_wrong.mutable_change_members()->add_tables() = Members(9, {1}).change_members().tables(0);
  wire::Command other_pool = Members(0, {1});
  other_pool.mutable_change_members()->mutable_tables(0)->set_pool(7);
  uint64_t epoch = master.machine().epoch();
  for (const wire::Command& command : {uneven, stateless, second_wrong, other_pool, Members(4, {1}),
                                       Members(0, {5}), Members(0, {1, 1})}) {
    EXPECT_EQ(master.Apply(command).error, Errc::kInvalid);
  }
  EXPECT_EQ(master.machine().epoch(), epoch);
  EXPECT_EQ(master.machine().Buckets(PoolId{1})[0].bucket().version(), 0u);
}

TEST(Cluster, IsFormattedOnce) {
  TestMaster master;
  wire::Command format;
  format.mutable_format_cluster()->set_cluster_id("fedcba9876543210");
  format.mutable_format_cluster()->set_replicas(1);
  EXPECT_EQ(master.Apply(format).error, Errc::kExists);
  EXPECT_EQ(master.machine().cluster_id(), "0123456789abcdef");
}

}  // namespace
}  // namespace ringfs::master
