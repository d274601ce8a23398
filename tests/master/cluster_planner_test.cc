#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/master/cluster_support.h"

namespace ringfs::master {
namespace {

constexpr int64_t kGraceMs = 600'000;

std::vector<std::string> AllTexts(const FakeCluster& cluster) {
  std::vector<std::string> texts;
  for (uint32_t bucket = 0; bucket < cluster.CountBuckets(); ++bucket) {
    texts.push_back(cluster.Text(bucket));
  }
  return texts;
}

std::map<ServerId, uint64_t> Loads(const FakeCluster& cluster) {
  std::map<ServerId, uint64_t> loads;
  for (const std::vector<ServerId>& servers : cluster.Servings()) {
    for (const ServerId server : servers) ++loads[server];
  }
  return loads;
}

uint64_t CountMembers(const FakeCluster& cluster, wire::MemberState state, uint32_t server = 0) {
  uint64_t count = 0;
  for (uint32_t bucket = 0; bucket < cluster.CountBuckets(); ++bucket) {
    for (const Member& member : cluster.MembersOf(bucket)) {
      if (member.state == state && (server == 0 || Raw(member.server) == server)) ++count;
    }
  }
  return count;
}

// `servers` have joined and everything is in its place.
FakeCluster Running(uint32_t servers, uint32_t replicas, uint32_t bucket_bits = 6,
                    PlannerOptions options = {}) {
  options.initial_servers = servers;
  FakeCluster cluster(replicas, bucket_bits, options);
  for (uint32_t i = 0; i < servers; ++i) cluster.Join();
  cluster.Settle();
  cluster.TakeCopiesBegun();
  return cluster;
}

TEST(FirstPlacement, WaitsForEnoughServers) {
  FakeCluster cluster(2, 6, PlannerOptions{.initial_servers = 3});
  cluster.Join();
  cluster.Join();
  EXPECT_EQ(cluster.Text(0), "");

  cluster.Join();

  for (uint32_t bucket = 0; bucket < cluster.CountBuckets(); ++bucket) {
    EXPECT_EQ(cluster.Servings()[bucket].size(), 2u);
    EXPECT_EQ(cluster.Version(bucket), 1u);
  }
  for (const auto& [server, load] : Loads(cluster)) EXPECT_NEAR(double(load), 128.0 / 3, 6);
  EXPECT_EQ(cluster.commands(), 1u);
}

TEST(FirstPlacement, WantsAServerForEachReplica) {
  FakeCluster cluster(2, 2, PlannerOptions{.initial_servers = 1});
  cluster.Join();
  EXPECT_EQ(cluster.Text(0), "");
  cluster.Lose(1);
  cluster.Join();
  EXPECT_EQ(cluster.Text(0), "") << "one of two is down";

  cluster.Return(1);

  EXPECT_NE(cluster.Text(0), "");
}

TEST(LostServer, KeepsItsPlaceForTheGracePeriod) {
  FakeCluster cluster = Running(3, 2);
  const std::vector<std::string> before = AllTexts(cluster);

  cluster.Lose(1);
  cluster.Pass(kGraceMs - 1);

  EXPECT_EQ(cluster.TakeCopiesBegun(), 0u);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 1), 0u);
  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).lost, 0u);
  const uint64_t held = CountMembers(cluster, wire::MEMBER_OFFLINE, 1);
  EXPECT_GT(held, 30u);
  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).degraded, held);

  cluster.Return(1);
  cluster.Settle();

  EXPECT_EQ(AllTexts(cluster), before) << "with the heads that the ring prefers";
  EXPECT_EQ(cluster.TakeCopiesBegun(), held);
}

TEST(LostServer, IsReplacedAfterTheGracePeriod) {
  FakeCluster cluster = Running(4, 2);
  const uint64_t held = CountMembers(cluster, wire::MEMBER_SERVING, 1);

  cluster.Lose(1);
  cluster.Pass(kGraceMs);
  cluster.Settle();

  EXPECT_EQ(cluster.TakeCopiesBegun(), held);
  EXPECT_EQ(cluster.planner().CountHeld(ServerId{1}), 0u);
  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).healthy, cluster.CountBuckets());

  cluster.Return(1);
  cluster.Settle();

  EXPECT_GT(CountMembers(cluster, wire::MEMBER_SERVING, 1), held / 2) << "it is used again";
}

TEST(LostServer, IsWaitedForWhereItServedLast) {
  FakeCluster cluster = Running(2, 2, 2);

  cluster.Lose(1);
  cluster.Lose(2);
  cluster.Return(1);
  cluster.Settle();

  for (uint32_t bucket = 0; bucket < 4; ++bucket) {
    EXPECT_THAT(cluster.Text(bucket), testing::AnyOf("1O 2S", "2S 1O")) << bucket;
  }
  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).lost, 4u);

  cluster.Return(2);
  cluster.Settle();

  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).healthy, 4u);
}

TEST(LostServer, OfThoseLostTogetherTheFirstBackServes) {
  FakeCluster cluster = Running(2, 2, 2);
  cluster.LoseTogether({1, 2});
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING), 8u);

  cluster.Return(2);

  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 2), 4u);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_OFFLINE, 1), 4u);
}

TEST(RestartedServer, CopiesWhereOthersServed) {
  FakeCluster cluster = Running(3, 2);
  const std::vector<std::string> before = AllTexts(cluster);
  const uint64_t held = CountMembers(cluster, wire::MEMBER_SERVING, 2);

  cluster.Restart(2);

  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 2), 0u);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SYNCING, 2), std::min<uint64_t>(32, held));
  cluster.Settle();
  EXPECT_EQ(AllTexts(cluster), before);
}

TEST(RestartedServer, ServesOnWhereAllHaveRestarted) {
  FakeCluster cluster = Running(3, 2);
  cluster.RestartMaster();
  const std::vector<std::string> before = AllTexts(cluster);

  for (uint32_t server = 1; server <= 3; ++server) cluster.Restart(server);
  cluster.Settle();

  EXPECT_EQ(AllTexts(cluster), before);
  EXPECT_EQ(cluster.TakeCopiesBegun(), 0u);
  EXPECT_EQ(cluster.Version(0), 3u) << "one version for each member's restart";
}

TEST(RestartedServer, DoesNotReplaceOneThatIsMissing) {
  FakeCluster cluster = Running(2, 2, 2);
  cluster.LoseTogether({1, 2});

  cluster.Restart(1);

  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 2), 4u);
  cluster.RestartMaster();
  cluster.Return(1);
  cluster.Settle();
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 2), 4u) << "a new master knows it too";

  cluster.Return(2);
  cluster.Lose(2);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_OFFLINE, 2), 4u) << "they have been compared";
}

TEST(RestartedServer, IsBelievedWhenAnAdministratorGivesTheOtherUp) {
  FakeCluster cluster = Running(2, 2, 2);
  cluster.LoseTogether({1, 2});
  cluster.Restart(1);

  cluster.Order(2, wire::SERVER_GONE);

  for (uint32_t bucket = 0; bucket < 4; ++bucket) EXPECT_EQ(cluster.Text(bucket), "1S");
}

TEST(Report, OfAnOldVersionMeansNothing) {
  FakeCluster cluster = Running(3, 2, 2);
  cluster.Restart(1);
  uint32_t bucket = 0;
  while (cluster.Text(bucket).find("1Y") == std::string::npos) ++bucket;
  const std::string before = cluster.Text(bucket);

  cluster.Report(1, bucket, cluster.Version(bucket) - 1);
  cluster.Report(2, bucket);
  cluster.Report(1, 1u << 30, 7);
  EXPECT_EQ(cluster.Text(bucket), before);

  cluster.Report(1, bucket);
  cluster.Pass(100);
  EXPECT_EQ(cluster.Text(bucket).find("1Y"), std::string::npos);
}

TEST(Report, IsTakenWithOthers) {
  FakeCluster cluster =
      Running(2, 2, 3, PlannerOptions{.syncing_per_server = 6, .reports_together = 3});
  cluster.Restart(1);
  const uint64_t commands = cluster.commands();

  cluster.Report(1, 0);
  cluster.Report(1, 1);
  EXPECT_EQ(cluster.commands(), commands);
  cluster.Report(1, 2);
  EXPECT_EQ(cluster.commands(), commands + 1);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 1), 3u);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SYNCING, 1), 5u) << "the next have begun";

  cluster.Report(1, 3);
  EXPECT_EQ(cluster.commands(), commands + 1);
  cluster.Pass(100);
  EXPECT_EQ(cluster.commands(), commands + 2) << "it does not wait for long";

  for (const uint32_t bucket : {4u, 5u, 6u, 7u}) cluster.Report(1, bucket);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 1), 8u) << "there are no more to wait for";
}

TEST(Drain, EmptiesAServerWithoutEverHavingFewerCopies) {
  FakeCluster cluster = Running(4, 3);
  const uint64_t held = cluster.planner().CountHeld(ServerId{2});

  cluster.Drain(2);
  cluster.Settle();

  EXPECT_EQ(cluster.planner().CountHeld(ServerId{2}), 0u);
  EXPECT_EQ(cluster.TakeCopiesBegun(), held);
  EXPECT_THAT(cluster.planner().Draining(), testing::ElementsAre(ServerId{2}));
}

TEST(Drain, WaitsForASubstitute) {
  FakeCluster cluster = Running(2, 2, 4);

  cluster.Drain(2);
  cluster.Settle();
  EXPECT_EQ(cluster.planner().CountHeld(ServerId{2}), 16u);

  cluster.Join();
  cluster.Settle();
  EXPECT_EQ(cluster.planner().CountHeld(ServerId{2}), 0u);
}

TEST(Drain, StandsThroughALossOfContact) {
  FakeCluster cluster = Running(4, 2, 6, PlannerOptions{.syncing_per_server = 1});
  cluster.Drain(2);
  cluster.Pass(2'000);
  const uint64_t held = cluster.planner().CountHeld(ServerId{2});

  cluster.Lose(2);
  cluster.Settle();

  EXPECT_LT(cluster.planner().CountHeld(ServerId{2}), held);
  EXPECT_EQ(cluster.TakeCopiesBegun(), held);
}

TEST(Drain, CanBeTakenBack) {
  FakeCluster cluster = Running(4, 2);
  cluster.Drain(2);
  cluster.Pass(2'000);
  cluster.SyncAll();

  cluster.Undrain(2);
  cluster.Settle();

  EXPECT_GT(cluster.planner().CountHeld(ServerId{2}), 20u);
  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).copies_left, 0u);
}

TEST(RemovedServer, ServesUntilItsLeaseIsOver) {
  FakeCluster cluster = Running(4, 2);
  const uint64_t served = CountMembers(cluster, wire::MEMBER_SERVING, 1);

  cluster.Order(1, wire::SERVER_GONE);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 1), served);
  cluster.Lose(1);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 1), 0u);

  cluster.Settle();
  EXPECT_EQ(cluster.planner().CountHeld(ServerId{1}), 0u);
  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).healthy, cluster.CountBuckets());
}

TEST(RemovedServer, IsGivenItsLeaseByANewMasterToo) {
  FakeCluster cluster = Running(4, 2, 6, PlannerOptions{.lease_ms = 3'000});
  cluster.Order(1, wire::SERVER_GONE);
  const uint64_t served = CountMembers(cluster, wire::MEMBER_SERVING, 1);

  cluster.RestartMaster();
  for (uint32_t server = 2; server <= 4; ++server) cluster.Return(server);
  cluster.Pass(2'900);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 1), served);

  cluster.Pass(100);
  EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING, 1), 0u);
}

TEST(Join, MovesLittleMoreThanItsShare) {
  for (const uint32_t servers : {3u, 5u, 12u, 40u}) {
    SCOPED_TRACE(servers);
    FakeCluster cluster = Running(servers, 2, 10);

    const uint32_t joined = cluster.Join();
    cluster.Settle();

    const uint64_t held = CountMembers(cluster, wire::MEMBER_SERVING, joined);
    const double fair = 2 * 1024.0 / (servers + 1);
    EXPECT_NEAR(static_cast<double>(held), fair, fair * 0.15);
    EXPECT_LE(static_cast<double>(cluster.TakeCopiesBegun()), 1.2 * static_cast<double>(held));
    EXPECT_EQ(CountMembers(cluster, wire::MEMBER_SERVING), 2048u);
  }
}

TEST(Weight, MovesTheDifference) {
  FakeCluster cluster = Running(8, 2, 8);
  const uint64_t before = CountMembers(cluster, wire::MEMBER_SERVING, 1);

  cluster.SetWeight(1, 200);
  cluster.Settle();

  const uint64_t after = CountMembers(cluster, wire::MEMBER_SERVING, 1);
  EXPECT_GT(after, before * 3 / 2);
  EXPECT_LE(static_cast<double>(cluster.TakeCopiesBegun()),
            1.2 * static_cast<double>(after - before) + 2);
}

TEST(Weight, MayBeBeyondWhatTheRingCounts) {
  FakeCluster cluster(2, 6, PlannerOptions{.initial_servers = 3});
  for (const uint32_t weight : {1'000'000u, 1'000'000u, 500'000u}) cluster.Join(weight);

  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).healthy, 64u);
}

TEST(Master, MovesNothingWhenItRestarts) {
  FakeCluster cluster = Running(5, 3, 8);
  cluster.Join();
  cluster.Settle();
  const uint64_t changes = cluster.changes();

  cluster.RestartMaster();
  for (uint32_t server = 1; server <= 6; ++server) cluster.Return(server);
  cluster.Settle();

  EXPECT_EQ(cluster.changes(), changes);
}

TEST(Master, GoesOnWithMovesWhenItRestarts) {
  FakeCluster cluster = Running(4, 2, 8);
  const uint32_t joined = cluster.Join();
  cluster.Pass(2'000);
  cluster.SyncAll();

  cluster.RestartMaster();
  cluster.Settle();

  EXPECT_EQ(cluster.planner().MeasureProgress(cluster.now_ns()).copies_left, 0u);
  EXPECT_GT(cluster.planner().CountHeld(ServerId{joined}), 80u);
  EXPECT_LE(cluster.TakeCopiesBegun(), 1.2 * 512 / 5);
}

TEST(Throttle, BoundsWhatIsCopiedToAServerAtOnce) {
  FakeCluster cluster =
      Running(4, 2, 8, PlannerOptions{.syncing_per_server = 5, .wish_interval_ms = 0});
  const uint32_t joined = cluster.Join();

  for (int round = 0; CountMembers(cluster, wire::MEMBER_SYNCING) > 0; ++round) {
    ASSERT_LT(round, 1000);
    EXPECT_LE(CountMembers(cluster, wire::MEMBER_SYNCING, joined), 5u);
    cluster.SyncAll();
  }

  EXPECT_GT(cluster.planner().CountHeld(ServerId{joined}), 80u) << "one follows the other at once";
}

TEST(Throttle, BoundsWhatBeginsInASpan) {
  FakeCluster cluster =
      Running(4, 2, 8, PlannerOptions{.starts_per_span = 7, .span_ms = 100, .wish_interval_ms = 0});
  cluster.Join();
  EXPECT_EQ(cluster.TakeCopiesBegun(), 7u);
  cluster.Pass(50);
  EXPECT_EQ(cluster.TakeCopiesBegun(), 0u);
  cluster.Pass(50);
  EXPECT_EQ(cluster.TakeCopiesBegun(), 7u);
}

TEST(Throttle, LetsBucketsWithFewerCopiesGoFirst) {
  FakeCluster cluster = Running(4, 3, 8, PlannerOptions{.syncing_per_server = 1});
  cluster.Lose(1);
  cluster.LoseTogether({2});
  cluster.Return(1);
  const auto doubly = [&] {
    uint64_t count = 0;
    for (const auto& servers : cluster.Servings()) count += servers.size() == 1 ? 1 : 0;
    return count;
  };
  const uint64_t few = doubly();
  ASSERT_GT(few, 30u);

  for (uint64_t i = 0; i < few + 1; ++i) cluster.SyncAll();

  EXPECT_EQ(doubly(), 0u);
}

TEST(Joins, ThatFollowEachOtherAskTheRingTogether) {
  FakeCluster cluster = Running(4, 2, 6, PlannerOptions{.wish_interval_ms = 1'000});
  cluster.Join();
  cluster.Join();
  const uint32_t last = cluster.Join();
  EXPECT_EQ(cluster.planner().CountHeld(ServerId{last}), 0u);

  cluster.Pass(1'000);

  EXPECT_GT(cluster.planner().CountHeld(ServerId{last}), 0u);
}

// Two pools, one of which comes later.
class TwoPools final : public ClusterView {
 public:
  TwoPools() { AddPool(2); }

  void AddPool(uint32_t replicas) {
    wire::Pool& pool = pools_.emplace_back();
    pool.set_id(static_cast<uint32_t>(pools_.size()));
    pool.set_replicas(replicas);
    pool.set_bucket_bits(4);
    std::vector<wire::BucketRecord>& table = tables_[PoolId{pool.id()}];
    for (uint32_t id = 0; id < 16; ++id) table.emplace_back().mutable_bucket()->set_id(id);
  }
  void Join() {
    const uint32_t id = static_cast<uint32_t>(servers_.size()) + 1;
    wire::Server& server = *servers_[ServerId{id}].mutable_server();
    server.set_id(id);
    server.set_state(wire::SERVER_UP);
    server.set_weight(100);
    server.set_uuid(std::string(16, static_cast<char>('a' + id)));
    server.set_host("host" + std::to_string(id));
    planner_.ServerRegistered(ServerId{id}, false);
    Decide();
  }
  void Decide() {
    for (;;) {
      now_ns_ += kNsPerSecond;
      const auto changes = planner_.Decide(*this, now_ns_);
      if (changes.empty()) return;
      for (const wire::ChangeMembers& change : changes) Apply(change);
    }
  }
  // Of a pool: the servers that serve its buckets, in total.
  size_t Serving(uint32_t pool) const {
    size_t serving = 0;
    for (const wire::BucketRecord& record : tables_.at(PoolId{pool})) {
      serving += static_cast<size_t>(record.bucket().servers_size());
    }
    return serving;
  }
  Progress Measure() const { return planner_.MeasureProgress(now_ns_); }

  const wire::ServerRecord* FindServer(ServerId server) const override {
    const auto found = servers_.find(server);
    return found == servers_.end() ? nullptr : &found->second;
  }
  std::vector<const wire::ServerRecord*> Servers() const override {
    std::vector<const wire::ServerRecord*> servers;
    for (const auto& [id, record] : servers_) servers.push_back(&record);
    return servers;
  }
  const std::vector<wire::Pool>& Pools() const override { return pools_; }
  const std::vector<wire::BucketRecord>& Buckets(PoolId pool) const override {
    return tables_.at(pool);
  }

 private:
  void Apply(const wire::ChangeMembers& change) {
    for (const wire::BucketTable& table : change.tables()) {
      for (const wire::Bucket& bucket : table.buckets()) {
        wire::Bucket& known = *tables_.at(PoolId{table.pool()}).at(bucket.id()).mutable_bucket();
        ASSERT_EQ(bucket.version(), known.version());
        known = bucket;
        known.set_version(bucket.version() + 1);
      }
    }
  }

  Planner planner_{PlannerOptions{}};
  std::map<ServerId, wire::ServerRecord> servers_;
  std::vector<wire::Pool> pools_;
  std::map<PoolId, std::vector<wire::BucketRecord>> tables_;
  int64_t now_ns_ = kNsPerSecond;
};

TEST(NewPool, IsPlacedWhereThereAreServersEnough) {
  TwoPools cluster;
  cluster.Join();
  cluster.Join();
  EXPECT_EQ(cluster.Serving(1), 32u);

  cluster.AddPool(3);
  cluster.Decide();
  EXPECT_EQ(cluster.Serving(2), 0u) << "two servers cannot have three copies";
  EXPECT_EQ(cluster.Serving(1), 32u);

  cluster.Join();
  EXPECT_EQ(cluster.Serving(2), 48u);
  EXPECT_EQ(cluster.Measure().healthy, 32u);

  cluster.AddPool(1);
  cluster.Decide();
  EXPECT_EQ(cluster.Serving(3), 16u) << "at once";
}

}  // namespace
}  // namespace ringfs::master
