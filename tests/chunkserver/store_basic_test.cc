#include <gtest/gtest.h>

#include <random>

#include "tests/chunkserver/store_fixture.h"

namespace ringfs::chunkserver {
namespace {

class StoreBasicTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  void Reopen(StoreOptions options = SmallOptions()) {
    store_.reset();
    Result<std::unique_ptr<ChunkStore>> store = OpenStore(disk_, std::move(options));
    ASSERT_TRUE(store) << store.error().ToString();
    store_ = std::move(*store);
  }
  void Apply(const BlockChange& change) {
    const Result<void> applied = store_->Apply(change);
    ASSERT_TRUE(applied) << applied.error().ToString();
  }
  Errc ApplyCode(const BlockChange& change) { return store_->Apply(change).code(); }

  FakeDisk disk_;
  std::unique_ptr<ChunkStore> store_;
};

TEST_F(StoreBasicTest, GivesBackWhatWasWritten) {
  const size_t sizes[] = {1, 100, 4096, 5000, 65536, 65537, 1 << 20, 4 << 20};
  uint64_t data = 1;
  for (const size_t size : sizes) {
    SCOPED_TRACE(size);
    const std::string bytes = Pattern(size, size);

    Apply(Write(Key(data), 1, 0, bytes));

    EXPECT_TRUE(Holds(*store_, Key(data), bytes));
    ++data;
  }
}

TEST_F(StoreBasicTest, DoesNotWaitWhenToldSo) {
  const std::string bytes = Pattern(4096, 1);
  Apply(Write(Key(1), 1, 0, Pattern(300'000, 2)));
  ASSERT_TRUE(store_->Apply(Write(Key(1), 2, 0, bytes), Patience::kNow));
  disk_.CacheNothing(true);

  const Result<BlockData> journaled = store_->Read(Key(1), 0, 4096, Patience::kNow);
  const Result<BlockData> placed = store_->Read(Key(1), 8192, 4096, Patience::kNow);

  ASSERT_TRUE(journaled);
  EXPECT_EQ(ToText(journaled->data), bytes);
  EXPECT_EQ(placed.code(), Errc::kWouldBlock);
  EXPECT_EQ(store_->Stat(Key(1), Patience::kNow)->version, (BlockVersion{1, 2}));
}

TEST_F(StoreBasicTest, ChangesNothingWhenItWouldHaveToWait) {
  const std::string old = Pattern(300'000, 2);
  Apply(Write(Key(1), 1, 0, old));
  disk_.CacheNothing(true);

  const BlockChange merged = Write(Key(1), 2, 8200, "merged with what the unit holds");
  EXPECT_EQ(store_->Apply(merged, Patience::kNow).code(), Errc::kWouldBlock);
  const BlockChange large = Write(Key(1), 2, 0, Pattern(100'000, 3));
  EXPECT_EQ(store_->Apply(large, Patience::kNow).code(), Errc::kWouldBlock);
  ASSERT_TRUE(store_->Checkpoint());
  Reopen();  // and so it has to ask the index
  EXPECT_EQ(store_->Stat(Key(1), Patience::kNow).code(), Errc::kWouldBlock);
  // It has never had a block of that file.
  EXPECT_EQ(store_->Stat(Key(2), Patience::kNow).code(), Errc::kNotFound);

  EXPECT_TRUE(Holds(*store_, Key(1), old));
}

TEST_F(StoreBasicTest, KeepsContentThroughCheckpointAndReopen) {
  const std::string small = Pattern(10'000, 1);
  const std::string large = Pattern(300'000, 2);
  Apply(Write(Key(1), 1, 0, small));
  Apply(Write(Key(2), 7, 0, large));

  ASSERT_TRUE(store_->Checkpoint());
  EXPECT_TRUE(Holds(*store_, Key(1), small));
  EXPECT_TRUE(Holds(*store_, Key(2), large));

  Reopen();
  EXPECT_TRUE(Holds(*store_, Key(1), small));
  EXPECT_TRUE(Holds(*store_, Key(2), large));
  EXPECT_EQ(store_->Stat(Key(2))->version, (BlockVersion{1, 7}));
}

TEST_F(StoreBasicTest, ReadsHolesAsZeros) {
  Apply(Write(Key(1), 1, 100'000, "end"));

  EXPECT_TRUE(Holds(*store_, Key(1), std::string(100'000, '\0') + "end"));
  EXPECT_LE(store_->Usage()->used_bytes, 4096u);
}

TEST_F(StoreBasicTest, TellsDataFromHoles) {
  Apply(Write(Key(1), 1, 5000, "middle"));
  Apply(Write(Key(1), 2, 100'000, "end"));

  const std::vector<DataRun> runs{{4096, 4096}, {98'304, 4096}};
  EXPECT_EQ(store_->Stat(Key(1))->data, runs);
  ASSERT_TRUE(store_->Checkpoint());
  Reopen();
  EXPECT_EQ(store_->Stat(Key(1))->data, runs);
}

TEST_F(StoreBasicTest, ReadsPartsOfABlock) {
  const std::string bytes = Pattern(20'000, 3);
  Apply(Write(Key(1), 1, 0, bytes));

  const Result<BlockData> middle = store_->Read(Key(1), 8192, 4096);
  const Result<BlockData> end = store_->Read(Key(1), 16384, 65536);
  const Result<BlockData> beyond = store_->Read(Key(1), 20480, 4096);

  ASSERT_TRUE(middle && end && beyond);
  EXPECT_EQ(ToText(middle->data), bytes.substr(8192, 4096));
  EXPECT_EQ(ToText(end->data), bytes.substr(16384));
  EXPECT_EQ(beyond->data.size(), 0u);
  EXPECT_EQ(beyond->length, 20'000u);
  EXPECT_EQ(store_->Read(Key(1), 1, 4096).code(), Errc::kInvalid);
  EXPECT_EQ(store_->Read(Key(9), 0, 4096).code(), Errc::kNotFound);
}

TEST_F(StoreBasicTest, RefusesVersionsThatDoNotFit) {
  Apply(Write(Key(1), 5, 0, "five"));

  EXPECT_EQ(ApplyCode(Write(Key(1), 5, 0, "same")), Errc::kVersionMismatch);
  EXPECT_EQ(ApplyCode(Write(Key(1), 4, 0, "older")), Errc::kVersionMismatch);
  BlockChange expecting = Write(Key(1), 7, 0, "seven");
  expecting.expected = BlockVersion{1, 6};
  EXPECT_EQ(ApplyCode(expecting), Errc::kVersionMismatch);
  expecting.expected = BlockVersion{1, 5};
  EXPECT_EQ(ApplyCode(expecting), Errc::kOk);
  BlockChange absent = Write(Key(2), 1, 0, "new");
  absent.expected = BlockVersion{};
  EXPECT_EQ(ApplyCode(absent), Errc::kOk);
}

TEST_F(StoreBasicTest, RefusesChangesOutOfBounds) {
  BlockChange beyond = Write(Key(1), 1, kDefaultBlockSize - 1, "ab");
  EXPECT_EQ(ApplyCode(beyond), Errc::kInvalid);
  BlockChange sums = Write(Key(1), 1, 0, "ab");
  sums.checksums = {1, 2};
  EXPECT_EQ(ApplyCode(sums), Errc::kInvalid);
  EXPECT_EQ(ApplyCode(Write(Key(1), 0, 0, "x")), Errc::kOk);  // {1, 0} is a version
  BlockChange none = Write(Key(1), 1, 0, "x");
  none.version = {};
  EXPECT_EQ(ApplyCode(none), Errc::kInvalid);
  EXPECT_EQ(ApplyCode(Truncate(Key(1), 9, kDefaultBlockSize + 1)), Errc::kInvalid);
}

TEST_F(StoreBasicTest, TakesTheCallersChecksums) {
  const std::string bytes = Pattern(100'000, 4);
  BlockChange change = Write(Key(1), 1, 0, bytes);
  change.checksums = Crc32cUnits(change.data[0].bytes());
  change.checksums[3] ^= 1;
  Apply(change);

  const Result<BlockCheck> check = store_->Verify(Key(1));

  ASSERT_TRUE(check);
  EXPECT_EQ(check->bad_units, std::vector<uint32_t>{3});
}

TEST_F(StoreBasicTest, TakesDataInPieces) {
  BlockChange change = Write(Key(1), 1, 1000, "");
  change.data.clear();
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string piece = Pattern(static_cast<size_t>(i * 97), static_cast<uint64_t>(i));
    change.data.push_back(ToBuffer(piece));
    all += piece;
  }
  Apply(change);

  EXPECT_TRUE(Holds(*store_, Key(1), std::string(1000, '\0') + all));
}

TEST_F(StoreBasicTest, DoesWhatAStringWouldUnderAnyChanges) {
  for (const uint64_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const BlockKey key = Key(100 + seed);
    std::string model;
    constexpr uint32_t kSpace = 512 << 10;
    for (uint64_t counter = 1; counter <= 150; ++counter) {
      const auto offset = static_cast<uint32_t>(random() % kSpace);
      const auto most = static_cast<uint32_t>(random() % 3 == 0 ? 200'000 : 9'000);
      const auto length = static_cast<uint32_t>(1 + random() % std::min(most, kSpace - offset));
      const uint64_t what = random() % 12;
      BlockChange change = Write(key, counter, offset, Pattern(length, counter));
      if (what < 2) {
        change = Zero(key, counter, offset, length);
      } else if (what == 2) {
        change = Truncate(key, counter, offset);
      } else if (what == 3) {
        change = Replace(key, counter, std::string(70'000, '\0') + Pattern(length, counter));
      } else if (what == 4) {
        ASSERT_TRUE(store_->Checkpoint());
      }
      Apply(change);
      model = Changed(model, change);

      ASSERT_TRUE(Holds(*store_, key, model)) << "counter " << counter;
      ASSERT_TRUE(store_->Verify(key)->bad_units.empty());
    }
    ASSERT_TRUE(store_->SyncAll());
    Reopen();
    EXPECT_TRUE(Holds(*store_, key, model));
  }
}

TEST_F(StoreBasicTest, GivesEqualContentsEqualDigests) {
  const std::string bytes = Pattern(200'000, 5);
  Apply(Write(Key(1), 1, 0, bytes));
  Apply(Write(Key(2), 1, 150'000, bytes.substr(150'000)));
  Apply(Write(Key(2), 2, 0, bytes.substr(0, 150'000)));
  Apply(Write(Key(3), 1, 0, std::string(200'000, 'x')));
  Apply(Replace(Key(3), 2, bytes));
  // A hole and zeros are the same.
  Apply(Truncate(Key(4), 1, 200'000));
  Apply(Write(Key(5), 1, 0, std::string(200'000, '\0')));

  EXPECT_EQ(store_->Stat(Key(1))->digest, store_->Stat(Key(2))->digest);
  EXPECT_EQ(store_->Stat(Key(1))->digest, store_->Stat(Key(3))->digest);
  EXPECT_EQ(store_->Stat(Key(4))->digest, store_->Stat(Key(5))->digest);
  EXPECT_NE(store_->Stat(Key(1))->digest, store_->Stat(Key(4))->digest);
}

TEST_F(StoreBasicTest, RemovesBlocksAndGivesSpaceBack) {
  for (uint32_t index = 0; index < 5; ++index) {
    Apply(Write(Key(1, index), 1, 0, Pattern(200'000, index)));
  }
  Apply(Write(Key(2), 1, 0, "stays"));
  ASSERT_TRUE(store_->Checkpoint());

  ASSERT_TRUE(store_->RemoveData(PoolId{1}, DataId{1}, 2));
  EXPECT_EQ(store_->ListData(PoolId{1}, DataId{1}, 0, 100)->size(), 2u);
  ASSERT_TRUE(store_->Remove(Key(1, 0)));
  ASSERT_TRUE(store_->Remove(Key(1, 0)));
  ASSERT_TRUE(store_->Checkpoint());

  EXPECT_EQ(Content(*store_, Key(1, 0)), std::nullopt);
  EXPECT_TRUE(Holds(*store_, Key(1, 1), Pattern(200'000, 1)));
  EXPECT_EQ(store_->Usage()->blocks, 2u);
  Reopen();
  EXPECT_EQ(Content(*store_, Key(1, 4)), std::nullopt);
  EXPECT_EQ(store_->Usage()->blocks, 2u);
  EXPECT_EQ(store_->Usage()->used_bytes, 49u * 4096 + 4096);
}

TEST_F(StoreBasicTest, StartsAgainAfterRemove) {
  Apply(Write(Key(1), 9, 0, Pattern(300'000, 1)));
  ASSERT_TRUE(store_->Remove(Key(1)));
  Apply(Write(Key(1), 1, 4096, "again"));
  ASSERT_TRUE(store_->Checkpoint());
  Reopen();

  EXPECT_TRUE(Holds(*store_, Key(1), std::string(4096, '\0') + "again"));
}

TEST_F(StoreBasicTest, ListsABucketInOrderAcrossMemoryAndIndex) {
  std::vector<BlockKey> expected;
  for (uint64_t data = 1; data <= 60; ++data) {
    Apply(Write(Key(data), data, 0, "x"));
    if (data % 4 == 1 && data % 3 != 0) {
      expected.push_back(Key(data));
    }
    if (data == 30) {
      ASSERT_TRUE(store_->Checkpoint());
    }
  }
  for (uint64_t data = 3; data <= 60; data += 3) {
    ASSERT_TRUE(store_->Remove(Key(data)));
  }

  for (const size_t limit : {1u, 2u, 7u, 100u}) {
    SCOPED_TRACE(limit);
    std::vector<BlockKey> found;
    std::optional<BlockKey> after;
    for (;;) {
      const Result<std::vector<BlockInfo>> page =
          store_->List(PoolId{1}, BucketId{1}, after, limit);
      ASSERT_TRUE(page);
      for (const BlockInfo& block : *page) {
        found.push_back(block.key);
        EXPECT_EQ(block.version.counter, Raw(block.key.data));
      }
      if (page->size() < limit) {
        break;
      }
      after = page->back().key;
    }
    EXPECT_EQ(found, expected);
  }
  uint64_t blocks = 0;
  for (const BucketUsage& bucket : store_->Buckets()) {
    blocks += bucket.blocks;
  }
  EXPECT_EQ(blocks, 40u);
  EXPECT_TRUE(store_->HoldsBucket(PoolId{1}, BucketId{2}));
  EXPECT_FALSE(store_->HoldsBucket(PoolId{2}, BucketId{2}));
}

TEST_F(StoreBasicTest, TakesTheTagsOfACopyForItsOwn) {
  BlockChange change = Write(Key(1), 9, 0, "rolled back");
  change.tag = WriteTag{SessionId{7}, 0, 10};
  Apply(change);
  change = Write(Key(2), 1, 0, "another block");
  change.tag = WriteTag{SessionId{7}, 1, 4};
  Apply(change);

  BlockChange copy = Replace(Key(1), 8, "copied");
  copy.copied_tags = {{WriteTag{SessionId{8}, 0, 1}, {1, 7}},
                      {WriteTag{SessionId{9}, 2, 5}, {1, 8}}};
  Apply(copy);
  ASSERT_TRUE(store_->SyncAll());

  for (const bool checkpointed : {false, true}) {
    if (checkpointed) {
      ASSERT_TRUE(store_->Checkpoint());
    }
    Reopen();
    EXPECT_EQ(store_->LastTag(SessionId{7}, 0), std::nullopt);
    EXPECT_EQ(store_->LastTag(SessionId{8}, 0), (LastWrite{1, Key(1), {1, 7}}));
    EXPECT_EQ(store_->LastTag(SessionId{7}, 1), (LastWrite{4, Key(2), {1, 1}}));
    EXPECT_EQ(store_->TagsOf(Key(1)), copy.copied_tags);
  }
}

TEST_F(StoreBasicTest, RemembersTheLastTagOfAChannel) {
  BlockChange change = Write(Key(1), 1, 0, "tagged");
  change.tag = WriteTag{SessionId{7}, 3, 10};
  Apply(change);
  change.version = {1, 2};
  change.tag->sequence = 11;
  Apply(change);
  change = Write(Key(2), 1, 0, "other");
  change.tag = WriteTag{SessionId{8}, 0, 1};
  Apply(change);

  const LastWrite expected{11, Key(1), {1, 2}};
  EXPECT_EQ(store_->LastTag(SessionId{7}, 3), expected);
  EXPECT_EQ(store_->LastTag(SessionId{7}, 4), std::nullopt);
  EXPECT_EQ(store_->TaggedSessions(), (std::vector{SessionId{7}, SessionId{8}}));
  ASSERT_TRUE(store_->Checkpoint());
  ASSERT_TRUE(store_->DropTags(SessionId{8}));
  ASSERT_TRUE(store_->SyncAll());
  Reopen();
  EXPECT_EQ(store_->LastTag(SessionId{7}, 3), expected);
  EXPECT_EQ(store_->LastTag(SessionId{8}, 0), std::nullopt);
  ASSERT_TRUE(store_->DropTags(SessionId{7}));
  ASSERT_TRUE(store_->Checkpoint());
  Reopen();
  EXPECT_TRUE(store_->TaggedSessions().empty());
}

TEST_F(StoreBasicTest, SyncsASmallWriteWithOneSync) {
  Apply(Write(Key(1), 1, 0, Pattern(4096, 1)));
  ASSERT_TRUE(store_->SyncAll());
  const uint64_t syncs = disk_.syncs();
  const uint64_t written = disk_.written();

  Apply(Write(Key(1), 2, 8192, Pattern(4096, 2)));
  ASSERT_TRUE(store_->Sync(std::vector{Key(1)}));

  EXPECT_EQ(disk_.syncs() - syncs, 1u);
  EXPECT_EQ(disk_.written() - written, 8192u);
  // Nothing new: nothing to do.
  ASSERT_TRUE(store_->Sync(std::vector{Key(1), Key(2)}));
  EXPECT_EQ(disk_.syncs() - syncs, 1u);
}

TEST_F(StoreBasicTest, DoesNotSyncOthersLargeWritesForASmallOne) {
  Apply(Write(Key(1), 1, 0, Pattern(1 << 20, 1)));
  Apply(Write(Key(2), 1, 0, Pattern(4096, 2)));
  const uint64_t syncs = disk_.syncs();

  ASSERT_TRUE(store_->Sync(std::vector{Key(2)}));
  EXPECT_EQ(disk_.syncs() - syncs, 1u);

  ASSERT_TRUE(store_->Sync(std::vector{Key(1)}));
  EXPECT_EQ(disk_.syncs() - syncs, 3u);
}

TEST_F(StoreBasicTest, WritesALargeWriteOnce) {
  Apply(Write(Key(1), 1, 0, Pattern(1 << 20, 1)));
  ASSERT_TRUE(store_->SyncAll());
  const uint64_t written = disk_.written();

  Apply(Write(Key(1), 2, 0, Pattern(1 << 20, 2)));
  ASSERT_TRUE(store_->Sync(std::vector{Key(1)}));
  ASSERT_TRUE(store_->Checkpoint());

  EXPECT_LE(disk_.written() - written, (1u << 20) + 32'768u);
}

TEST_F(StoreBasicTest, UsesFreedSpaceAgain) {
  for (uint64_t counter = 1; counter <= 40; ++counter) {
    Apply(Write(Key(1), counter, 0, Pattern(1 << 20, counter)));
    ASSERT_TRUE(store_->Checkpoint());
  }

  EXPECT_TRUE(Holds(*store_, Key(1), Pattern(1 << 20, 40)));
  // The block, its last copy, the journals and the index.
  const Result<DiskSpace> space = disk_.Space();
  EXPECT_LE(space->total_bytes - space->free_bytes, 6u << 20);
}

TEST_F(StoreBasicTest, ForgetsCleanBlocksBeyondItsCache) {
  StoreOptions options = SmallOptions();
  options.cache_bytes = 0;
  Reopen(options);
  for (uint64_t data = 1; data <= 200; ++data) {
    Apply(Write(Key(data), 1, 0, Pattern(5000, data)));
    if (data % 50 == 0) {
      ASSERT_TRUE(store_->Checkpoint());
    }
  }

  for (uint64_t data = 1; data <= 200; ++data) {
    ASSERT_TRUE(Holds(*store_, Key(data), Pattern(5000, data)));
  }
}

}  // namespace
}  // namespace ringfs::chunkserver
