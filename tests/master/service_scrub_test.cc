#include <gtest/gtest.h>

#include "proto/scrub.pb.h"
#include "service_support.h"

namespace ringfs::master {
namespace {

Result<wire::ScrubReply> OrderScrub(TestPeer& peer, uint64_t order) {
  wire::ScrubRequest request;
  request.set_order(order);
  return peer.Call<wire::ScrubReply>(wire::MASTER_SCRUB, request);
}

TEST(Scrub, IsOrderedUntilAServerKnowsOfIt) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestPeer administrator(master);

  ASSERT_TRUE(OrderScrub(administrator, 77));
  EXPECT_EQ(server.TakePush<wire::ScrubPush>(wire::MASTER_PUSH_SCRUB).order(), 77u);
  // What was pushed may have been lost with a connection.
  ASSERT_TRUE(OrderScrub(administrator, 77));
  EXPECT_EQ(server.TakePush<wire::ScrubPush>(wire::MASTER_PUSH_SCRUB).order(), 77u);

  wire::HeartbeatRequest heartbeat;
  heartbeat.set_server(server.id());
  heartbeat.set_incarnation(server.incarnation);
  wire::ScrubPass& pass = *heartbeat.mutable_usage()->mutable_scrub()->add_ended();
  pass.set_order(77);
  pass.set_blocks(5);
  ASSERT_TRUE(server.Call<wire::HeartbeatReply>(wire::MASTER_HEARTBEAT, heartbeat));
  const auto known = OrderScrub(administrator, 77);
  ASSERT_TRUE(known);
  ASSERT_EQ(known->servers_size(), 1);
  EXPECT_EQ(known->servers(0).server(), server.id());
  EXPECT_EQ(known->servers(0).report().ended(0).blocks(), 5u);

  // The next push is of the next order.
  ASSERT_TRUE(OrderScrub(administrator, 78));
  EXPECT_EQ(server.TakePush<wire::ScrubPush>(wire::MASTER_PUSH_SCRUB).order(), 78u);
  const auto status = administrator.Call<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->servers(0).scrub().ended(0).blocks(), 5u);
}

TEST(Scrub, IsOfServersInContactOnly) {
  TestMaster master;
  TestServer server(master, 's');
  ASSERT_TRUE(server.Register());
  TestPeer administrator(master);
  master.PassTime(kLeaseMs + 200);

  const auto reply = OrderScrub(administrator, 77);

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->servers_size(), 0);
  EXPECT_EQ(OrderScrub(administrator, 0).code(), Errc::kInvalid);
}

}  // namespace
}  // namespace ringfs::master
