#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "common/ring/ring.h"
#include "tests/ring/clusters.h"

namespace ringfs {
namespace {

// Expects every server between its fair share, less what `less` allows, and what it keeps.
void ExpectShares(const PoolShape& shape, const std::vector<RingServer>& servers,
                  const WantedTable& table, double less) {
  std::map<ServerId, uint32_t> loads = Loads(table);
  Result<std::vector<ServerShare>> shares = ServerShares(shape, servers);
  ASSERT_TRUE(shares);
  for (const ServerShare& share : *shares) {
    const double fair = static_cast<double>(share.fair) / kShareUnit;
    EXPECT_LE(loads[share.id], share.keeps) << "server " << Raw(share.id);
    EXPECT_GE(loads[share.id], fair * (1 - less) - 2) << "server " << Raw(share.id);
    EXPECT_LE(share.accepts, share.keeps);
    EXPECT_LE(share.keeps, std::max(fair * 1.1, fair + 2) + 0.001);
  }
}

TEST(Balance, HundredEqualServersAreWithinTenPercent) {
  const PoolShape shape{.replicas = 3, .bucket_bits = 14};

  const WantedTable table = Place(shape, PlainServers(100));

  const double fair = 16384 * 3 / 100.0;
  for (const auto& [server, load] : Loads(table)) {
    EXPECT_LE(load, fair * 1.1) << "server " << Raw(server);
    EXPECT_GE(load, fair * 0.75) << "server " << Raw(server);
  }
}

TEST(Balance, ThousandEqualServersAreWithinTenPercent) {
  const PoolShape shape{.replicas = 3, .bucket_bits = 14};

  const WantedTable table = Place(shape, PlainServers(1000));

  const double fair = 16384 * 3 / 1000.0;
  for (const auto& [server, load] : Loads(table)) {
    EXPECT_LE(load, fair * 1.1) << "server " << Raw(server);
  }
}

TEST(Balance, FollowsTheWeights) {
  for (uint32_t replicas = 1; replicas <= 3; ++replicas) {
    SCOPED_TRACE(replicas);
    const PoolShape shape{.replicas = replicas, .bucket_bits = 14};
    std::vector<RingServer> servers = PlainServers(30);
    for (RingServer& server : servers) server.weight = 50 * (1 + Raw(server.id) % 4);

    ExpectShares(shape, servers, Place(shape, servers), 0.25);
  }
}

TEST(Balance, GivesNoServerABucketTwiceHoweverHeavyItIs) {
  const PoolShape shape{.replicas = 2, .bucket_bits = 10};
  std::vector<RingServer> servers = PlainServers(4);
  servers[0].weight = 10000;

  std::map<ServerId, uint32_t> loads = Loads(Place(shape, servers));

  EXPECT_GE(loads[ServerId{1}], 1000u);
  EXPECT_LE(loads[ServerId{1}], 1024u);
  for (uint32_t id = 2; id <= 4; ++id) {
    EXPECT_NEAR(loads[ServerId{id}], 1024 / 3.0, 0.15 * 1024 / 3.0);
  }
}

TEST(Balance, HoldsThroughHundredChangesOfRandomClusters) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const PoolShape shape{.replicas = static_cast<uint32_t>(1 + seed % 3), .bucket_bits = 11};
    uint32_t next_id = static_cast<uint32_t>(5 + random() % 40);
    std::vector<RingServer> servers = PlainServers(next_id - 1);
    WantedTable table = Place(shape, servers);
    for (int change = 0; change < 25; ++change) {
      if (random() % 2 == 0 || servers.size() < 4) {
        servers.push_back(PlainServer(next_id++));
        servers.back().weight = static_cast<uint32_t>(50 + random() % 150);
      } else {
        servers.erase(servers.begin() + static_cast<ptrdiff_t>(random() % servers.size()));
      }
      table = Place(shape, servers, table);
      ExpectShares(shape, servers, table, 0.5);
    }
  }
}

TEST(Balance, PreferredHeadsAreSpreadToo) {
  const WantedTable table = Place({.replicas = 3, .bucket_bits = 14}, PlainServers(10));
  std::map<ServerId, uint32_t> heads;
  for (const std::vector<ServerId>& members : table) ++heads[members.front()];

  for (const auto& [server, count] : heads) EXPECT_NEAR(count, 1638, 250) << Raw(server);
}

}  // namespace
}  // namespace ringfs
