#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>

#include "tests/client/world.h"

namespace ringfs::client {
namespace {

using Operation = wire::MetaRequest::OperationCase;
constexpr uint64_t kBlock = kMinBlockSize;

TEST(FileTest, ReadsWhatWasWrittenAcrossBlocks) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  const std::string bytes = Noise(3 * kBlock + 77, 1);

  ASSERT_TRUE(world.Write(file.handle, 0, bytes));
  ASSERT_TRUE(world.Write(file.handle, kBlock - 5, "0123456789"));

  std::string expected = bytes;
  expected.replace(kBlock - 5, 10, "0123456789");
  EXPECT_EQ(world.Read(file.handle, 0, 4 * kBlock), expected);
  EXPECT_EQ(world.Read(file.handle, 4095, 2), expected.substr(4095, 2));
  EXPECT_EQ(world.Read(file.handle, 3 * kBlock + 70, 100), expected.substr(3 * kBlock + 70));
  EXPECT_EQ(world.Read(file.handle, 4 * kBlock, 100), "");
  ASSERT_TRUE(world.fs->LastAttributes(file.handle));
  EXPECT_EQ(world.fs->LastAttributes(file.handle)->size(), bytes.size());
}

TEST(FileTest, HolesReadAsZeros) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");

  ASSERT_TRUE(world.Write(file.handle, 2 * kBlock + 10, "end"));

  EXPECT_EQ(world.Read(file.handle, 0, 3 * kBlock), std::string(2 * kBlock + 10, '\0') + "end");
}

TEST(FileTest, AReadOfOneBlockIsOneRequestAndOneQuestion) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, Noise(kBlock, 1)));
  world.chunks1.methods.clear();
  world.master.asked.clear();

  world.Read(file.handle, 0, kBlock);

  EXPECT_EQ(world.chunks1.methods.size(), 1u);
  EXPECT_EQ(world.master.asked.size(), 1u);
}

// Another mount changes the file: the fake master's attributes and the blocks.
TEST(FileTest, SeesTheSizeThatAnotherMountMade) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "abcdef"));

  world.master.files[file.attributes.inode()].set_size(3);
  EXPECT_EQ(world.Read(file.handle, 0, 100), "abc");
  world.master.files[file.attributes.inode()].set_size(6);
  EXPECT_EQ(world.Read(file.handle, 0, 100), "abcdef");
}

TEST(FileTest, SeesTheContentThatAnotherMountMade) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "before"));
  FakeBlocks::Block& block = world.blocks.blocks[BlockKey{PoolId{1}, DataId{900}, 0}];
  block.bytes.assign(5, std::byte{'x'});

  world.master.files[file.attributes.inode()].set_data(900);
  world.master.files[file.attributes.inode()].set_size(5);

  EXPECT_EQ(world.Read(file.handle, 0, 100), "xxxxx");
}

// The blocks of the old content are gone before the attributes are read again.
TEST(FileTest, DoesNotTakeRemovedBlocksForAHole) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "before"));
  int questions = 0;
  world.chunks1.before = [&](uint32_t method) -> std::optional<Error> {
    if (method == wire::CHUNK_READ && questions++ == 0) {
      world.blocks.blocks.clear();
      world.blocks.blocks[BlockKey{PoolId{1}, DataId{900}, 0}].bytes.assign(2, std::byte{'y'});
    }
    return {};
  };
  bool renewed = false;
  world.master.before = [&](const wire::MetaRequest& request) -> std::optional<Error> {
    // The first question is answered with the old content, by a master that is a little behind.
    if (request.has_get_attributes() && std::exchange(renewed, true)) {
      world.master.files[file.attributes.inode()].set_data(900);
      world.master.files[file.attributes.inode()].set_size(2);
    }
    return {};
  };

  EXPECT_EQ(world.Read(file.handle, 0, 100), "yy");
}

TEST(FileTest, WritesAgainWhenTheContentWasReplacedMeanwhile) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  bool truncated = false;
  world.master.before = [&](const wire::MetaRequest& request) -> std::optional<Error> {
    if (request.has_extend() && !std::exchange(truncated, true)) {
      world.master.files[file.attributes.inode()].set_data(900);
    }
    return {};
  };

  ASSERT_TRUE(world.Write(file.handle, 5, "kept"));

  EXPECT_EQ(world.master.Count(Operation::kExtend), 2);
  EXPECT_EQ(world.Read(file.handle, 5, 4), "kept");
  EXPECT_TRUE(world.blocks.blocks.contains(BlockKey{PoolId{1}, DataId{900}, 0}));
}

TEST(FileTest, CutsTheBlocksBeforeATruncateReturns) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  const InodeId inode{file.attributes.inode()};
  ASSERT_TRUE(world.Write(file.handle, 0, Noise(3 * kBlock, 1)));

  AttributeChange change;
  change.size = kBlock + 100;
  auto cut = world.Await(world.fs->SetAttributes(inode, change, {}));

  ASSERT_TRUE(cut) << cut.error().ToString();
  EXPECT_FALSE(cut->has_cut());
  EXPECT_EQ(cut->size(), kBlock + 100);
  EXPECT_FALSE(world.master.files[Raw(inode)].has_cut());
  const DataId data{cut->data()};
  EXPECT_EQ((world.blocks.blocks[BlockKey{PoolId{1}, data, 1}].bytes.size()), 100u);
  EXPECT_FALSE(world.blocks.blocks.contains(BlockKey{PoolId{1}, data, 2}));
  for (const FakeChunkserver* server : {&world.chunks1, &world.chunks2}) {
    ASSERT_EQ(server->drops.size(), 1u);
    EXPECT_EQ(server->drops[0].from_index(), 2u);
  }
  change.size = 3 * kBlock;
  ASSERT_TRUE(world.Await(world.fs->SetAttributes(inode, change, {})));
  EXPECT_EQ(world.Read(file.handle, kBlock + 100, kBlock), std::string(kBlock, '\0'));
  ASSERT_TRUE(world.Write(file.handle, 2 * kBlock, "more"));
}

TEST(FileTest, ClaimsTheCutOfASessionThatHasEndedAndWritesAgain) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "0123456789"));
  wire::Attributes& attributes = world.master.files[file.attributes.inode()];
  attributes.set_size(4);
  attributes.set_generation(attributes.generation() + 1);
  attributes.mutable_cut()->set_session(0);
  attributes.mutable_cut()->set_from(4);

  ASSERT_TRUE(world.Write(file.handle, 6, "new"));

  EXPECT_EQ(world.master.Count(Operation::kClaimCut), 1);
  EXPECT_EQ(world.master.Count(Operation::kCutDone), 1);
  EXPECT_EQ(world.Read(file.handle, 0, 100), std::string("0123\0\0new", 9));
}

TEST(FileTest, ATruncateThatRunsOutOfTimeIsFinishedLater) {
  World world(400);
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  const InodeId inode{file.attributes.inode()};
  ASSERT_TRUE(world.Write(file.handle, 0, Noise(2 * kBlock, 1)));
  bool away = true;
  world.chunks2.before = [&](uint32_t method) -> std::optional<Error> {
    if (away && method == wire::CHUNK_DROP) return Error{Errc::kUnavailable, "away"};
    return {};
  };
  AttributeChange change;
  change.size = 10;

  auto cut = world.Await(world.fs->SetAttributes(inode, change, {}));
  EXPECT_EQ(cut.code(), Errc::kUnavailable);
  EXPECT_TRUE(world.master.files[Raw(inode)].has_cut());
  away = false;

  world.RunUntil([&] { return !world.master.files[Raw(inode)].has_cut(); });
}

TEST(FileTest, ADropThatIsSentAgainHasAHigherNumber) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, Noise(2 * kBlock, 1)));
  int lost = 0;
  world.chunks1.lose_answer = [&](uint32_t method) {
    return method == wire::CHUNK_DROP && lost++ == 0;
  };
  AttributeChange change;
  change.size = 10;

  ASSERT_TRUE(world.Await(world.fs->SetAttributes(InodeId{file.attributes.inode()}, change, {})));

  const std::vector<wire::DropRequest>& drops = world.chunks1.drops;
  ASSERT_EQ(drops.size(), 2u);
  EXPECT_LT(0u, drops[0].number());
  EXPECT_LT(drops[0].number(), drops[1].number());
  EXPECT_EQ(drops[1].epoch(), world.master.map.epoch());
}

TEST(FileTest, AppendsAtTheEndThatTheMasterTells) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a", {.read = true, .write = true, .append = true});
  ASSERT_TRUE(world.Write(file.handle, 999, "one"));
  world.master.files[file.attributes.inode()].set_size(10);

  EXPECT_EQ(*world.Write(file.handle, 0, "two"), 10u);

  EXPECT_EQ(world.Read(file.handle, 0, 100), std::string("one\0\0\0\0\0\0\0two", 13));
  EXPECT_TRUE(world.master.Last(Operation::kExtend)->extend().append());
  EXPECT_EQ(world.master.Count(Operation::kAbortAppend), 0);
}

TEST(FileTest, GivesTheTurnToAppendBackAfterAnError) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a", {.read = true, .write = true, .append = true});
  world.chunks1.before = [](uint32_t method) -> std::optional<Error> {
    if (method == wire::CHUNK_WRITE) return Error{Errc::kNoSpace, "full"};
    return {};
  };

  EXPECT_EQ(world.Write(file.handle, 0, "x").code(), Errc::kNoSpace);

  EXPECT_EQ(world.master.Count(Operation::kAbortAppend), 1);
}

TEST(FileTest, ConcurrentAppendsOfAMountDoNotOverlap) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a", {.read = true, .write = true, .append = true});
  std::vector<Pending<Result<uint64_t>>> writes;
  for (int i = 0; i < 8; ++i) {
    writes.push_back(world.Begin(world.fs->Write(file.handle, 0, BufferOf("12345"), false)));
  }
  std::set<uint64_t> places;
  for (const auto& write : writes) places.insert(*world.Finish(write));

  EXPECT_EQ(places, (std::set<uint64_t>{0, 5, 10, 15, 20, 25, 30, 35}));
}

TEST(FileTest, WritesThatWaitTellTheMasterTogether) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  world.master.hold = [](const wire::MetaRequest& request) { return request.has_extend(); };
  std::vector<Pending<Result<uint64_t>>> writes;
  for (uint64_t i = 0; i < 10; ++i) {
    writes.push_back(world.Begin(world.fs->Write(file.handle, i * 4, BufferOf("abcd"), false)));
  }
  world.RunUntil([&] { return world.chunks1.writes.size() == 10; });
  world.Settle();
  world.master.hold = nullptr;
  world.master.Release();
  for (const auto& write : writes) EXPECT_TRUE(world.Finish(write));

  EXPECT_EQ(world.master.Count(Operation::kExtend), 2);
  EXPECT_EQ(world.master.files[file.attributes.inode()].size(), 40u);
}

TEST(FileTest, FsyncReachesEveryServingMemberOnce) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  const InodeId inode{file.attributes.inode()};
  ASSERT_TRUE(world.Write(file.handle, 0, Noise(2 * kBlock, 1)));

  ASSERT_TRUE(world.Await(world.fs->Fsync(inode, HandleId{0}, false)));
  ASSERT_TRUE(world.Await(world.fs->Fsync(inode, HandleId{0}, false)));

  for (const FakeChunkserver* server : {&world.chunks1, &world.chunks2}) {
    ASSERT_EQ(server->syncs.size(), 1u);
    EXPECT_EQ(server->syncs[0].items_size(), 2);
  }
}

TEST(FileTest, AFailedFsyncIsTriedAgainByTheNext) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  const InodeId inode{file.attributes.inode()};
  ASSERT_TRUE(world.Write(file.handle, 0, "x"));
  world.chunks2.before = [](uint32_t method) -> std::optional<Error> {
    if (method == wire::CHUNK_SYNC) return Error{Errc::kIo, "a dying disk"};
    return {};
  };
  EXPECT_EQ(world.Await(world.fs->Fsync(inode, HandleId{0}, false)).code(), Errc::kIo);
  world.chunks2.before = nullptr;

  EXPECT_TRUE(world.Await(world.fs->Fsync(inode, HandleId{0}, false)));

  EXPECT_EQ(world.chunks2.syncs.size(), 1u);
}

TEST(FileTest, FsyncSurvivesTheEndOfTheHandle) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "x"));
  ASSERT_TRUE(world.Await(world.fs->Release(file.handle, {})));

  ASSERT_TRUE(world.Await(world.fs->SyncAll()));

  EXPECT_EQ(world.chunks1.syncs.size(), 1u);
}

TEST(FileTest, FsyncTellsOfWritesThatAllServersLost) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  const InodeId inode{file.attributes.inode()};
  ASSERT_TRUE(world.Write(file.handle, 0, "x"));
  ASSERT_TRUE(world.Write(file.handle, 0, "y"));
  // All restarted: the bucket has a new version, the block an older one.
  for (auto& [key, block] : world.blocks.blocks) --block.version.counter;
  world.MoveHead(2);
  world.master.PushEpoch();
  world.RunUntil([&] { return world.fs->map().epoch() == world.master.map.epoch(); });

  EXPECT_EQ(world.Await(world.fs->Fsync(inode, HandleId{0}, false)).code(), Errc::kIo);
  EXPECT_TRUE(world.Await(world.fs->Fsync(inode, HandleId{0}, false)));
}

TEST(FileTest, ASyncWriteAsksForThePlatters) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a", {.read = true, .write = true, .sync = true});

  ASSERT_TRUE(world.Write(file.handle, 0, "x"));
  ASSERT_TRUE(world.Await(world.fs->Fsync(InodeId{file.attributes.inode()}, HandleId{0}, false)));

  EXPECT_TRUE(world.chunks1.writes.back().change().sync());
  EXPECT_TRUE(world.chunks1.syncs.empty());
}

TEST(FileTest, PunchesZeroesAndGrows) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  const std::string bytes = Noise(2 * kBlock, 1);
  ASSERT_TRUE(world.Write(file.handle, 0, bytes));
  const uint64_t inode = file.attributes.inode();

  ASSERT_TRUE(world.Await(world.fs->Fallocate(
      file.handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kBlock - 10, 10 * kBlock)));
  std::string expected = bytes.substr(0, kBlock - 10) + std::string(kBlock + 10, '\0');
  EXPECT_EQ(world.Read(file.handle, 0, 3 * kBlock), expected);

  ASSERT_TRUE(world.Await(world.fs->Fallocate(file.handle, 0, 0, 3 * kBlock)));
  EXPECT_EQ(world.master.files[inode].size(), 3 * kBlock);
  ASSERT_TRUE(
      world.Await(world.fs->Fallocate(file.handle, FALLOC_FL_ZERO_RANGE, 0, 3 * kBlock + 1)));
  EXPECT_EQ(world.master.files[inode].size(), 3 * kBlock + 1);
  EXPECT_EQ(world.Read(file.handle, 0, 10), std::string(10, '\0'));
  EXPECT_EQ(world.Await(world.fs->Fallocate(file.handle, FALLOC_FL_COLLAPSE_RANGE, 0, 1)).code(),
            Errc::kNotSupported);
  EXPECT_EQ(world.Await(world.fs->Fallocate(file.handle, 0, 0, 0)).code(), Errc::kInvalid);
}

TEST(FileTest, SeeksDataAndHoles) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 2 * kBlock + 8192, std::string(4096, 'x')));
  ASSERT_TRUE(world.Write(file.handle, 4 * kBlock, "end"));

  auto seek = [&](uint64_t offset, bool data) {
    return world.Await(world.fs->Seek(file.handle, offset, data));
  };

  EXPECT_EQ(*seek(0, true), 2 * kBlock + 8192);
  EXPECT_EQ(*seek(0, false), 0u);
  EXPECT_EQ(*seek(2 * kBlock + 8200, false), 2 * kBlock + 8192 + 4096);
  EXPECT_EQ(*seek(2 * kBlock + 8200, true), 2 * kBlock + 8200);
  EXPECT_EQ(*seek(3 * kBlock, true), 4 * kBlock);
  EXPECT_EQ(*seek(4 * kBlock, false), 4 * kBlock + 3);
  EXPECT_EQ(seek(4 * kBlock + 3, false).code(), Errc::kNoDevice);
  EXPECT_EQ(seek(5 * kBlock, true).code(), Errc::kNoDevice);
}

TEST(FileTest, CopiesUpToTheEndOfTheSource) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened from = world.Create("a");
  const Opened to = world.Create("b");
  const std::string bytes = Noise(20 * kBlock + 5, 3);
  ASSERT_TRUE(world.Write(from.handle, 0, bytes));

  auto copied = world.Await(world.fs->CopyRange(from.handle, 10, to.handle, 3, 100 * kBlock));

  ASSERT_TRUE(copied);
  EXPECT_EQ(*copied, bytes.size() - 10);
  EXPECT_EQ(world.Read(to.handle, 3, 100 * kBlock), bytes.substr(10));
}

TEST(FileTest, RefusesHandlesThatCannotDoIt) {
  World world;
  ASSERT_TRUE(world.Connect());
  const Opened file = world.Create("a", OpenMode{.read = true});

  EXPECT_EQ(world.Write(file.handle, 0, "x").code(), Errc::kBadDescriptor);
  EXPECT_EQ(world.Write(HandleId{77}, 0, "x").code(), Errc::kBadDescriptor);
  EXPECT_EQ(world.Await(world.fs->Read(HandleId{77}, 0, 1)).code(), Errc::kBadDescriptor);
}

}  // namespace
}  // namespace ringfs::client
