#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "chunkserver/store/index_record.h"
#include "chunkserver/store/journal_file.h"
#include "chunkserver/store/update_record.h"
#include "tests/chunkserver/store_fixture.h"

// docs/formats/store.md says what is on the disk; this says that it is so.
namespace ringfs::chunkserver {
namespace {

std::string ReadDocument() {
  std::ifstream in(RINGFS_STORE_DOCUMENT);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The hex digits of the first fenced part behind the note that names this file.
std::string ExampleOf(const std::string& document) {
  const size_t note = document.find("read by tests/chunkserver/store_format_test.cc");
  const size_t begin = document.find("```\n", note);
  const size_t end = document.find("```", begin + 4);
  std::string digits;
  for (const char c : document.substr(begin + 4, end - begin - 4)) {
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) {
      digits.push_back(c);
    }
  }
  return digits;
}

std::string Hex(std::span<const std::byte> bytes) {
  std::string digits;
  for (const std::byte byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    digits.push_back(kDigits[std::to_integer<int>(byte) >> 4]);
    digits.push_back(kDigits[std::to_integer<int>(byte) & 15]);
  }
  return digits;
}

TEST(StoreFormatTest, WritesTheFrameOfTheDocument) {
  FakeDisk disk;
  const Result<std::unique_ptr<ChunkStore>> store = OpenStore(disk);
  ASSERT_TRUE(store);
  BlockChange change = Write({PoolId{1}, DataId{0x0102030405060708}, 9}, 0, 0, "ringfs");
  change.version = {2, 3};
  change.tag = WriteTag{SessionId{4}, 5, 6};
  ASSERT_TRUE((*store)->Apply(change));
  ASSERT_TRUE((*store)->SyncAll());

  const std::unique_ptr<DiskFile> file = *disk.Open("journal.1", OpenMode::kRead);
  std::array<std::byte, 192> found;
  ASSERT_EQ(*file->Read(0, found), found.size());
  EXPECT_EQ(Hex(found), ExampleOf(ReadDocument()));
  std::array<std::byte, 6> data;
  ASSERT_EQ(*file->Read(4096, data), data.size());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data.data()), data.size()), "ringfs");
}

TEST(StoreFormatTest, NamesEveryFamilyOfKeysInTheDocument) {
  const std::string document = ReadDocument();
  for (const char family :
       {index_record::kBlockFamily, index_record::kGroupFamily, index_record::kDataFamily,
        index_record::kTagFamily, index_record::kGenerationKey[0]}) {
    EXPECT_NE(document.find(std::string("| `") + family + "`"), std::string::npos) << family;
  }
}

BlockUpdate SomeUpdate() {
  BlockUpdate update;
  update.key = Key(7, 8);
  update.version = {1, 2};
  update.length = 300'000;
  update.replaces = true;
  update.tag = WriteTag{SessionId{1}, 2, 3};
  update.copied_tags = {{WriteTag{SessionId{4}, 5, 6}, {1, 1}}};
  update.places = {{0, 10}, {1, 12}};
  update.runs = {{RunKind::kPlaced, 0, 16, std::vector<uint32_t>(16, 5)},
                 {RunKind::kJournaled, 16, 2, {1, 2}},
                 {RunKind::kHole, 20, 30, {}}};
  return update;
}

TEST(StoreFormatTest, ReadsBackARecord) {
  const BlockUpdate update = SomeUpdate();

  const Result<JournalEntry> entry = DecodeEntry(EncodeUpdate(update));

  ASSERT_TRUE(entry);
  EXPECT_EQ(EncodeUpdate(entry->update), EncodeUpdate(update));
  EXPECT_EQ(entry->journaled_units, 2u);
  EXPECT_EQ(DecodeEntry(EncodeDropTags(SessionId{9}))->session, SessionId{9});
  EXPECT_LE(EncodeUpdate(update).size(), MaxUpdateBytes(50, 1));
}

TEST(StoreFormatTest, RefusesCutAndFlippedRecordsWithoutHarm) {
  const std::string record = EncodeUpdate(SomeUpdate());
  for (size_t size = 0; size < record.size(); ++size) {
    EXPECT_FALSE(DecodeEntry(record.substr(0, size))) << size;
  }
  for (size_t bit = 0; bit < record.size() * 8; ++bit) {
    std::string flipped = record;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const Result<JournalEntry> entry = DecodeEntry(flipped);
    if (entry) {
      // Numbers have changed, and nothing that is out of bounds.
      BlockState state;
      (void)Fits(entry->update, state);
    }
  }
}

TEST(StoreFormatTest, RefusesCutAndFlippedIndexValuesWithoutHarm) {
  BlockState state;
  ApplyUpdate(
      [] {
        BlockUpdate update = SomeUpdate();
        update.runs.pop_back();
        update.journaled = {Buffer::CopyOf(std::vector<std::byte>(8192))};
        return update;
      }(),
      1, &state);
  const std::string value = index_record::EncodeBlock(state);
  BlockState back;
  ASSERT_TRUE(index_record::DecodeBlock(value, &back));
  EXPECT_EQ(index_record::EncodeBlock(back), value);
  EXPECT_EQ(state.digest, DigestOf(state));

  for (size_t size = 0; size < value.size(); ++size) {
    BlockState cut;
    EXPECT_FALSE(index_record::DecodeBlock(value.substr(0, size), &cut)) << size;
  }
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string flipped = value;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    BlockState other;
    if (index_record::DecodeBlock(flipped, &other)) {
      EXPECT_LE(other.clusters.size(), kMaxUnits / kUnitsPerCluster);
    }
  }
}

}  // namespace
}  // namespace ringfs::chunkserver
