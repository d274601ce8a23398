#include "chunkserver/replication/drop_order.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace ringfs::chunkserver {
namespace {

constexpr ServerId kOwnNumber{1};
constexpr SessionId kDropping{7};
using Places = std::vector<std::pair<uint32_t, wire::MemberState>>;

class DropOrderTest : public ::testing::Test {
 protected:
  void Install(uint64_t epoch, const Places& members) {
    wire::ClusterMap map;
    map.set_epoch(epoch);
    wire::Pool& pool = *map.add_pools();
    pool.set_id(1);
    wire::BucketTable& table = *map.add_tables();
    table.set_pool(1);
    wire::Bucket& bucket = *table.add_buckets();
    bucket.set_version(epoch);
    for (const auto& [server, state] : members) {
      bucket.add_servers(server);
      bucket.add_states(state);
    }
    order_.Learn(kOwnNumber, map_, map);
    ASSERT_TRUE(map_.Install(map, 0));
  }
  Errc Begin(uint64_t number, uint64_t epoch, SessionId session = kDropping) {
    return order_.Begin(session, number, epoch).code();
  }

  ClusterMap map_;
  DropOrder order_;
};

TEST_F(DropOrderTest, RefusesWhatComesAfterANewerOne) {
  EXPECT_EQ(Begin(1, 1), Errc::kOk);
  EXPECT_EQ(Begin(3, 1), Errc::kOk);

  EXPECT_EQ(Begin(2, 1), Errc::kVersionMismatch);
  EXPECT_EQ(Begin(3, 1), Errc::kVersionMismatch);
  EXPECT_EQ(Begin(4, 1), Errc::kOk);
  EXPECT_EQ(Begin(1, 1, SessionId{8}), Errc::kOk) << "another session has its own numbers";
}

TEST_F(DropOrderTest, RefusesWhatWasSentBeforeTheServerHadItsPlace) {
  Install(5, {{2, wire::MEMBER_SERVING}});
  EXPECT_EQ(Begin(1, 5), Errc::kOk);

  Install(6, {{2, wire::MEMBER_SERVING}, {1, wire::MEMBER_SYNCING}});

  EXPECT_EQ(Begin(2, 5), Errc::kStaleEpoch);
  EXPECT_EQ(Begin(2, 6), Errc::kOk);
}

TEST_F(DropOrderTest, ReachesBackToWhenAPlaceWasGainedAndNoFurther) {
  struct Case {
    wire::MemberState before;
    wire::MemberState after;
    Errc expected;
  };
  const Case cases[] = {
      {wire::MEMBER_SERVING, wire::MEMBER_SERVING, Errc::kOk},
      {wire::MEMBER_SYNCING, wire::MEMBER_SERVING, Errc::kOk},
      {wire::MEMBER_SERVING, wire::MEMBER_OFFLINE, Errc::kOk},
      {wire::MEMBER_OFFLINE, wire::MEMBER_SYNCING, Errc::kStaleEpoch},
      {wire::MEMBER_OFFLINE, wire::MEMBER_SERVING, Errc::kStaleEpoch},
      {wire::MEMBER_SERVING, wire::MEMBER_SYNCING, Errc::kStaleEpoch},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(wire::MemberState_Name(one.before) + " to " + wire::MemberState_Name(one.after));
    map_ = ClusterMap();
    order_ = DropOrder();
    Install(8, {{1, one.before}, {2, wire::MEMBER_SERVING}});

    Install(9, {{1, one.after}, {2, wire::MEMBER_SERVING}});

    EXPECT_EQ(Begin(1, 8), one.expected);
  }
}

TEST_F(DropOrderTest, RefusesWhatWasSentBeforeARegistration) {
  order_.Registered(12);

  EXPECT_EQ(Begin(1, 11), Errc::kStaleEpoch);
  EXPECT_EQ(Begin(1, 12), Errc::kOk);
}

TEST_F(DropOrderTest, TakesWhatIsNotNumberedAndForgetsSessions) {
  order_.Registered(12);
  EXPECT_EQ(Begin(0, 0), Errc::kOk);
  EXPECT_TRUE(order_.Sessions().empty());

  EXPECT_EQ(Begin(9, 12), Errc::kOk);
  EXPECT_EQ(order_.Sessions(), std::vector<SessionId>{kDropping});
  order_.Forget(kDropping);
  EXPECT_TRUE(order_.Sessions().empty());
}

}  // namespace
}  // namespace ringfs::chunkserver
