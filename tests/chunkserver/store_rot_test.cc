#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

#include "tests/chunkserver/store_fixture.h"

namespace ringfs::chunkserver {
namespace {

// RINGFS_FLIPS: how many bits.
int FlipsInAll() {
  const char* text = std::getenv("RINGFS_FLIPS");
  return text == nullptr ? 300 : static_cast<int>(std::strtol(text, nullptr, 10));
}

using Versions = std::map<BlockVersion, std::string>;

// A store with blocks at their place, in the journal only, and of both kinds; and all that each of
// them has ever been.
class RottenStore {
 public:
  explicit RottenStore(uint64_t seed) : random_(seed) {
    const std::unique_ptr<ChunkStore> store = MustOpen(disk_);
    for (uint64_t i = 0; i < 60; ++i) {
      const BlockKey key = Key(1 + i % 12);
      const size_t size = i % 3 == 0 ? 90'000 : 9'000;
      const auto offset = static_cast<uint32_t>(i * 1'000);
      const BlockChange change = Write(key, i + 1, offset, Pattern(size, i));
      EXPECT_TRUE(store->Apply(change));
      Versions& versions = history_[key];
      const std::string before = versions.empty() ? "" : versions.rbegin()->second;
      versions[change.version] = Changed(before, change);
      if (i % 7 == 0) {
        EXPECT_TRUE(store->SyncAll());
      }
      if (i % 25 == 24) {
        EXPECT_TRUE(store->Checkpoint());
      }
    }
    EXPECT_TRUE(store->SyncAll());
  }

  // Any bit of any file.
  void FlipOne() {
    std::vector<std::string> files = {"identity", "journal.0", "journal.1"};
    for (const std::string folder : {"data", "index"}) {
      const auto names = disk_.List(folder);
      ASSERT_TRUE(names);
      for (const std::string& name : *names) files.push_back(folder + "/" + name);
    }
    const std::string& path = files[random_() % files.size()];
    const auto file = disk_.Open(path, OpenMode::kRead);
    ASSERT_TRUE(file) << path;
    const Result<uint64_t> size = (*file)->Size();
    ASSERT_TRUE(size);
    if (*size == 0) return;
    disk_.FlipBit(path, random_() % std::min<uint64_t>(*size, 1 << 20), random_() % 8);
  }

  // Opens it again and reads everything: what comes with matching checksums is what the block was
  // in the version that it says. Whether it could be opened.
  bool Check(bool accept_loss) {
    StoreOptions options = SmallOptions();
    options.accept_loss = accept_loss;
    const auto store = OpenStore(disk_, options);
    if (!store) {
      EXPECT_FALSE(store.error().detail.empty());
      return false;
    }
    for (const auto& [key, versions] : history_) CheckBlock(**store, key, versions);
    return true;
  }

  int whole = 0;
  int bad = 0;
  int older = 0;

 private:
  void CheckBlock(ChunkStore& store, const BlockKey& key, const Versions& versions) {
    const Result<BlockData> read = store.Read(key, 0, kMaxBlockSize);
    const Result<BlockCheck> check = store.Verify(key);
    if (!read && read.code() == Errc::kNotFound) {
      ++older;
      return;
    }
    if (!read || Crc32cUnits(read->data.bytes()) != read->checksums) {
      EXPECT_TRUE(!check || !check->bad_units.empty()) << "the scrub finds nothing";
      ++bad;
      return;
    }
    const auto was = versions.find(read->version);
    ASSERT_TRUE(was != versions.end()) << "a version that never was";
    EXPECT_TRUE(was->second == ToText(read->data)) << "data " << Raw(key.data);
    ++(read->version == versions.rbegin()->first ? whole : older);
  }

  FakeDisk disk_;
  std::mt19937_64 random_;
  std::map<BlockKey, Versions> history_;
};

TEST(StoreRotTest, GivesWhatWasWrittenOrAnError) {
  constexpr int kFlipsAStore = 4;
  int opened = 0;
  int whole = 0;
  int bad = 0;
  for (int round = 0; round < FlipsInAll() / kFlipsAStore && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    RottenStore store(static_cast<uint64_t>(round));
    for (int i = 0; i < kFlipsAStore; ++i) store.FlipOne();
    // What is refused may be opened when nobody counts on it.
    if (store.Check(false) || store.Check(true)) ++opened;
    whole += store.whole;
    bad += store.bad;
  }
  EXPECT_GT(opened, 0);
  EXPECT_GT(whole, 0);
  EXPECT_GT(bad, 0);
}

// The frame before the last one of those that were durable.
TEST(StoreRotTest, GoesOnWithWhatWasBeforeTheDamageWhenNobodyCountsOnIt) {
  FakeDisk disk;
  {
    const std::unique_ptr<ChunkStore> store = MustOpen(disk);
    for (uint64_t i = 1; i <= 4; ++i) {
      ASSERT_TRUE(store->Apply(Write(Key(i), i, 0, Pattern(5'000, i))));
      ASSERT_TRUE(store->SyncAll());
    }
  }
  // Generation 3 is in journal.1; each frame is a page of records and two of data.
  disk.FlipBit("journal.1", 3 * 4096 + 4096 + 100, 3);
  const Result<std::unique_ptr<ChunkStore>> refused = OpenStore(disk);
  ASSERT_EQ(refused.code(), Errc::kCorrupted);
  EXPECT_NE(refused.error().detail.find("journal"), std::string::npos);

  StoreOptions options = SmallOptions();
  options.accept_loss = true;
  {
    const std::unique_ptr<ChunkStore> store = MustOpen(disk, options);
    ASSERT_NE(store, nullptr);
    EXPECT_TRUE(Holds(*store, Key(1), Pattern(5'000, 1)));
    EXPECT_EQ(store->Stat(Key(2)).code(), Errc::kNotFound);
    EXPECT_EQ(store->Stat(Key(4)).code(), Errc::kNotFound) << "what follows the loss";
    ASSERT_TRUE(store->Apply(Write(Key(2), 9, 0, Pattern(5'000, 9))));
    ASSERT_TRUE(store->SyncAll());
  }
  const std::unique_ptr<ChunkStore> again = MustOpen(disk);
  ASSERT_NE(again, nullptr);
  EXPECT_TRUE(Holds(*again, Key(1), Pattern(5'000, 1)));
  EXPECT_TRUE(Holds(*again, Key(2), Pattern(5'000, 9)));
}

TEST(StoreRotTest, FailsWhenItsIndexCannotBeRead) {
  FakeDisk disk;
  {
    // So many checksums that not all of them are read when the store is opened.
    const std::unique_ptr<ChunkStore> store = MustOpen(disk);
    for (uint64_t i = 1; i <= 40; ++i) {
      ASSERT_TRUE(store->Apply(Write(Key(i), 1, 0, Pattern(270'000, i))));
    }
    ASSERT_TRUE(store->Checkpoint());
  }
  const std::unique_ptr<ChunkStore> store = MustOpen(disk);
  ASSERT_NE(store, nullptr);
  const auto names = disk.List("index");
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    if (name.ends_with(".ldb") || name.ends_with(".sst")) disk.FailReads("index/" + name, true);
  }

  const Result<BlockData> read = store->Read(Key(20), 0, kMaxBlockSize);

  ASSERT_FALSE(read);
  EXPECT_EQ(read.code(), Errc::kIo);
  EXPECT_TRUE(store->failed());
}

}  // namespace
}  // namespace ringfs::chunkserver
