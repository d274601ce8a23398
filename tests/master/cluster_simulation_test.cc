#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "tests/master/cluster_support.h"

namespace ringfs::master {
namespace {

// Servers come, die, return, are emptied and removed at random, while copying goes on. What must
// hold at each change is checked by FakeCluster.
class Simulation {
 public:
  explicit Simulation(uint64_t seed)
      : random_(seed), replicas_(Pick(1, 3)), cluster_(replicas_, Pick(0, 6), Options()) {
    const uint32_t servers = Pick(3, 9);
    for (uint32_t i = 0; i < servers; ++i) Join();
  }

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) Step();
  }

  // Everybody is back and has time: the tables are what the ring wants.
  void ExpectRest() {
    for (const uint32_t server : Those(false)) cluster_.Return(server);
    for (const uint32_t server : draining_) cluster_.Undrain(server);
    cluster_.Settle();
    const Progress progress = cluster_.planner().MeasureProgress(cluster_.now_ns());
    const size_t width = std::min<size_t>(replicas_, alive_.size());
    EXPECT_EQ(progress.copies_left, 0u);
    EXPECT_EQ(progress.moving, 0u);
    EXPECT_EQ(progress.lost, 0u);
    for (uint32_t bucket = 0; bucket < cluster_.CountBuckets(); ++bucket) {
      const Members members = cluster_.MembersOf(bucket);
      EXPECT_EQ(cluster_.Servings()[bucket].size(), members.size()) << ToText(members);
      EXPECT_GE(members.size(), width) << ToText(members);
      if (width < replicas_) continue;
      EXPECT_EQ(members.size(), width) << ToText(members);
    }
    ExpectThatARestartMovesLittle();
  }

 private:
  PlannerOptions Options() {
    PlannerOptions options;
    options.initial_servers = 3;
    options.grace_ms = 20'000;
    options.syncing_per_server = Pick(1, 8);
    options.starts_per_span = Pick(1, 40);
    options.reports_together = Pick(1, 3);
    options.wish_interval_ms = Pick(0, 1) * 1'000;
    return options;
  }

  uint32_t Pick(uint32_t low, uint32_t high) {
    return std::uniform_int_distribution<uint32_t>(low, high)(random_);
  }

  void Join() { alive_.insert(cluster_.Join(Pick(50, 200), Pick(0, 1) == 0 ? "a" : "b")); }

  // Of those that were not removed: who is up, or who is not.
  std::vector<uint32_t> Those(bool up) const {
    std::vector<uint32_t> servers;
    for (const uint32_t server : alive_) {
      if (cluster_.IsUp(server) == up) servers.push_back(server);
    }
    return servers;
  }

  void Step() {
    const std::vector<uint32_t> up = Those(true);
    const std::vector<uint32_t> down = Those(false);
    const uint32_t one_up = up.empty() ? 0 : up[Pick(0, static_cast<uint32_t>(up.size()) - 1)];
    const uint32_t one_down =
        down.empty() ? 0 : down[Pick(0, static_cast<uint32_t>(down.size()) - 1)];
    const uint32_t what = Pick(0, 99);
    if (what < 40) {
      SyncSome();
    } else if (what < 60) {
      cluster_.Pass(Pick(1, what < 43 ? 30'000 : 500));
    } else if (what < 70) {
      if (one_up != 0) Lose(one_up);
    } else if (what < 80) {
      if (one_down != 0) Return(one_down, Pick(0, 1) == 0);
    } else if (what < 85) {
      if (one_up != 0) cluster_.Restart(one_up);
    } else if (what < 88) {
      if (alive_.size() < 12) Join();
    } else if (what < 92) {
      if (one_up != 0) Drain(one_up);
    } else if (what < 94) {
      Remove(Pick(0, 1) == 0 ? one_up : one_down);
    } else if (what < 97) {
      if (one_up != 0) cluster_.SetWeight(one_up, Pick(50, 200));
    } else {
      RestartMaster(up);
    }
  }

  void SyncSome() {
    for (uint32_t bucket = 0; bucket < cluster_.CountBuckets(); ++bucket) {
      const Members members = cluster_.MembersOf(bucket);
      const auto head = std::find_if(members.begin(), members.end(), [](const Member& m) {
        return m.state == wire::MEMBER_SERVING;
      });
      if (head == members.end() || !cluster_.IsUp(Raw(head->server))) continue;
      for (const Member& member : members) {
        if (member.state != wire::MEMBER_SYNCING || Pick(0, 2) == 0) continue;
        cluster_.Report(Raw(member.server), bucket);
      }
    }
  }

  void Lose(uint32_t server) {
    std::vector<uint32_t> lost = {server};
    const std::vector<uint32_t> up = Those(true);
    // Sometimes everybody.
    if (Pick(0, 9) == 0) lost = up;
    cluster_.LoseTogether(lost);
  }

  void Return(uint32_t server, bool restarted) {
    restarted ? cluster_.Restart(server) : cluster_.Return(server);
    // As the master's service does.
    if (draining_.contains(server)) cluster_.Drain(server);
  }

  void Drain(uint32_t server) {
    if (draining_.insert(server).second) return cluster_.Drain(server);
    draining_.erase(server);
    cluster_.Undrain(server);
  }

  void Remove(uint32_t server) {
    if (server == 0 || alive_.size() <= replicas_ + 1) return;
    for (const std::vector<ServerId>& servers : cluster_.Servings()) {
      if (servers == std::vector{ServerId{server}}) return;
    }
    alive_.erase(server);
    draining_.erase(server);
    cluster_.Order(server, wire::SERVER_GONE);
    if (Pick(0, 1) == 0) cluster_.Pass(1'000);
    cluster_.Lose(server);
  }

  void RestartMaster(const std::vector<uint32_t>& up) {
    cluster_.RestartMaster();
    std::vector<uint32_t> silent;
    for (const uint32_t server : up) {
      const uint32_t what = Pick(0, 4);
      if (what == 0) silent.push_back(server);
      if (what == 1) cluster_.Restart(server);
      if (what > 1) cluster_.Return(server);
    }
    cluster_.Pass(3'000);
    cluster_.LoseTogether(silent);
  }

  // A new master does not know the ring's last answer; asked again, a server may claim a bucket.
  void ExpectThatARestartMovesLittle() {
    cluster_.TakeCopiesBegun();
    cluster_.RestartMaster();
    for (const uint32_t server : alive_) cluster_.Return(server);
    cluster_.Settle();
    EXPECT_LE(cluster_.TakeCopiesBegun(), 2 + cluster_.CountBuckets() * replicas_ / 16);
  }

  std::mt19937_64 random_;
  const uint32_t replicas_;
  FakeCluster cluster_;
  std::set<uint32_t> alive_;
  std::set<uint32_t> draining_;
};

TEST(Planner, EndsInTheRingsWishWhateverHappened) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    Simulation simulation(seed);
    simulation.Run(150);
    simulation.ExpectRest();
  }
}

}  // namespace
}  // namespace ringfs::master
