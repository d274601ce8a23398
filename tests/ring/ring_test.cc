#include "common/ring/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "tests/ring/clusters.h"

namespace ringfs {
namespace {

TEST(BucketOf, SpreadsBlocksOverAllBuckets) {
  std::vector<uint32_t> counts(64);
  for (uint64_t data = 1; data <= 640; ++data) {
    for (uint32_t index = 0; index < 10; ++index) {
      ++counts[Raw(BucketOf(DataId{data}, index, 6))];
    }
  }

  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 60u);
  EXPECT_LT(*std::max_element(counts.begin(), counts.end()), 140u);
}

TEST(BucketOf, KeepsItsLeadingBitsWhenThePoolHasMoreBuckets) {
  for (uint64_t data = 1; data <= 100; ++data) {
    EXPECT_EQ(Raw(BucketOf(DataId{data}, 7, 20)) >> 6, Raw(BucketOf(DataId{data}, 7, 14)));
    EXPECT_EQ(BucketOf(DataId{data}, 7, 0), BucketId{0});
  }
}

TEST(PlaceBuckets, DoesNotDependOnTheOrderOfTheServers) {
  std::mt19937_64 random(1);
  std::vector<RingServer> servers = RandomServers(40, 5, random);
  const PoolShape shape{.replicas = 3, .bucket_bits = 10};
  const WantedTable table = Place(shape, servers);
  servers.pop_back();
  const WantedTable next = Place(shape, servers, table);

  std::shuffle(servers.begin(), servers.end(), random);

  WantedTable shuffled = table;
  for (std::vector<ServerId>& members : shuffled) std::reverse(members.begin(), members.end());
  EXPECT_EQ(Place(shape, servers, shuffled), next);
}

TEST(PlaceBuckets, GivesPoolsTablesOfTheirOwn) {
  const std::vector<RingServer> servers = PlainServers(20);

  EXPECT_NE(Place({.pool = PoolId{1}}, servers), Place({.pool = PoolId{2}}, servers));
}

TEST(PlaceBuckets, WantsAllServersWhereThereAreTooFew) {
  const PoolShape shape{.replicas = 3, .bucket_bits = 4};

  const WantedTable nobody = Place(shape, {});
  const WantedTable two = Place(shape, PlainServers(2));

  ASSERT_EQ(nobody.size(), 16u);
  for (const std::vector<ServerId>& members : nobody) EXPECT_TRUE(members.empty());
  for (std::vector<ServerId> members : two) {
    std::sort(members.begin(), members.end());
    EXPECT_EQ(members, (std::vector<ServerId>{ServerId{1}, ServerId{2}}));
  }
}

TEST(PlaceBuckets, WantsNothingFromServersWithoutWeight) {
  std::vector<RingServer> servers = PlainServers(5);
  const PoolShape shape{.replicas = 2, .bucket_bits = 8};
  const WantedTable before = Place(shape, servers);
  servers[1].weight = 0;

  const WantedTable after = Place(shape, servers, before);

  EXPECT_EQ(Loads(after).count(ServerId{2}), 0u);
  for (const std::vector<ServerId>& members : after) EXPECT_EQ(members.size(), 2u);
}

TEST(PlaceBuckets, PlacesMoreServersThanBuckets) {
  const WantedTable table = Place({.replicas = 3, .bucket_bits = 2}, PlainServers(500));

  for (const std::vector<ServerId>& members : table) EXPECT_EQ(members.size(), 3u);
  for (const auto& [server, load] : Loads(table)) EXPECT_LE(load, 2u);
}

TEST(PlaceBuckets, IgnoresNonsenseInThePreviousTable) {
  const PoolShape shape{.replicas = 2, .bucket_bits = 6};
  const std::vector<RingServer> servers = PlainServers(6);
  const WantedTable table = Place(shape, servers);

  WantedTable noisy = table;
  for (std::vector<ServerId>& members : noisy) {
    members.push_back(members.front());
    members.push_back(ServerId{77});
  }

  EXPECT_EQ(Place(shape, servers, noisy), table);
}

TEST(PlaceBuckets, RefusesArgumentsOutOfBounds) {
  struct Case {
    const char* name;
    std::function<void(PoolShape&, std::vector<RingServer>&, WantedTable&)> spoil;
  };
  const Case cases[] = {
      {"no replicas", [](auto& shape, auto&, auto&) { shape.replicas = 0; }},
      {"too many replicas", [](auto& shape, auto&, auto&) { shape.replicas = 17; }},
      {"too many buckets", [](auto& shape, auto&, auto&) { shape.bucket_bits = 21; }},
      {"no slack", [](auto& shape, auto&, auto&) { shape.epsilon_permille = 0; }},
      {"too much slack", [](auto& shape, auto&, auto&) { shape.epsilon_permille = 1001; }},
      {"no identity", [](auto&, auto& servers, auto&) { servers[0].identity.clear(); }},
      {"one identity twice",
       [](auto&, auto& servers, auto&) { servers[0].identity = servers[1].identity; }},
      {"one id twice", [](auto&, auto& servers, auto&) { servers[0].id = servers[1].id; }},
      {"too much weight", [](auto&, auto& servers, auto&) { servers[0].weight = 1 << 20; }},
      {"more weight than a word holds",
       [](auto&, auto& servers, auto&) { servers[0].weight = servers[1].weight = ~0u; }},
      {"previous table of another size", [](auto&, auto&, auto& table) { table.resize(3); }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    PoolShape shape{.replicas = 2, .bucket_bits = 4};
    std::vector<RingServer> servers = PlainServers(3);
    WantedTable previous;
    c.spoil(shape, servers, previous);

    EXPECT_EQ(PlaceBuckets(shape, servers, previous).code(), Errc::kInvalid);
  }
}

}  // namespace
}  // namespace ringfs
