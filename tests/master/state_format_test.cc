#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "master/state/keys.h"
#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

// One of each kind of record, from fixed commands.
void Fill(TestMaster& master) {
  uint64_t directory = master.MakeDirectory(kRoot, "d");
  uint64_t file = master.MakeFile(directory, "f");
  master.SetXattr(file, "user.k", "v");
  master.Extend(file, 100);
  master.Resize(file, 60);
  uint64_t gone = master.MakeFile(kRoot, "gone");
  master.Extend(gone, 5);
  master.Resize(gone, 0);
  master.Unlink(kRoot, "gone");
  wire::MetaRequest lock;
  lock.mutable_set_lock()->set_inode(file);
  lock.mutable_set_lock()->set_kind(wire::LOCK_FLOCK);
  lock.mutable_set_lock()->set_type(wire::LOCK_EXCLUSIVE);
  lock.mutable_set_lock()->set_owner(9);
  lock.mutable_set_lock()->set_last(INT64_MAX);
  master.Do(lock);
  wire::Command server;
  server.mutable_register_server()->set_uuid("servers-identity");
  server.mutable_register_server()->set_address("host:1");
  master.Apply(server);
}

// The document's example: lines of key and value in hexadecimal, "-" for an empty value.
std::map<std::string, std::string> Documented() {
  std::ifstream document(RINGFS_SOURCE_DIR "/docs/formats/master.md");
  std::map<std::string, std::string> pairs;
  bool inside = false;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("```")) inside = line == "```golden";
    std::istringstream words(line);
    std::string key, value;
    if (inside && words >> key >> value && !key.starts_with("`")) pairs[key] = value;
  }
  return pairs;
}

TEST(MasterFormat, IsTheOneThatIsDocumented) {
  TestMaster master;
  Fill(master);
  std::map<std::string, std::string> documented = Documented();
  std::string lines;
  std::map<std::string, std::string> found;
  for (const auto& [key, value] : master.Contents()) {
    found[Hex(key)] = value.empty() ? "-" : Hex(value);
    lines += Hex(key) + " " + found[Hex(key)] + "\n";
  }
  EXPECT_EQ(found, documented) << "The database now holds\n" << lines;
}

TEST(MasterFormat, OfANewerProgramIsRefused) {
  MemoryDisk disk;
  {
    Result<Database> database = disk.Open("state");
    wire::FormatRecord format;
    format.set_version(kFormatVersion + 1);
    format.set_cluster_id("0123456789abcdef");
    ASSERT_TRUE(database->db->Put({}, std::string(kFormatKey), format.SerializeAsString()).ok());
  }
  Result<Database> refused = disk.Open("state");
  EXPECT_EQ(refused.code(), Errc::kVersion);
  EXPECT_THAT(refused.error().detail, testing::HasSubstr("newer"));
}

TEST(MasterFormat, OfAnotherClusterIsRefused) {
  MemoryDisk disk;
  {
    Result<Database> database = disk.Open("state");
    wire::FormatRecord format;
    format.set_version(kFormatVersion);
    format.set_cluster_id("0123456789abcdef");
    ASSERT_TRUE(database->db->Put({}, std::string(kFormatKey), format.SerializeAsString()).ok());
  }
  EXPECT_EQ(disk.Open("state", "fedcba9876543210").code(), Errc::kWrongCluster);
  EXPECT_EQ(disk.Open("state", "0123456789abcdef").code(), Errc::kOk);
}

// Whatever a damaged record holds, it is an error, never a crash.
TEST(MasterFormat, ThatIsDamagedIsRefused) {
  TestMaster master;
  Fill(master);
  std::map<std::string, std::string> contents = master.Contents();
  constexpr std::string_view kLoaded = "FCSRLVPB";
  for (const auto& [key, value] : contents) {
    if (kLoaded.find(key[0]) == kLoaded.npos) continue;
    MemoryDisk disk;
    {
      Result<Database> database = disk.Open("state");
      for (const auto& [put_key, put_value] : contents) {
        const std::string& bytes = put_key == key ? "\xff\xff\xff" : put_value;
        ASSERT_TRUE(database->db->Put({}, put_key, bytes).ok());
      }
    }
    Result<Database> database = disk.Open("state");
    if (!database) {
      EXPECT_EQ(database.code(), Errc::kCorrupted) << Hex(key);
      continue;
    }
    EXPECT_EQ(StateMachine::Open(std::move(*database)).code(), Errc::kCorrupted) << Hex(key);
  }
}

TEST(MasterFormat, IsLockedWhileItIsOpen) {
  std::string directory = testing::TempDir() + "/ringfs_state_lock_test";
  {
    Result<Database> first = OpenDatabase(directory);
    ASSERT_TRUE(first) << first.error().ToString();
    EXPECT_EQ(OpenDatabase(directory).code(), Errc::kUnavailable);
  }
  EXPECT_TRUE(OpenDatabase(directory));
  leveldb::DestroyDB(directory, {});
}

}  // namespace
}  // namespace ringfs::master
