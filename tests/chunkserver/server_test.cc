#include "chunkserver/server.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/chunkserver/server_fixture.h"

namespace ringfs::chunkserver {
namespace {

TEST_F(ServerTest, WritesAndReadsAcrossMembers) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}, {3, kServes}});

  EXPECT_EQ(Write(1, "hello "), Errc::kOk);
  EXPECT_EQ(Write(1, "world", 6), Errc::kOk);
  EXPECT_EQ(*Read(1), "hello world");

  // Each of the others has it too.
  master_.SetMembers({{2, kServes}});
  EXPECT_EQ(*Read(2), "hello world");
  master_.SetMembers({{3, kServes}});
  EXPECT_EQ(*Read(3), "hello world");
}

TEST_F(ServerTest, RefusesWhoIsNotItsClient) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});

  EXPECT_EQ(Write(2, "x"), Errc::kNotHead);
  EXPECT_EQ(Write(1, "x", 0, 99), Errc::kFenced);
  wire::HelloRequest hello;
  hello.set_cluster_id("another cluster!");
  EXPECT_EQ(Call(1, wire::CHUNK_HELLO, hello).code(), Errc::kWrongCluster);
}

// The frame's checksum does not cover the payload; those of the block do.
TEST_F(ServerTest, RefusesBytesOfWhichABitHasTurned) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  const std::string good = "what was meant to be written";
  ASSERT_EQ(Write(1, good), Errc::kOk);

  for (size_t bit = 0; bit < good.size() * 8; bit += 13) {
    turned_bit_ = bit;
    EXPECT_EQ(Write(1, good), Errc::kCorrupted) << "bit " << bit;
  }
  EXPECT_EQ(*Read(1), good);
}

TEST_F(ServerTest, CatchesUpAsASyncingMember) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  ASSERT_EQ(Write(1, "to be copied"), Errc::kOk);

  master_.SetMembers({{1, kServes}, {2, kServes}, {3, wire::MEMBER_SYNCING}});

  const wire::Bucket& bucket = master_.map.tables(0).buckets(0);
  ASSERT_TRUE(RunUntil([&] { return bucket.states(2) == kServes; }));
  master_.SetMembers({{3, kServes}});
  EXPECT_EQ(*Read(3), "to be copied");
}

TEST_F(ServerTest, ConfirmsAFenceAndRefusesTheSession) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  ASSERT_EQ(Write(1, "before"), Errc::kOk);

  master_.live_sessions.erase(kSession);
  wire::FencePush push;
  push.add_sessions(kSession);
  master_.Push(wire::MASTER_PUSH_FENCE, push);

  ASSERT_TRUE(RunUntil([&] { return master_.fenced.size() == 3; }));
  EXPECT_EQ(Write(1, "after!"), Errc::kFenced);
  EXPECT_EQ(*Read(1), "before");
}

TEST_F(ServerTest, RemovesGarbage) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  ASSERT_EQ(Write(1, "soon gone"), Errc::kOk);

  wire::GarbagePush push;
  push.add_items()->set_entry(5);
  push.mutable_items(0)->set_pool(1);
  push.mutable_items(0)->set_data(Raw(kBlock.data));
  master_.Push(wire::MASTER_PUSH_GARBAGE, push);

  ASSERT_TRUE(RunUntil([&] { return master_.removed.size() == 3; }));
  EXPECT_EQ(*Read(1), "");
}

TEST_F(ServerTest, ADelayedDropRemovesNothingNewer) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  ASSERT_EQ(Write(1, "before"), Errc::kOk);
  wire::DropRequest drop;
  drop.set_session(kSession);
  drop.set_pool(1);
  drop.set_data(Raw(kBlock.data));
  drop.set_epoch(master_.map.epoch());
  wire::DropRequest again = drop;
  drop.set_number(1);
  again.set_number(2);
  for (const uint32_t server : {1, 2}) ASSERT_TRUE(Call(server, wire::CHUNK_DROP, again));
  ASSERT_EQ(*Read(1), "");
  ASSERT_EQ(Write(1, "behind"), Errc::kOk);

  EXPECT_EQ(Call(1, wire::CHUNK_DROP, drop).code(), Errc::kVersionMismatch);
  EXPECT_EQ(*Read(1), "behind");

  // Server 3 takes a place that it did not have when the drop was sent.
  master_.SetMembers({{3, wire::MEMBER_SYNCING}, {1, kServes}});
  const wire::Bucket& bucket = master_.map.tables(0).buckets(0);
  ASSERT_TRUE(RunUntil([&] { return bucket.states(0) == kServes; }));
  EXPECT_EQ(Call(3, wire::CHUNK_DROP, again).code(), Errc::kStaleEpoch);
  EXPECT_EQ(*Read(3), "behind");
}

TEST_F(ServerTest, KeepsItsIdentityAndItsBlocksOverARestart) {
  StartThree();
  master_.SetMembers({{1, kServes}});
  ASSERT_EQ(Write(1, "kept"), Errc::kOk);
  StopServer(servers_[0]);
  channels_.erase(1);
  servers_[0].reset();

  const auto address = StartServer("a");

  ASSERT_TRUE(address) << address.error().ToString();
  addresses_[0] = *address;
  EXPECT_EQ(master_.map.servers_size(), 3) << "it was taken for a new server";
  master_.SetMembers({{1, kServes}});
  EXPECT_EQ(*Read(1), "kept");
}

TEST_F(ServerTest, RefusesDataOfAnotherCluster) {
  ASSERT_TRUE(StartServer("a"));
  StopServer(servers_[0]);
  servers_.clear();
  master_.map.set_cluster_id("fedcba9876543210");

  EXPECT_EQ(StartServer("a").code(), Errc::kWrongCluster);
}

TEST_F(ServerTest, EndsAtOnceWhenItWasRemoved) {
  ASSERT_TRUE(StartServer("a"));
  EXPECT_FALSE(servers_[0]->removed());
  StopServer(servers_[0]);
  servers_.clear();
  master_.removes = true;

  const auto started = StartServer("a");

  EXPECT_EQ(started.code(), Errc::kNotPermitted);
  EXPECT_EQ(started.error().detail, "the server was removed");
  EXPECT_TRUE(servers_[0]->removed());
}

TEST_F(ServerTest, RefusesADirectoryWithOtherThingsInIt) {
  std::filesystem::create_directories(folder_ / "home" / "photos");

  const auto started = StartServer("home");

  EXPECT_EQ(started.code(), Errc::kNotFound);
  EXPECT_NE(started.error().detail.find("--new"), std::string::npos);
}

}  // namespace
}  // namespace ringfs::chunkserver
