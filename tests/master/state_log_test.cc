#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "master/state/database.h"
#include "tests/support/temp_dir.h"

namespace ringfs::master {
namespace {

namespace fs = std::filesystem;

constexpr int kRecords = 200;

std::string KeyOf(int i) { return "k" + std::to_string(1000 + i); }
std::string ValueOf(int i) { return std::string(1000, static_cast<char>('a' + i % 26)); }

Database MustOpen(const fs::path& folder) {
  auto database = OpenDatabase(folder, "", DatabaseLimits::Within(64 << 20));
  RINGFS_CHECK(database);
  return std::move(*database);
}

// Where the log of the database ends in what was written.
uint64_t WrittenBytes(const std::string& log) { return log.find_last_not_of('\0') + 1; }

std::string ReadAll(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class MasterLogTest : public testing::Test {
 protected:
  // The files as they are when the program is killed after all records were synced.
  void Crash() {
    Database database = MustOpen(temp.path() / "data");
    leveldb::WriteOptions sync;
    sync.sync = true;
    for (int i = 0; i < kRecords; ++i) {
      ASSERT_TRUE(database.db->Put(sync, KeyOf(i), ValueOf(i)).ok());
    }
    fs::copy(temp.path() / "data", crashed, fs::copy_options::recursive);
    for (const auto& entry : fs::directory_iterator(crashed)) {
      if (entry.path().extension() == ".log") log = entry.path();
    }
    ASSERT_FALSE(log.empty());
  }
  // How many records there are, one after the other.
  int Recovered() {
    const Database database = MustOpen(crashed);
    int found = 0;
    std::string value;
    while (database.db->Get({}, KeyOf(found), &value).ok() && value == ValueOf(found)) ++found;
    return found;
  }

  TempDir temp;
  const fs::path crashed = temp.path() / "crashed";
  fs::path log;
};

TEST_F(MasterLogTest, HasItsSpaceInAdvanceAndNothingIsLostInIt) {
  Crash();

  EXPECT_GT(fs::file_size(log), WrittenBytes(ReadAll(log)) + (1 << 20));
  EXPECT_EQ(Recovered(), kRecords);
}

TEST_F(MasterLogTest, ARecordThatWasCutOffIsTheOnlyOneThatIsMissing) {
  Crash();
  const std::string whole = ReadAll(log);
  std::string torn = whole.substr(0, WrittenBytes(whole) - 500);
  torn.resize(whole.size(), '\0');
  std::ofstream(log, std::ios::binary) << torn;

  EXPECT_EQ(Recovered(), kRecords - 1);
}

TEST_F(MasterLogTest, EndsWhereItsBytesEndOnceItIsClosed) {
  { const Database database = MustOpen(temp.path() / "data"); }
  for (const auto& entry : fs::directory_iterator(temp.path() / "data")) {
    if (entry.path().extension() != ".log") continue;
    EXPECT_LT(entry.file_size(), 4096u);
  }
}

}  // namespace
}  // namespace ringfs::master
