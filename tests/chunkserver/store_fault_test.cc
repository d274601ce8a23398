#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/chunkserver/store_fixture.h"

namespace ringfs::chunkserver {
namespace {

TEST(StoreIdentityTest, RefusesADirectoryThatIsNotExpected) {
  FakeDisk disk;
  const StoreExpectation old{"", "", false, {}};
  EXPECT_EQ(ChunkStore::Open(disk, old, SmallOptions()).code(), Errc::kNotFound);

  ASSERT_NE(MustOpen(disk), nullptr);

  const StoreExpectation other_cluster{"cluster-2", "", false, {}};
  const Result<std::unique_ptr<ChunkStore>> refused =
      ChunkStore::Open(disk, other_cluster, SmallOptions());
  EXPECT_EQ(refused.code(), Errc::kWrongCluster);
  EXPECT_EQ(refused.error().detail, "fake belongs to cluster cluster-1, not to cluster-2");
  const StoreExpectation other_server{"cluster-1", "server-2", true, {}};
  EXPECT_EQ(ChunkStore::Open(disk, other_server, SmallOptions()).code(), Errc::kWrongCluster);
  const Result<std::unique_ptr<ChunkStore>> any = ChunkStore::Open(disk, old, SmallOptions());
  ASSERT_TRUE(any);
  EXPECT_EQ((*any)->identity(), kIdentity);
}

TEST(StoreIdentityTest, RefusesADamagedOrNewerIdentity) {
  FakeDisk disk;
  ASSERT_NE(MustOpen(disk), nullptr);
  disk.FlipBit("identity", 20, 0);
  EXPECT_EQ(OpenStore(disk).code(), Errc::kCorrupted);
  disk.FlipBit("identity", 20, 0);

  disk.FlipBit("identity", 14, 3);  // the high byte of the version
  EXPECT_EQ(OpenStore(disk).code(), Errc::kVersion);
}

TEST(StoreIdentityTest, DoesNotMakeANewStoreOverBlocks) {
  FakeDisk disk;
  ASSERT_NE(MustOpen(disk), nullptr);
  ASSERT_TRUE(disk.Remove("identity"));

  EXPECT_EQ(OpenStore(disk).code(), Errc::kExists);
}

TEST(StoreIdentityTest, KeepsOthersOutWhileItIsOpen) {
  FakeDisk disk;
  const std::unique_ptr<ChunkStore> store = MustOpen(disk);
  FakeDisk again(disk.platter());

  EXPECT_EQ(OpenStore(again).code(), Errc::kBusy);
}

TEST(StoreFaultTest, FailsForGoodWhenASyncFails) {
  FakeDisk disk;
  const std::unique_ptr<ChunkStore> store = MustOpen(disk);
  ASSERT_TRUE(store->Apply(Write(Key(1), 1, 0, "one")));
  disk.FailSyncs(true);

  EXPECT_EQ(store->SyncAll().code(), Errc::kIo);
  disk.FailSyncs(false);

  EXPECT_TRUE(store->failed().has_value());
  EXPECT_EQ(store->SyncAll().code(), Errc::kIo);
  EXPECT_EQ(store->Apply(Write(Key(1), 2, 0, "two")).code(), Errc::kIo);
  EXPECT_EQ(store->Read(Key(1), 0, 4096).code(), Errc::kIo);
  EXPECT_TRUE(store->HoldsBucket(PoolId{1}, BucketId{1}));
}

TEST(StoreFaultTest, RefusesWritesWhenTheDiskIsFullAndKeepsWhatItHas) {
  FakeDisk disk(24 << 20);
  const std::unique_ptr<ChunkStore> store = MustOpen(disk);
  uint64_t written = 0;
  Errc code = Errc::kOk;
  while (code == Errc::kOk) {
    ++written;
    code = store->Apply(Write(Key(written), 1, 0, Pattern(1 << 20, written))).code();
  }

  EXPECT_EQ(code, Errc::kNoSpace);
  EXPECT_GT(written, 15u);
  EXPECT_FALSE(store->failed().has_value());
  ASSERT_TRUE(store->SyncAll());
  ASSERT_TRUE(store->Checkpoint());
  for (uint64_t data = 1; data < written; ++data) {
    EXPECT_TRUE(Holds(*store, Key(data), Pattern(1 << 20, data)));
  }
  // What is removed can be written again.
  ASSERT_TRUE(store->Remove(Key(1)));
  ASSERT_TRUE(store->Remove(Key(2)));
  EXPECT_TRUE(store->Apply(Write(Key(1000), 1, 0, Pattern(1 << 20, 1000))));
  EXPECT_TRUE(Holds(*store, Key(1000), Pattern(1 << 20, 1000)));
}

TEST(StoreFaultTest, KeepsAnEighthOfASmallDiskFreeAtMost) {
  FakeDisk disk(24 << 20);
  StoreOptions options = SmallOptions();
  options.reserve_bytes = uint64_t{1} << 30;
  const std::unique_ptr<ChunkStore> store = MustOpen(disk, options);
  Errc code = Errc::kOk;
  for (uint64_t written = 1; code == Errc::kOk; ++written) {
    code = store->Apply(Write(Key(written), 1, 0, Pattern(1 << 20, written))).code();
  }

  EXPECT_EQ(code, Errc::kNoSpace);
  const Result<DiskSpace> space = disk.Space();
  ASSERT_TRUE(space);
  EXPECT_GE(space->free_bytes, 3u << 20);
  EXPECT_LT(space->free_bytes, 6u << 20);
}

TEST(StoreFaultTest, TriesACheckpointAgainWhenTheDiskWasFull) {
  FakeDisk disk;
  const std::unique_ptr<ChunkStore> store = MustOpen(disk);
  for (uint64_t data = 1; data <= 20; ++data) {
    ASSERT_TRUE(store->Apply(Write(Key(data), 1, 0, Pattern(4096, data))));
  }
  ASSERT_TRUE(store->SyncAll());
  disk.SetCapacity(0);
  EXPECT_EQ(store->Checkpoint().code(), Errc::kNoSpace);
  EXPECT_FALSE(store->failed().has_value());
  EXPECT_TRUE(Holds(*store, Key(3), Pattern(4096, 3)));

  disk.SetCapacity(1 << 30);
  ASSERT_TRUE(store->Apply(Write(Key(3), 2, 0, Pattern(4096, 33))));
  ASSERT_TRUE(store->Checkpoint());
  ASSERT_TRUE(store->Checkpoint());

  EXPECT_TRUE(Holds(*store, Key(3), Pattern(4096, 33)));
  EXPECT_TRUE(Holds(*store, Key(4), Pattern(4096, 4)));
}

TEST(StoreFaultTest, FindsRottenUnits) {
  FakeDisk disk;
  std::unique_ptr<ChunkStore> store = MustOpen(disk);
  ASSERT_TRUE(store->Apply(Write(Key(1), 1, 0, Pattern(100'000, 1))));
  ASSERT_TRUE(store->Checkpoint());
  disk.FlipBit("data/00000000", 5 * 4096 + 7, 2);

  EXPECT_EQ(store->Verify(Key(1))->bad_units, std::vector<uint32_t>{5});
  const Result<BlockData> read = store->Read(Key(1), 5 * 4096, 4096);
  ASSERT_TRUE(read);
  EXPECT_NE(Crc32cUnits(read->data.bytes()), read->checksums);
  // A change of a part of the unit would hide the rot; one of the whole unit heals it.
  EXPECT_EQ(store->Apply(Write(Key(1), 2, 5 * 4096 + 1, "x")).code(), Errc::kCorrupted);
  EXPECT_EQ(store->Stat(Key(1))->version, (BlockVersion{1, 1}));
  ASSERT_TRUE(store->Apply(Write(Key(1), 2, 5 * 4096, Pattern(4096, 2))));
  EXPECT_TRUE(store->Verify(Key(1))->bad_units.empty());
}

TEST(StoreFaultTest, TellsUnreadableAndMissingBytesFromHoles) {
  FakeDisk disk;
  std::unique_ptr<ChunkStore> store = MustOpen(disk);
  ASSERT_TRUE(store->Apply(Write(Key(1), 1, 0, Pattern(100'000, 1))));
  ASSERT_TRUE(store->Checkpoint());

  disk.FailReads("data/00000000", true);
  EXPECT_EQ(store->Read(Key(1), 0, 4096).code(), Errc::kCorrupted);
  EXPECT_FALSE(store->failed().has_value());
  EXPECT_EQ(store->Verify(Key(1))->bad_units.size(), 25u);
  // What another copy has takes its place.
  ASSERT_TRUE(store->Apply(Replace(Key(1), 1, Pattern(100'000, 1))));
  disk.FailReads("data/00000000", false);
  EXPECT_TRUE(Holds(*store, Key(1), Pattern(100'000, 1)));

  store.reset();
  ASSERT_TRUE(disk.Remove("data/00000000"));
  store = MustOpen(disk);
  EXPECT_EQ(store->Read(Key(1), 0, 4096).code(), Errc::kCorrupted);
  // Repaired as a whole.
  ASSERT_TRUE(store->Apply(Replace(Key(1), 1, Pattern(100'000, 1))));
  EXPECT_TRUE(Holds(*store, Key(1), Pattern(100'000, 1)));
}

TEST(StoreFaultTest, RefusesAJournalThatIsDamagedWhereItWasDurable) {
  FakeDisk disk;
  std::unique_ptr<ChunkStore> store = MustOpen(disk);
  for (uint64_t counter = 1; counter <= 3; ++counter) {
    ASSERT_TRUE(store->Apply(Write(Key(1), counter, 0, Pattern(4096, counter))));
    ASSERT_TRUE(store->SyncAll());
  }
  store.reset();
  // The second of three frames, in the file of the current generation, which is 3 after the first
  // opening.
  disk.FlipBit("journal.1", 2 * 4096 + 4096 + 100, 1);

  EXPECT_EQ(OpenStore(disk).code(), Errc::kCorrupted);

  disk.FlipBit("journal.1", 2 * 4096 + 4096 + 100, 1);
  store = MustOpen(disk);
  EXPECT_TRUE(Holds(*store, Key(1), Pattern(4096, 3)));
}

TEST(StoreFaultTest, RefusesAJournalThatIsMissing) {
  FakeDisk disk;
  ASSERT_NE(MustOpen(disk), nullptr);
  ASSERT_TRUE(disk.Remove("journal.0"));

  EXPECT_EQ(OpenStore(disk).code(), Errc::kCorrupted);
}

// Each reads only what was written, at one version, whole, whatever the others and the background
// thread do.
TEST(StoreConcurrencyTest, ReadersSeeWholeVersions) {
  FakeDisk disk;
  StoreOptions options = SmallOptions();
  options.background = true;
  options.cache_bytes = 0;
  const std::unique_ptr<ChunkStore> store = MustOpen(disk, options);
  constexpr uint64_t kBlocks = 3;
  constexpr size_t kSize = 150'000;
  for (uint64_t data = 1; data <= kBlocks; ++data) {
    ASSERT_TRUE(store->Apply(Write(Key(data), 1, 0, Pattern(kSize, 1))));
  }
  std::atomic<bool> over = false;
  std::vector<std::jthread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      for (uint64_t round = static_cast<uint64_t>(i); !over; ++round) {
        const BlockKey key = Key(1 + round % kBlocks);
        BlockVersion version;
        const std::optional<std::string> bytes = Content(*store, key, &version);
        ASSERT_TRUE(bytes.has_value());
        ASSERT_TRUE(*bytes == Pattern(kSize, version.counter)) << version.counter;
        ASSERT_TRUE(store->List(PoolId{1}, BucketId{1}, {}, 10));
      }
    });
  }
  {
    std::vector<std::jthread> writers;
    for (uint64_t data = 1; data <= kBlocks; ++data) {
      writers.emplace_back([&, data] {
        for (uint64_t counter = 2; counter <= 60; ++counter) {
          // Large, and in small parts that go through the journal but count as one version here.
          ASSERT_TRUE(store->Apply(Replace(Key(data), counter, Pattern(kSize, counter))));
          if (counter % 4 == 0) {
            ASSERT_TRUE(store->Sync(std::vector{Key(data)}));
          }
          if (counter % 10 == 0) {
            ASSERT_TRUE(store->Checkpoint());
          }
        }
      });
    }
  }
  over = true;
  readers.clear();
  EXPECT_EQ(store->Usage()->blocks, kBlocks);
}

TEST(StoreConcurrencyTest, SyncsOfManyThreadsShareFlushes) {
  FakeDisk disk;
  StoreOptions options = SmallOptions();
  options.journal_bytes = 4 << 20;
  const std::unique_ptr<ChunkStore> store = MustOpen(disk, options);
  {
    std::vector<std::jthread> threads;
    for (uint64_t data = 1; data <= 4; ++data) {
      threads.emplace_back([&, data] {
        for (uint64_t counter = 1; counter <= 50; ++counter) {
          ASSERT_TRUE(store->Apply(Write(Key(data), counter, 0, Pattern(4096, counter))));
          ASSERT_TRUE(store->Sync(std::vector{Key(data)}));
        }
      });
    }
  }

  for (uint64_t data = 1; data <= 4; ++data) {
    EXPECT_TRUE(Holds(*store, Key(data), Pattern(4096, 50)));
  }
}

}  // namespace
}  // namespace ringfs::chunkserver
