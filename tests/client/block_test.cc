#include <gtest/gtest.h>

#include "tests/client/world.h"

namespace ringfs::client {
namespace {

int Count(const FakeChunkserver& server, uint32_t method) {
  return static_cast<int>(std::count(server.methods.begin(), server.methods.end(), method));
}

TEST(BlockIoTest, FollowsTheHeadWhenTheMapHasChanged) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "old head"));
  world.MoveHead(2);

  ASSERT_TRUE(world.Write(file.handle, 0, "new head"));
  EXPECT_EQ(world.Read(file.handle, 0, 100), "new head");

  EXPECT_EQ(world.chunks1.writes.size(), 2u);
  EXPECT_EQ(world.chunks2.writes.size(), 1u);
  EXPECT_EQ(world.chunks2.writes[0].bucket_version(), 2u);
}

TEST(BlockIoTest, LeavesAServerThatTheMapCallsDown) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "x"));
  world.chunk_server1.Stop();
  auto write = world.Begin(world.fs->Write(file.handle, 1, BufferOf("y"), false));
  world.Settle();
  EXPECT_FALSE(write->has_value());

  world.MoveHead(2);
  world.master.map.mutable_servers(0)->set_state(wire::SERVER_DOWN);
  world.master.PushEpoch();

  EXPECT_TRUE(world.Finish(write));
  EXPECT_EQ(world.Read(file.handle, 0, 100), "xy");
}

TEST(BlockIoTest, ARepeatedWriteHasTheSameTag) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  int lost = 0;
  world.chunks1.lose_answer = [&](uint32_t method) {
    return method == wire::CHUNK_WRITE && lost++ == 0;
  };

  ASSERT_TRUE(world.Write(file.handle, 0, "once"));

  ASSERT_EQ(world.chunks1.writes.size(), 2u);
  EXPECT_EQ(world.blocks.applied, 1);
  EXPECT_EQ(world.chunks1.writes[0].sequence(), world.chunks1.writes[1].sequence());
  EXPECT_EQ(world.chunks1.writes[0].channel(), world.chunks1.writes[1].channel());
}

TEST(BlockIoTest, AChannelHasOneWriteAtATimeAndAGrowingSequence) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  std::vector<Pending<Result<uint64_t>>> writes;
  for (uint64_t i = 0; i < 200; ++i) {
    writes.push_back(world.Begin(world.fs->Write(file.handle, i, BufferOf("x"), false)));
  }
  for (const auto& write : writes) EXPECT_TRUE(world.Finish(write));

  EXPECT_EQ(world.blocks.applied, 200);
  std::set<uint32_t> channels;
  for (const wire::WriteRequest& request : world.chunks1.writes) channels.insert(request.channel());
  EXPECT_LE(channels.size(), 64u);
}

TEST(BlockIoTest, ReadsOnceMoreWhenAChecksumDoesNotMatch) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "precious"));
  world.chunks1.corrupt_reads = 1;
  EXPECT_EQ(world.Read(file.handle, 0, 8), "precious");

  world.chunks1.corrupt_reads = 2;
  auto read = world.Await(world.fs->Read(file.handle, 0, 8));

  EXPECT_EQ(read.code(), Errc::kCorrupted);
  EXPECT_NE(read.error().detail.find("block 0"), std::string::npos) << read.error().ToString();
  EXPECT_NE(read.error().detail.find("server 1 at 127.0.0.1:"), std::string::npos);
}

TEST(BlockIoTest, GivesUpInTimeAndNamesTheServer) {
  World world(200);
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  world.chunks1.before = [](uint32_t method) -> std::optional<Error> {
    if (method == wire::CHUNK_WRITE) return Error{Errc::kUnavailable, "overloaded"};
    return {};
  };

  auto written = world.Write(file.handle, 0, "x");

  EXPECT_EQ(written.code(), Errc::kUnavailable);
  EXPECT_NE(written.error().detail.find("server 1 at"), std::string::npos);
  EXPECT_NE(written.error().detail.find("overloaded"), std::string::npos);
}

TEST(BlockIoTest, ARefusalThatLastsIsATimeout) {
  World world(1000);
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  world.chunks1.before = [](uint32_t method) -> std::optional<Error> {
    if (method == wire::CHUNK_WRITE) return Error{Errc::kNotServing, "no contact with the master"};
    return {};
  };

  auto written = world.Write(file.handle, 0, "x");

  EXPECT_EQ(written.code(), Errc::kTimedOut);
  EXPECT_NE(written.error().detail.find("no contact"), std::string::npos);
}

TEST(BlockIoTest, AFullDiskIsAnAnswer) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  world.chunks1.before = [](uint32_t method) -> std::optional<Error> {
    if (method == wire::CHUNK_WRITE) return Error{Errc::kNoSpace, "full"};
    return {};
  };

  EXPECT_EQ(world.Write(file.handle, 0, "x").code(), Errc::kNoSpace);

  EXPECT_EQ(Count(world.chunks1, wire::CHUNK_WRITE), 1);
  EXPECT_EQ(world.master.Count(wire::MetaRequest::kExtend), 0);
}

TEST(BlockIoTest, AWriteInEightBlocksIsEightRequestsAtOnce) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");

  ASSERT_TRUE(world.Write(file.handle, 0, Noise(8 * kMinBlockSize, 1)));

  EXPECT_EQ(world.chunks1.writes.size(), 8u);
  EXPECT_EQ(world.master.Count(wire::MetaRequest::kExtend), 1);
}

}  // namespace
}  // namespace ringfs::client
