#include "cli/json.h"

#include <gtest/gtest.h>

#include "proto/cluster.pb.h"
#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

namespace ringfs::cli {
namespace {

TEST(JsonTest, HasAllFieldsUnderTheirNames) {
  wire::StatusReply status;
  status.set_cluster_id(std::string("\x01\xfe", 2));
  status.set_uptime_ms(5);
  wire::Server& server = *status.add_servers();
  server.set_state(wire::SERVER_DRAINING);
  server.set_blocks(7);
  server.set_last_seen_ms_ago(-1);

  const Json json = ToJson(status);

  EXPECT_EQ(json["cluster_id"], "01fe");
  EXPECT_EQ(json["uptime_ms"], 5);
  EXPECT_EQ(json["buckets_lost"], 0);
  EXPECT_EQ(json["servers"].size(), 1u);
  EXPECT_EQ(json["servers"][0]["state"], "draining");
  EXPECT_EQ(json["servers"][0]["blocks"], 7);
  EXPECT_EQ(json["servers"][0]["last_seen_ms_ago"], -1);
  EXPECT_EQ(json["pools"], Json::array());
}

TEST(JsonTest, KeepsLargeNumbersWhole) {
  wire::LockInfo lock;
  lock.set_owner(UINT64_MAX);
  lock.set_since_ns(INT64_MIN);

  const std::string text = ToText(ToJson(lock));

  EXPECT_NE(text.find("\"owner\": 18446744073709551615"), std::string::npos) << text;
  EXPECT_NE(text.find("\"since_ns\": -9223372036854775808"), std::string::npos) << text;
}

TEST(JsonTest, HasMessagesOnlyWhenTheyAreSet) {
  wire::Attributes attributes;

  EXPECT_FALSE(ToJson(attributes).contains("cut"));
  attributes.mutable_cut()->set_from(4096);
  EXPECT_EQ(ToJson(attributes)["cut"]["from"], 4096);
}

TEST(JsonTest, HasRepeatedNumbersAndWords) {
  wire::Bucket bucket;
  bucket.add_servers(3);
  bucket.add_servers(1);
  bucket.add_states(wire::MEMBER_SERVING);
  bucket.add_states(wire::MEMBER_OFFLINE);

  const Json json = ToJson(bucket);

  EXPECT_EQ(json["servers"], (Json{3, 1}));
  EXPECT_EQ(json["states"], (Json{"serving", "offline"}));
}

TEST(JsonTest, SurvivesNamesThatAreNoText) {
  wire::WhereReply where;
  where.set_path("/a\nb\xff");
  wire::Server server;
  server.set_host("\xff");

  EXPECT_EQ(ToJson(where)["path"], "/a\\x0ab\\xff");
  EXPECT_NE(ToText(ToJson(server)).find("\"host\""), std::string::npos);
}

}  // namespace
}  // namespace ringfs::cli
