#include "chunkserver/replication/map.h"

#include <gtest/gtest.h>

namespace ringfs::chunkserver {
namespace {

constexpr BucketKey kBucket{PoolId{1}, BucketId{0}};

// A map of one bucket with its members in order, serving but for `syncing`.
wire::ClusterMap MapOf(uint64_t epoch, uint64_t version, const std::vector<uint32_t>& members,
                       uint32_t syncing = 0, uint32_t down = 0) {
  wire::ClusterMap map;
  map.set_epoch(epoch);
  for (uint32_t id = 1; id <= 3; ++id) {
    wire::Server& server = *map.add_servers();
    server.set_id(id);
    server.set_state(id == down ? wire::SERVER_DOWN : wire::SERVER_UP);
  }
  map.add_pools()->set_id(1);
  wire::BucketTable& table = *map.add_tables();
  table.set_pool(1);
  wire::Bucket& bucket = *table.add_buckets();
  bucket.set_version(version);
  for (const uint32_t member : members) {
    bucket.add_servers(member);
    bucket.add_states(member == syncing ? wire::MEMBER_SYNCING : wire::MEMBER_SERVING);
  }
  return map;
}

TEST(ClusterMap, TakesTheFirstServingMemberForTheHead) {
  ClusterMap map;

  ASSERT_TRUE(map.Install(MapOf(1, 1, {2, 1, 3}, 2), 0));

  EXPECT_EQ(map.Find(kBucket).head(), ServerId{1});
  EXPECT_EQ(map.Find(kBucket).StateOf(ServerId{2}), MemberState::kSyncing);
  EXPECT_EQ(map.Find(kBucket).Serving(), (std::vector<ServerId>{ServerId{1}, ServerId{3}}));
}

TEST(ClusterMap, IgnoresWhatIsOlder) {
  ClusterMap map;
  ASSERT_TRUE(map.Install(MapOf(5, 4, {1}), 0));

  const auto changed = map.Install(MapOf(4, 3, {2}), 0);

  ASSERT_TRUE(changed);
  EXPECT_TRUE(changed->empty());
  EXPECT_EQ(map.Find(kBucket).head(), ServerId{1});
}

TEST(ClusterMap, RemembersWhoMayStillBelieveToServe) {
  ClusterMap map;
  ASSERT_TRUE(map.Install(MapOf(1, 1, {1, 2}), 0));

  ASSERT_TRUE(map.Install(MapOf(2, 2, {2}), 70));
  EXPECT_EQ(map.Find(kBucket).former, std::vector<ServerId>{ServerId{1}});
  EXPECT_EQ(map.Find(kBucket).since_ms, 70);

  ASSERT_TRUE(map.Install(MapOf(3, 3, {2, 1}), 80));
  EXPECT_TRUE(map.Find(kBucket).former.empty()) << "it serves again";
}

TEST(ClusterMap, CountsAServerWhoseLeaseHasRunOutAsDead) {
  ClusterMap map;
  ASSERT_TRUE(map.Install(MapOf(1, 1, {1, 2}), 0));

  ASSERT_TRUE(map.Install(MapOf(2, 2, {2}, 0, 1), 0));

  EXPECT_TRUE(map.Find(kBucket).former.empty());
}

TEST(ClusterMap, KnowsThatItDoesNotKnowThePast) {
  ClusterMap fresh;
  ASSERT_TRUE(fresh.Install(MapOf(1, 1, {1}), 30));
  EXPECT_FALSE(fresh.Find(kBucket).past_unknown_ms);

  ClusterMap late;
  ASSERT_TRUE(late.Install(MapOf(9, 4, {1}), 30));
  EXPECT_EQ(late.Find(kBucket).past_unknown_ms, 30);
}

TEST(ClusterMap, RefusesAMapThatContradictsItself) {
  ClusterMap map;
  wire::ClusterMap bad = MapOf(1, 1, {1, 2});
  bad.mutable_tables(0)->mutable_buckets(0)->add_servers(3);

  EXPECT_EQ(map.Install(bad, 0).code(), Errc::kInvalid);
  EXPECT_EQ(map.epoch(), 0u);
}

}  // namespace
}  // namespace ringfs::chunkserver
