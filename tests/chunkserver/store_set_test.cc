#include "chunkserver/store/store_set.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/chunkserver/store_fixture.h"

namespace ringfs::chunkserver {
namespace {

class StoreSetTest : public testing::Test {
 protected:
  static constexpr size_t kStores = 3;

  void SetUp() override {
    for (size_t i = 0; i < kStores; ++i) {
      auto disk = std::make_unique<FakeDisk>();
      platters_.push_back(disk->platter());
      StoreIdentity identity = kIdentity;
      identity.store = "store-" + std::to_string(i);
      Result<std::unique_ptr<ChunkStore>> store =
          ChunkStore::Open(*disk, {"", "", true, identity}, SmallOptions());
      ASSERT_TRUE(store);
      set_.Add("disk-" + std::to_string(i), std::move(disk), std::move(*store));
    }
  }

  // Writes blocks in all four buckets.
  void Fill() {
    for (uint64_t data = 1; data <= 16; ++data) {
      ASSERT_TRUE(set_.Apply(Write(Key(data), 1, 0, Pattern(5000, data))));
    }
  }
  void FailStore(size_t number) {
    FakeDisk disk(platters_[number]);
    disk.FailSyncs(true);
    EXPECT_TRUE(set_.Apply(Write(AnyBlockOf(number), 2, 0, "lost")));
    EXPECT_EQ(set_.Sync(std::vector{AnyBlockOf(number)}).code(), Errc::kIo);
  }
  BlockKey AnyBlockOf(size_t number) {
    for (uint64_t data = 1; data <= 16; ++data) {
      if (places_.empty() ? set_.Place(Key(data)) == number : places_[data] == number) {
        return Key(data);
      }
    }
    ADD_FAILURE() << "no block in store " << number;
    return {};
  }
  void NotePlaces() {
    for (uint64_t data = 1; data <= 16; ++data) {
      places_[data] = set_.Place(Key(data));
    }
  }

  StoreSet set_{SmallOptions().bucket_of};
  std::vector<std::shared_ptr<FakeDisk::Platter>> platters_;
  std::map<uint64_t, size_t> places_;
};

TEST_F(StoreSetTest, KeepsTheBlocksOfABucketInOneStore) {
  Fill();

  std::map<BucketId, std::set<size_t>> stores;
  std::set<size_t> all;
  for (uint64_t data = 1; data <= 16; ++data) {
    const Result<BlockData> read = set_.Read(Key(data), 0, 8192);
    ASSERT_TRUE(read);
    EXPECT_TRUE(ToText(read->data) == Pattern(5000, data));
    stores[SmallOptions().bucket_of(Key(data))].insert(set_.Place(Key(data)));
    all.insert(set_.Place(Key(data)));
  }
  for (const auto& [bucket, used] : stores) {
    EXPECT_EQ(used.size(), 1u);
  }
  EXPECT_GE(all.size(), 2u);
  EXPECT_EQ(set_.List(PoolId{1}, BucketId{2}, {}, 100)->size(), 4u);
  EXPECT_EQ(set_.Usage()->blocks, 16u);
  EXPECT_EQ(set_.Buckets().size(), 4u);
}

TEST_F(StoreSetTest, TakesAFailedStoreOutAlone) {
  Fill();
  NotePlaces();
  const size_t failed = places_[1];
  FailStore(failed);

  for (uint64_t data = 1; data <= 16; ++data) {
    SCOPED_TRACE(data);
    const bool there = places_[data] != failed;
    EXPECT_EQ(set_.Read(Key(data), 0, 4096).code(), there ? Errc::kOk : Errc::kIo);
    EXPECT_EQ(set_.MayMiss(PoolId{1}, SmallOptions().bucket_of(Key(data))), !there);
    EXPECT_EQ(set_.Apply(Write(Key(data), 3, 0, "new")).code(), there ? Errc::kOk : Errc::kIo);
  }
  // A block that it cannot hold is a hole still.
  EXPECT_EQ(set_.Stat(Key(1, 100)).code(), Errc::kIo);
  EXPECT_TRUE(set_.Statuses()[failed].error.has_value());
}

TEST_F(StoreSetTest, UsesTheOtherStoresOnceAFailedOneIsAbandoned) {
  Fill();
  NotePlaces();
  const size_t failed = places_[1];
  FailStore(failed);

  set_.AbandonFailed();

  EXPECT_EQ(set_.Read(Key(1), 0, 4096).code(), Errc::kNotFound);
  ASSERT_TRUE(set_.Apply(Write(Key(1), 1, 0, "again")));
  EXPECT_EQ(ToText(set_.Read(Key(1), 0, 4096)->data), "again");
  EXPECT_NE(set_.Place(Key(1)), failed);
}

TEST_F(StoreSetTest, HoldsAllBucketsInDoubtWhileADirectoryIsMissing) {
  Fill();
  set_.AddMissing("disk-3", Error{Errc::kNotFound, "not mounted"});

  EXPECT_EQ(set_.Read(Key(1), 0, 4096).code(), Errc::kOk);
  EXPECT_EQ(set_.Read(Key(99), 0, 4096).code(), Errc::kIo);
  EXPECT_TRUE(set_.MayMiss(PoolId{1}, BucketId{0}));
  EXPECT_EQ(set_.Statuses()[3].error->detail, "not mounted");
}

TEST_F(StoreSetTest, FindsTheLastTagInAnyStore) {
  uint64_t sequence = 0;
  for (uint64_t data = 1; data <= 8; ++data) {
    BlockChange change = Write(Key(data), 1, 0, "x");
    change.tag = WriteTag{SessionId{5}, 1, ++sequence};
    ASSERT_TRUE(set_.Apply(change));
  }

  EXPECT_EQ(set_.LastTag(SessionId{5}, 1)->sequence, 8u);
  EXPECT_EQ(set_.LastTag(SessionId{5}, 1)->key, Key(8));
  ASSERT_TRUE(set_.DropTags(SessionId{5}));
  EXPECT_TRUE(set_.TaggedSessions().empty());
}

}  // namespace
}  // namespace ringfs::chunkserver
