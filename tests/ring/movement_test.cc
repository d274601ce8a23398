#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "common/ring/ring.h"
#include "tests/ring/clusters.h"

namespace ringfs {
namespace {

// From 3 to 1000, small ones as often as large ones.
uint32_t RandomSize(std::mt19937_64& random) {
  const double exponent = static_cast<double>(random() % 1001) / 1000;
  return static_cast<uint32_t>(3 * std::pow(1000 / 3.0, exponent));
}

// A server joins or leaves; returns which, and changes `servers`.
ServerId Change(std::vector<RingServer>& servers, uint32_t& next_id, std::mt19937_64& random) {
  if (random() % 2 == 0) {
    servers.push_back(PlainServer(next_id++));
    return servers.back().id;
  }
  auto gone = servers.begin() + static_cast<ptrdiff_t>(random() % servers.size());
  const ServerId id = gone->id;
  servers.erase(gone);
  return id;
}

TEST(Movement, IsNearTheLeastOverHundredChangesOfClustersOfAllSizes) {
  std::mt19937_64 random(2);
  double sum = 0;
  for (int cluster = 0; cluster < 25; ++cluster) {
    uint32_t size = RandomSize(random);
    const PoolShape shape{.replicas = static_cast<uint32_t>(1 + random() % 3), .bucket_bits = 14};
    std::vector<RingServer> servers = PlainServers(size);
    uint32_t next_id = size + 1;
    WantedTable table = Place(shape, servers);
    for (int change = 0; change < 4; ++change) {
      SCOPED_TRACE(testing::Message() << "cluster " << cluster << ", servers " << servers.size()
                                      << ", replicas " << shape.replicas);
      const ServerId changed = Change(servers, next_id, random);
      WantedTable after = Place(shape, servers, table);

      const double ratio = MovedOverNeeded(table, after, changed);
      EXPECT_LE(ratio, 1.5);
      sum += ratio;
      table = std::move(after);
    }
  }
  EXPECT_LE(sum / 100, 1.2);
}

TEST(Movement, StaysNearTheLeastOverALongHistory) {
  std::mt19937_64 random(3);
  const PoolShape shape{.replicas = 2, .bucket_bits = 11};
  std::vector<RingServer> servers = PlainServers(30);
  uint32_t next_id = 31;
  WantedTable table = Place(shape, servers);
  double sum = 0;
  for (int change = 0; change < 200; ++change) {
    if (servers.size() < 10) servers = PlainServers(30);
    const ServerId changed = Change(servers, next_id, random);
    WantedTable after = Place(shape, servers, table);
    const double ratio = MovedOverNeeded(table, after, changed);
    EXPECT_LE(ratio, 1.5) << "change " << change;
    sum += ratio;
    table = std::move(after);
  }
  EXPECT_LE(sum / 200, 1.05);
}

TEST(Movement, OfAHundredServersIsNearTheLeastWithoutAPreviousTable) {
  std::mt19937_64 random(4);
  const PoolShape shape{.replicas = 3, .bucket_bits = 14};
  std::vector<RingServer> servers = PlainServers(100);
  uint32_t next_id = 101;
  WantedTable table = Place(shape, servers);
  for (int change = 0; change < 5; ++change) {
    const ServerId changed = Change(servers, next_id, random);
    WantedTable after = Place(shape, servers);
    EXPECT_LE(MovedOverNeeded(table, after, changed), 1.2);
    table = std::move(after);
  }
}

TEST(Movement, KeepsWhatDidNotChange) {
  std::mt19937_64 random(5);
  const PoolShape shape{.replicas = 3, .bucket_bits = 10};
  const std::vector<RingServer> servers = RandomServers(50, 5, random);
  const WantedTable table = Place(shape, servers);

  EXPECT_EQ(Place(shape, servers, table), table);
}

TEST(Movement, GivesAServerThatReturnsNearlyAllOfItsBuckets) {
  const PoolShape shape{.replicas = 2, .bucket_bits = 12};
  std::vector<RingServer> servers = PlainServers(20);
  const WantedTable before = Place(shape, servers);
  const RingServer gone = servers.back();
  servers.pop_back();
  const WantedTable without = Place(shape, servers, before);

  servers.push_back(gone);
  const WantedTable again = Place(shape, servers, without);

  uint32_t had = 0;
  uint32_t kept = 0;
  for (size_t bucket = 0; bucket < before.size(); ++bucket) {
    auto holds = [&](const WantedTable& table) {
      return std::find(table[bucket].begin(), table[bucket].end(), gone.id) != table[bucket].end();
    };
    had += holds(before) ? 1 : 0;
    kept += holds(before) && holds(again) ? 1 : 0;
  }
  EXPECT_GE(kept, had * 9 / 10);
}

TEST(Movement, FollowsAWeightThatDoubles) {
  const PoolShape shape{.replicas = 2, .bucket_bits = 12};
  std::vector<RingServer> servers = PlainServers(20);
  const WantedTable before = Place(shape, servers);
  servers[7].weight *= 2;

  const WantedTable after = Place(shape, servers, before);

  const double fair = 4096 * 2 * 2 / 21.0;
  const uint32_t gained = Loads(after)[servers[7].id] - Loads(before)[servers[7].id];
  EXPECT_NEAR(Loads(after)[servers[7].id], fair, 0.15 * fair);
  uint32_t moved = 0;
  for (size_t bucket = 0; bucket < before.size(); ++bucket) {
    for (ServerId member : after[bucket]) {
      moved += std::count(before[bucket].begin(), before[bucket].end(), member) == 0 ? 1 : 0;
    }
  }
  EXPECT_LE(moved, gained * 1.2);
}

}  // namespace
}  // namespace ringfs
