#include "cli/commands/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/json.h"
#include "common/ring/ring.h"
#include "proto/chunk.pb.h"
#include "tests/cli/fake_server.h"

namespace ringfs::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint32_t kBits = 4;
constexpr uint64_t kBlockSize = 4096;

wire::Server MakeServer(uint32_t id, wire::ServerState state = wire::SERVER_UP,
                        const std::string& address = "") {
  wire::Server server;
  server.set_id(id);
  server.set_uuid(std::string(15, 'u') + static_cast<char>('0' + id));
  server.set_address(address.empty() ? "10.0.0." + std::to_string(id) + ":4711" : address);
  server.set_weight(100);
  server.set_state(state);
  server.set_capacity_bytes(1000 << 20);
  server.set_used_bytes(100 << 20);
  server.set_blocks(25);
  return server;
}

wire::Pool MakePool() {
  wire::Pool pool;
  pool.set_id(1);
  pool.set_replicas(2);
  pool.set_bucket_bits(kBits);
  return pool;
}

// Two servers that serve every bucket, the first as head.
wire::ClusterMap MakeMap(const wire::Server& first, const wire::Server& second) {
  wire::ClusterMap map;
  map.set_epoch(9);
  map.set_complete(true);
  *map.add_servers() = first;
  *map.add_servers() = second;
  *map.add_pools() = MakePool();
  wire::BucketTable& table = *map.add_tables();
  table.set_pool(1);
  for (uint32_t id = 0; id < 1u << kBits; ++id) {
    wire::Bucket& bucket = *table.add_buckets();
    bucket.set_id(id);
    bucket.set_version(3);
    bucket.add_servers(first.id());
    bucket.add_servers(second.id());
    bucket.add_states(wire::MEMBER_SERVING);
    bucket.add_states(wire::MEMBER_SERVING);
  }
  return map;
}

wire::StatusReply MakeStatus() {
  wire::StatusReply status;
  status.set_epoch(9);
  status.set_buckets_healthy(16);
  *status.add_servers() = MakeServer(1);
  *status.add_servers() = MakeServer(2);
  *status.add_pools() = MakePool();
  return status;
}

wire::WhereReply MakeWhere(uint64_t size) {
  wire::WhereReply where;
  wire::Attributes& attributes = *where.mutable_attributes();
  attributes.set_inode(5);
  attributes.set_data(77);
  attributes.set_pool(1);
  attributes.set_size(size);
  attributes.set_block_size(kBlockSize);
  return where;
}

class CommandsTest : public ::testing::Test {
 protected:
  FakeServer server_;
  Master master_{{server_.address()}};
};

TEST(HealthTest, SaysTheWorstFirst) {
  struct Case {
    const char* name;
    uint64_t healthy, degraded, lost;
    wire::ServerState second;
    uint32_t failed_stores;
    const char* word;
  };
  const Case cases[] = {{"no data placed", 0, 0, 0, wire::SERVER_UP, 0, "starting"},
                        {"lost", 1, 1, 1, wire::SERVER_DOWN, 1, "unavailable"},
                        {"degraded", 1, 1, 0, wire::SERVER_DOWN, 1, "degraded"},
                        {"a server down", 1, 0, 0, wire::SERVER_DOWN, 0, "warning"},
                        {"a disk failed", 1, 0, 0, wire::SERVER_UP, 1, "warning"},
                        {"all well", 1, 0, 0, wire::SERVER_DRAINING, 0, "healthy"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    wire::StatusReply status;
    status.set_buckets_healthy(c.healthy);
    status.set_buckets_degraded(c.degraded);
    status.set_buckets_lost(c.lost);
    *status.add_servers() = MakeServer(1);
    *status.add_servers() = MakeServer(2, c.second);
    status.mutable_servers(0)->set_failed_stores(c.failed_stores);

    EXPECT_EQ(HealthOf(status).word, c.word);
  }
}

TEST(HealthTest, WarnsOfFullDisks) {
  wire::StatusReply status = MakeStatus();
  for (wire::Server& server : *status.mutable_servers()) {
    server.set_capacity_bytes(UINT64_MAX / 4);
    server.set_used_bytes(UINT64_MAX / 100 * 24);
  }

  EXPECT_EQ(HealthOf(status).word, "warning");
}

TEST_F(CommandsTest, ShowsTheStatusToPeople) {
  server_.Answer(wire::MASTER_STATUS, MakeStatus());

  const auto text = ShowStatus(master_, Output::kText);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_THAT(*text, HasSubstr("healthy: all data has all its copies\n"));
  EXPECT_THAT(*text, HasSubstr("2 up, 0 down"));
  EXPECT_THAT(*text, HasSubstr("200.0 MiB of 2.0 GiB used (10 %)"));
}

TEST_F(CommandsTest, TellsHowLongCopyingTakes) {
  wire::StatusReply status = MakeStatus();
  status.set_copies_left(30);
  status.set_copies_left_bytes(3 << 20);
  status.set_buckets_copying(4);
  status.set_copies_done(10);
  status.set_copying_ms(20'000);
  server_.Answer(wire::MASTER_STATUS, status);

  const auto text = ShowStatus(master_, Output::kText);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_THAT(*text, HasSubstr("30 of buckets to be made, about 3.0 MiB; 4 buckets being copied"));
  EXPECT_THAT(*text, HasSubstr("25 % done in 20 s, about 1 min 0 s to go"));
}

TEST_F(CommandsTest, ShowsTheFiguresOfAllPrograms) {
  wire::StatsReply stats;
  wire::Metric& time = *stats.add_metrics();
  time.set_name("ringfs_call_seconds");
  time.set_kind(wire::METRIC_HISTOGRAM);
  time.set_label("kind");
  time.set_label_value("write");
  time.set_count(100);
  time.set_sum(0.1);
  for (const double bound : {0.002, 0.004}) time.add_bounds(bound);
  for (const uint64_t count : {98, 99}) time.add_counts(count);
  wire::Metric& errors = *stats.add_metrics();
  errors.set_name("ringfs_call_errors_total");
  errors.set_label("kind");
  errors.set_label_value("write");
  errors.set_value(7);
  wire::Metric& memory = *stats.add_metrics();
  memory.set_name("process_resident_memory_bytes");
  memory.set_value(1 << 20);
  wire::StatusReply status = MakeStatus();
  *status.mutable_servers(0) = MakeServer(1, wire::SERVER_UP, server_.address());
  *status.mutable_servers(1) = MakeServer(2, wire::SERVER_DOWN);
  server_.Answer(wire::MASTER_STATUS, status);
  server_.Answer(wire::MASTER_STATS, stats);
  server_.Answer(wire::CHUNK_STATS, stats);

  const auto text = ShowStats(master_, Output::kText);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_THAT(*text, HasSubstr("master at "));
  EXPECT_THAT(*text, HasSubstr("chunkserver 1 at " + server_.address()));
  EXPECT_THAT(*text, HasSubstr("is down"));
  EXPECT_THAT(*text, HasSubstr("1.0 MiB"));
  EXPECT_THAT(*text, ::testing::ContainsRegex("write +100 +7 .* 1.0 ms +< 4.0 ms"));

  const auto json = ShowStats(master_, Output::kJson);

  ASSERT_TRUE(json) << json.error().ToString();
  const Json parsed = Json::parse(*json);
  ASSERT_EQ(parsed.size(), 3u);
  EXPECT_EQ(parsed[0]["program"], "master");
  EXPECT_EQ(parsed[1]["metrics"][1]["value"], 7);
  EXPECT_TRUE(parsed[2].contains("error"));
}

TEST_F(CommandsTest, ShowsTheStatusToPrograms) {
  server_.Answer(wire::MASTER_STATUS, MakeStatus());

  const auto text = ShowStatus(master_, Output::kJson);

  ASSERT_TRUE(text);
  const Json json = Json::parse(*text);
  EXPECT_EQ(json["epoch"], 9);
  EXPECT_EQ(json["health"], "healthy");
  EXPECT_EQ(json["servers"][1]["blocks"], 25);
}

TEST_F(CommandsTest, ShowsServers) {
  wire::StatusReply status = MakeStatus();
  status.mutable_servers(1)->set_host("bad\x1bname");
  *status.add_servers() = MakeServer(3, wire::SERVER_GONE);
  server_.Answer(wire::MASTER_STATUS, status);

  const auto text = ShowServers(master_, Output::kText);

  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("10.0.0.1:4711"));
  EXPECT_THAT(*text, HasSubstr("bad\\x1bname"));
  EXPECT_THAT(*text, Not(HasSubstr("10.0.0.3:4711")));
}

TEST_F(CommandsTest, GivesOrdersToServers) {
  server_.Answer(wire::MASTER_SERVER_ORDER, wire::ServerOrderReply());

  ASSERT_TRUE(OrderServer(master_, "3", wire::SERVER_ORDER_WEIGHT, 50, Output::kText));

  wire::ServerOrderRequest request;
  ASSERT_TRUE(request.ParseFromString(server_.Calls(wire::MASTER_SERVER_ORDER).at(0)));
  EXPECT_EQ(request.server(), "3");
  EXPECT_EQ(request.order(), wire::SERVER_ORDER_WEIGHT);
  EXPECT_EQ(request.weight(), 50u);
}

TEST_F(CommandsTest, TellProgramsWhatWasOrdered) {
  server_.Answer(wire::MASTER_SERVER_ORDER, wire::ServerOrderReply());
  server_.Answer(wire::MASTER_BREAK_LOCK, wire::BreakLockReply());

  const auto ordered = OrderServer(master_, "3", wire::SERVER_ORDER_DRAIN, 0, Output::kJson);
  const auto broken = BreakLocks(master_, 7, Output::kJson);

  ASSERT_TRUE(ordered && broken);
  EXPECT_EQ(nlohmann::json::parse(*ordered)["server"], "3");
  EXPECT_EQ(nlohmann::json::parse(*ordered)["order"], "drain");
  EXPECT_EQ(nlohmann::json::parse(*broken)["ended"], 7);
}

TEST_F(CommandsTest, ShowTheMastersRefusal) {
  server_.Refuse(wire::MASTER_SERVER_ORDER, {Errc::kBusy, "drain it first"});

  const auto refused = OrderServer(master_, "3", wire::SERVER_ORDER_REMOVE, 0, Output::kText);
  const auto unknown = BreakLocks(master_, 1, Output::kText);

  EXPECT_EQ(refused.code(), Errc::kBusy);
  EXPECT_EQ(refused.error().detail, "drain it first");
  EXPECT_EQ(unknown.code(), Errc::kNotSupported);
  EXPECT_THAT(unknown.error().detail, HasSubstr("does not do this"));
}

TEST_F(CommandsTest, ShowsLocks) {
  wire::ListLocksReply reply;
  wire::LockInfo& held = *reply.add_locks();
  held.set_inode(5);
  held.set_path("/a\\x0ab");  // as the master makes names printable
  held.set_kind(wire::LOCK_RANGE);
  held.set_type(wire::LOCK_EXCLUSIVE);
  held.set_start(10);
  held.set_last(INT64_MAX);
  wire::LockInfo& waiting = *reply.add_locks();
  waiting.set_inode(6);
  waiting.set_kind(wire::LOCK_FLOCK);
  waiting.set_waiting(true);
  server_.Answer(wire::MASTER_LIST_LOCKS, reply);

  const auto text = ShowLocks(master_, "", Output::kText);

  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("/a\\x0ab "));
  EXPECT_THAT(*text, HasSubstr("10-end"));
  EXPECT_THAT(*text, HasSubstr("(no name left)"));
  EXPECT_THAT(*text, HasSubstr("waiting"));
}

TEST_F(CommandsTest, ShowsTheLocksOfOneFile) {
  wire::ListLocksReply reply;
  reply.add_locks()->set_inode(5);
  reply.add_locks()->set_inode(6);
  server_.Answer(wire::MASTER_LIST_LOCKS, reply);
  server_.Answer(wire::MASTER_WHERE, MakeWhere(0));

  const auto text = ShowLocks(master_, "/name \xff", Output::kJson);

  ASSERT_TRUE(text) << text.error().ToString();
  const Json json = Json::parse(*text);
  ASSERT_EQ(json["locks"].size(), 1u);
  EXPECT_EQ(json["locks"][0]["inode"], 5);
}

TEST_F(CommandsTest, ShowsSessions) {
  wire::ListSessionsReply reply;
  wire::SessionInfo& session = *reply.add_sessions();
  session.set_session(12);
  session.set_mountpoint("/mnt/\xc3\xa4");
  session.set_connected(true);
  server_.Answer(wire::MASTER_LIST_SESSIONS, reply);

  const auto text = ShowSessions(master_, Output::kText);

  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("connected"));
  EXPECT_THAT(*text, HasSubstr("/mnt/\\xc3\\xa4"));
}

TEST_F(CommandsTest, ShowsWhereTheBlocksAre) {
  server_.Answer(wire::MASTER_WHERE, MakeWhere(2 * kBlockSize + 1));
  server_.Answer(wire::MASTER_GET_MAP, MakeMap(MakeServer(1), MakeServer(2)));

  const auto text = ShowWhere(master_, "/dir/file", false, Output::kText);
  const auto json = ShowWhere(master_, "/dir/file", false, Output::kJson);

  ASSERT_TRUE(text && json);
  EXPECT_THAT(*text, HasSubstr("3 of 4.0 KiB"));
  EXPECT_THAT(*text, HasSubstr("1 10.0.0.1:4711 head, 2 10.0.0.2:4711 serving"));
  const Json blocks = Json::parse(*json)["blocks"];
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(blocks[2]["offset"], 2 * kBlockSize);
  EXPECT_EQ(blocks[2]["bucket"], Raw(BucketOf(DataId{77}, 2, kBits)));
  EXPECT_EQ(blocks[2]["members"][0]["head"], true);
  EXPECT_EQ(blocks[2]["members"][1]["state"], "serving");
}

TEST_F(CommandsTest, ShowsTheStartOfALongFile) {
  server_.Answer(wire::MASTER_WHERE, MakeWhere(100 * kBlockSize));
  server_.Answer(wire::MASTER_GET_MAP, MakeMap(MakeServer(1), MakeServer(2)));

  const auto some = ShowWhere(master_, "/file", false, Output::kJson);
  const auto all = ShowWhere(master_, "/file", true, Output::kJson);
  const auto text = ShowWhere(master_, "/file", false, Output::kText);

  ASSERT_TRUE(some && all && text);
  EXPECT_EQ(Json::parse(*some)["blocks"].size(), 32u);
  EXPECT_EQ(Json::parse(*all)["blocks"].size(), 100u);
  EXPECT_THAT(*text, HasSubstr("68 more blocks (--all shows them)"));
}

TEST_F(CommandsTest, ShowsThePolicyOfADirectory) {
  wire::PolicyReply policy;
  policy.set_replicas(3);
  policy.set_block_size(64 << 10);
  policy.set_pool(2);
  server_.Answer(wire::MASTER_POLICY, policy);

  const auto text = Policy(master_, "/dir", 3, 64 << 10, Output::kText);
  const auto json = Policy(master_, "/dir", 0, 0, Output::kJson);

  ASSERT_TRUE(text && json);
  EXPECT_THAT(*text, HasSubstr("64.0 KiB"));
  EXPECT_EQ(Json::parse(*json)["replicas"], 3);
}

TEST_F(CommandsTest, SurvivesAMasterThatTalksNonsense) {
  wire::WhereReply where = MakeWhere(UINT64_MAX);
  server_.Answer(wire::MASTER_WHERE, where);
  wire::ClusterMap map = MakeMap(MakeServer(1), MakeServer(2));
  for (wire::Bucket& bucket : *map.mutable_tables(0)->mutable_buckets()) bucket.clear_states();
  map.mutable_tables(0)->mutable_buckets(0)->set_id(UINT32_MAX);
  server_.Answer(wire::MASTER_GET_MAP, map);
  EXPECT_TRUE(ShowWhere(master_, "/f", false, Output::kText));
  EXPECT_TRUE(ShowRing(master_, Output::kText));

  map.mutable_pools(0)->set_bucket_bits(40);
  server_.Answer(wire::MASTER_GET_MAP, map);
  EXPECT_EQ(ShowWhere(master_, "/f", false, Output::kText).code(), Errc::kProtocol);
  EXPECT_EQ(ShowRing(master_, Output::kText).code(), Errc::kProtocol);

  where.mutable_attributes()->set_block_size(0);
  server_.Answer(wire::MASTER_WHERE, where);
  EXPECT_EQ(ShowWhere(master_, "/f", false, Output::kText).code(), Errc::kProtocol);
}

TEST_F(CommandsTest, ShowsTheRing) {
  wire::ClusterMap map = MakeMap(MakeServer(1), MakeServer(2));
  server_.Answer(wire::MASTER_GET_MAP, map);
  const auto settled = ShowRing(master_, Output::kJson);
  *map.add_servers() = MakeServer(3);
  server_.Answer(wire::MASTER_GET_MAP, map);
  const auto joined = ShowRing(master_, Output::kJson);
  const auto text = ShowRing(master_, Output::kText);

  ASSERT_TRUE(settled && joined && text);
  const Json before = Json::parse(*settled)["pools"][0];
  EXPECT_EQ(before["to_move"], 0);
  EXPECT_EQ(before["servers"][0]["members"], 16);
  EXPECT_EQ(before["servers"][0]["heads"], 16);
  EXPECT_EQ(before["servers"][1]["heads"], 0);
  EXPECT_EQ(before["servers"][1]["fair"], 16.0);
  const Json after = Json::parse(*joined)["pools"][0];
  EXPECT_GT(after["to_move"], 0);
  EXPECT_EQ(after["servers"][2]["members"], 0);
  EXPECT_GT(after["servers"][2]["wanted"], 0);
  EXPECT_THAT(*text, HasSubstr("still to be added"));
}

TEST_F(CommandsTest, FlushesAllChunkservers) {
  FakeServer first;
  FakeServer second;
  for (FakeServer* server : {&first, &second}) {
    server->Answer(wire::CHUNK_STATUS, wire::ChunkStatusReply());
    server->Answer(wire::CHUNK_SYNC_ALL, wire::SyncAllReply());
  }
  server_.Answer(wire::MASTER_GET_MAP, MakeMap(MakeServer(1, wire::SERVER_UP, first.address()),
                                               MakeServer(2, wire::SERVER_UP, second.address())));

  const auto text = SyncAll(master_, Output::kText);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_THAT(*text, HasSubstr("everything is on the disks of 2 chunkservers"));
  EXPECT_EQ(first.Calls(wire::CHUNK_SYNC_ALL).size(), 1u);
  EXPECT_EQ(second.Calls(wire::CHUNK_SYNC_ALL).size(), 1u);
}

TEST_F(CommandsTest, DoesNotCallAFailedFlushDone) {
  FakeServer first;
  FakeServer second;
  for (FakeServer* server : {&first, &second}) {
    server->Answer(wire::CHUNK_STATUS, wire::ChunkStatusReply());
    server->Answer(wire::CHUNK_SYNC_ALL, wire::SyncAllReply());
  }
  second.Refuse(wire::CHUNK_SYNC_ALL, {Errc::kIo, "the disk is broken"});
  wire::ClusterMap map = MakeMap(MakeServer(1, wire::SERVER_UP, first.address()),
                                 MakeServer(2, wire::SERVER_UP, second.address()));
  server_.Answer(wire::MASTER_GET_MAP, map);
  const auto serving = SyncAll(master_, Output::kText);

  for (wire::Bucket& bucket : *map.mutable_tables(0)->mutable_buckets()) {
    bucket.set_states(1, wire::MEMBER_OFFLINE);
  }
  server_.Answer(wire::MASTER_GET_MAP, map);
  const auto offline = SyncAll(master_, Output::kText);

  EXPECT_EQ(serving.code(), Errc::kIo);
  EXPECT_THAT(serving.error().detail, HasSubstr("the disk is broken"));
  ASSERT_TRUE(offline) << offline.error().ToString();
  EXPECT_THAT(*offline, HasSubstr("left out"));
  EXPECT_THAT(*offline, HasSubstr("1 chunkserver\n"));
  const auto json = SyncAll(master_, Output::kJson);
  ASSERT_TRUE(json);
  const auto parsed = nlohmann::json::parse(*json);
  EXPECT_EQ(parsed["flushed"], 1);
  EXPECT_EQ(parsed["left_out"][0]["server"], 2);
}

TEST(MasterTest, SaysThatItDoesNotAnswer) {
  std::string address;
  {
    const FakeServer gone;
    address = gone.address();
  }
  Master master({address}, 100);

  const auto text = ShowStatus(master, Output::kText);

  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().detail, HasSubstr("the master at " + address + " does not answer"));
}

}  // namespace
}  // namespace ringfs::cli
