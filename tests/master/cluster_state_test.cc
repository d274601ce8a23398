// The planner's decisions, applied to the master's real state.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "master/cluster/ring_membership.h"
#include "tests/master/cluster_support.h"
#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

constexpr int64_t kNow = kNsPerSecond;

wire::Command Registration(char uuid, uint64_t incarnation) {
  wire::Command command;
  wire::RegisterServerRequest& ask = *command.mutable_register_server();
  ask.set_uuid(std::string(16, uuid));
  ask.set_address("host:1");
  ask.set_incarnation(incarnation);
  return command;
}

// A master of two replicas and four buckets.
class Cluster {
 public:
  void Register(char uuid, uint64_t incarnation = 1) {
    const Outcome outcome = master.Apply(Registration(uuid, incarnation));
    ASSERT_EQ(outcome.error, Errc::kOk) << outcome.detail;
    membership->ServerRegistered(outcome.server, outcome.server_restarted, kNow);
    Decide();
  }

  void Lose(uint32_t server) {
    wire::Command command;
    command.mutable_change_server()->set_server(server);
    command.mutable_change_server()->set_state(wire::SERVER_DOWN);
    ASSERT_EQ(master.Apply(command).error, Errc::kOk);
    membership->ServerLost(ServerId{server}, kNow);
    Decide();
  }

  void Decide() {
    for (int round = 0; round < 10; ++round) {
      const std::vector<wire::Command> commands = membership->Decide(master.machine(), kNow);
      if (commands.empty()) return;
      for (const wire::Command& command : commands) {
        const Outcome outcome = master.Apply(command);
        ASSERT_EQ(outcome.error, Errc::kOk) << outcome.detail;
      }
    }
    FAIL() << "there is always more to do";
  }

  const wire::Bucket& BucketAt(uint32_t id) {
    return master.machine().Buckets(PoolId{1})[id].bucket();
  }

  std::vector<wire::MemberState> StatesOf(uint32_t server) {
    std::vector<wire::MemberState> states;
    for (const wire::BucketRecord& record : master.machine().Buckets(PoolId{1})) {
      for (int i = 0; i < record.bucket().servers_size(); ++i) {
        if (record.bucket().servers(i) == server) states.push_back(record.bucket().states(i));
      }
    }
    return states;
  }

  TestMaster master;
  std::unique_ptr<RingMembership> membership =
      std::make_unique<RingMembership>(PlannerOptions{.reports_together = 1});
};

TEST(RingMembership, PlacesAndRepairsTheRealTables) {
  Cluster cluster;
  cluster.Register('a');
  cluster.Register('b');
  EXPECT_EQ(cluster.StatesOf(1), std::vector(4, wire::MEMBER_SERVING));
  EXPECT_EQ(cluster.StatesOf(2), std::vector(4, wire::MEMBER_SERVING));

  cluster.Lose(1);
  EXPECT_EQ(cluster.StatesOf(1), std::vector(4, wire::MEMBER_OFFLINE));
  EXPECT_EQ(cluster.BucketAt(0).version(), 2u);
  cluster.Register('a', 2);
  EXPECT_EQ(cluster.StatesOf(1), std::vector(4, wire::MEMBER_SYNCING));

  wire::SyncedBucket synced;
  synced.set_pool(1);
  synced.set_version(cluster.BucketAt(0).version());
  cluster.membership->BucketsSynced(ServerId{1}, {synced});
  cluster.Decide();
  EXPECT_EQ(cluster.StatesOf(1)[0], wire::MEMBER_SERVING);
}

TEST(RingMembership, GoesOnFromWhatIsStored) {
  Cluster cluster;
  cluster.Register('a');
  cluster.Register('b');
  cluster.Lose(1);
  cluster.master.Reopen();

  cluster.membership = std::make_unique<RingMembership>(PlannerOptions{});
  cluster.Decide();
  cluster.Register('b');
  cluster.Register('a');

  EXPECT_EQ(cluster.StatesOf(2), std::vector(4, wire::MEMBER_SERVING));
  EXPECT_EQ(cluster.StatesOf(1), std::vector(4, wire::MEMBER_SYNCING));
}

// Nobody else changes buckets; but if it happened, the planner would not insist.
TEST(RingMembership, LooksAgainWhenAChangeWasRefused) {
  Cluster cluster;
  cluster.Register('a');
  cluster.Register('b');
  wire::Command lost;
  lost.mutable_change_server()->set_server(1);
  lost.mutable_change_server()->set_state(wire::SERVER_DOWN);
  cluster.master.Apply(lost);
  cluster.membership->ServerLost(ServerId{1}, kNow);
  ASSERT_FALSE(cluster.membership->Decide(cluster.master.machine(), kNow).empty());

  cluster.Decide();

  EXPECT_EQ(cluster.StatesOf(1), std::vector(4, wire::MEMBER_OFFLINE));
}

}  // namespace
}  // namespace ringfs::master
