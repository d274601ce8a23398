#include "common/backup_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/crc32c.h"

namespace ringfs {
namespace {

using ::testing::HasSubstr;

class BackupFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = std::filesystem::temp_directory_path() / "ringfs-backup-test.XXXXXX";
    folder_ = mkdtemp(name.data());
    path_ = folder_ + "/backup";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string Records(int number) {
    wire::BackupRecords records;
    wire::BackupRecords::Record& record = *records.add_records();
    record.set_key("key" + std::to_string(number));
    record.set_value("value");
    return records.SerializeAsString();
  }
  static uint32_t CrcOf(const std::string& bytes) {
    return Crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())));
  }

  void WriteTwoParts() {
    wire::BackupHeader header;
    header.set_cluster_id("cluster");
    Result<BackupWriter> writer = BackupWriter::Create(path_, header);
    ASSERT_TRUE(writer);
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(writer->Add(Records(i), CrcOf(Records(i))));
    ASSERT_FALSE(std::filesystem::exists(path_));
    ASSERT_TRUE(writer->Finish());
    EXPECT_EQ(writer->bytes(), std::filesystem::file_size(path_));
  }

  // The number of records, or the first error.
  Result<int> ReadAll() const {
    Result<BackupReader> reader = BackupReader::Open(path_);
    if (!reader) return Fail(reader.error());
    int count = 0;
    wire::BackupRecords records;
    for (;;) {
      const Result<bool> more = reader->Next(records);
      if (!more) return Fail(more.error());
      if (!*more) return count;
      count += records.records_size();
    }
  }

  std::string Contents() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Overwrite(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(BackupFileTest, IsReadAsItWasWritten) {
  WriteTwoParts();

  Result<BackupReader> reader = BackupReader::Open(path_);

  ASSERT_TRUE(reader) << reader.error().ToString();
  EXPECT_EQ(reader->header().cluster_id(), "cluster");
  wire::BackupRecords records;
  for (int i = 0; i < 2; ++i) {
    const Result<bool> more = reader->Next(records);
    ASSERT_TRUE(more) << more.error().ToString();
    ASSERT_TRUE(*more);
    EXPECT_EQ(records.SerializeAsString(), Records(i));
  }
  const Result<bool> more = reader->Next(records);
  ASSERT_TRUE(more) << more.error().ToString();
  EXPECT_FALSE(*more);
}

TEST_F(BackupFileTest, IsRefusedWhereverItIsCut) {
  WriteTwoParts();
  const std::string whole = Contents();
  for (size_t size = 0; size < whole.size(); ++size) {
    Overwrite(whole.substr(0, size));
    EXPECT_EQ(ReadAll().code(), Errc::kCorrupted) << size;
  }
  Overwrite(whole + "x");
  EXPECT_EQ(ReadAll().code(), Errc::kCorrupted);
}

TEST_F(BackupFileTest, IsRefusedWhateverBitIsWrong) {
  WriteTwoParts();
  const std::string whole = Contents();
  for (size_t i = 0; i < whole.size() * 8; ++i) {
    std::string damaged = whole;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << (i % 8)));
    Overwrite(damaged);
    EXPECT_FALSE(ReadAll()) << "bit " << i;
  }
}

TEST_F(BackupFileTest, OfANewerFormatIsRefusedInWords) {
  WriteTwoParts();
  std::string newer = Contents();
  newer[8] = 2;
  Overwrite(newer);

  const Result<int> read = ReadAll();

  ASSERT_EQ(read.code(), Errc::kVersion);
  EXPECT_THAT(read.error().detail, HasSubstr("newer"));
}

TEST_F(BackupFileTest, LeavesWhatWasThereUntilItIsWhole) {
  WriteTwoParts();
  const std::string before = Contents();
  {
    Result<BackupWriter> writer = BackupWriter::Create(path_, wire::BackupHeader());
    ASSERT_TRUE(writer);
    EXPECT_EQ(writer->Add(Records(1), CrcOf(Records(2))).code(), Errc::kCorrupted);
  }
  EXPECT_EQ(Contents(), before);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".part"));
}

// The example of docs/formats/backup.md.
TEST_F(BackupFileTest, BeginsAsTheDocumentSays) {
  Result<BackupWriter> writer = BackupWriter::Create(path_, wire::BackupHeader());
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Finish());

  const std::string bytes = Contents();
  ASSERT_EQ(bytes.size(), 8u + 4 + 4 + 4 + 4 + 8 + 4);
  EXPECT_EQ(bytes.substr(0, 16), std::string("RNGFSBAK\1\0\0\0\0\0\0\0", 16));
  EXPECT_EQ(bytes.substr(20, 12), std::string(12, '\0'));
}

}  // namespace
}  // namespace ringfs
