#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "common/backup_file.h"
#include "master/service/restore.h"
#include "service_support.h"

namespace ringfs::master {
namespace {

using ::testing::HasSubstr;

class BackupTest : public ::testing::Test {
 protected:
  BackupTest() : client_(master_, 'a'), admin_(master_) {
    std::string name = std::filesystem::temp_directory_path() / "ringfs-restore-test.XXXXXX";
    folder_ = mkdtemp(name.data());
    client_.Open();
  }
  ~BackupTest() override { std::filesystem::remove_all(folder_); }

  void MakeDirectory(const std::string& name) {
    wire::MetaRequest request = client_.Request();
    request.mutable_make_node()->set_parent(Raw(kRootInode));
    request.mutable_make_node()->set_name(name);
    request.mutable_make_node()->set_mode(0040755);
    ASSERT_TRUE(client_.Meta(request));
  }
  // Several parts.
  void Fill() {
    for (int i = 0; i < 40; ++i) {
      MakeDirectory("d" + std::to_string(i));
      wire::MetaRequest request = client_.Request();
      request.mutable_set_xattr()->set_inode(
          master_.state().Resolve("d" + std::to_string(i))->inode());
      request.mutable_set_xattr()->set_name("user.a");
      request.mutable_set_xattr()->set_value(std::string(60'000, 'v'));
      ASSERT_TRUE(client_.Meta(request));
    }
  }

  Result<wire::BackupReply> Ask(uint64_t backup, uint64_t chunk) {
    wire::BackupRequest request;
    request.set_backup(backup);
    request.set_chunk(chunk);
    return admin_.Call<wire::BackupReply>(wire::MASTER_BACKUP, request);
  }
  // Calls `between` after the first part.
  template <typename Between>
  int TakeBackup(const std::string& file, Between between) {
    Result<wire::BackupReply> part = Ask(0, 0);
    RINGFS_CHECK(bool{part});
    Result<BackupWriter> writer = BackupWriter::Create(file, part->header());
    RINGFS_CHECK(bool{writer});
    int chunks = 0;
    while (!part->records().empty()) {
      RINGFS_CHECK(bool{writer->Add(part->records(), part->crc32c())});
      if (++chunks == 1) between();
      part = Ask(part->backup(), static_cast<uint64_t>(chunks));
      RINGFS_CHECK(bool{part});
    }
    RINGFS_CHECK(bool{writer->Finish()});
    return chunks;
  }

  TestMaster master_;
  TestClient client_;
  TestPeer admin_;
  std::string folder_;
};

TEST_F(BackupTest, HoldsOneMomentHoweverMuchChangesMeanwhile) {
  Fill();
  const std::string file = folder_ + "/backup";
  const int chunks = TakeBackup(file, [&] {
    MakeDirectory("later");
    MakeDirectory("a-later");
  });
  EXPECT_GT(chunks, 1);

  const Result<Restored> restored = Restore(file, folder_ + "/new", SystemClock());

  ASSERT_TRUE(restored) << restored.error().ToString();
  Result<Database> database = OpenDatabase(folder_ + "/new", std::string(16, 'c'));
  ASSERT_TRUE(database) << database.error().ToString();
  Result<std::unique_ptr<StateMachine>> state = StateMachine::Open(*std::move(database));
  ASSERT_TRUE(state) << state.error().ToString();
  for (int i = 0; i < 40; ++i) EXPECT_TRUE((*state)->Resolve("d" + std::to_string(i)));
  EXPECT_EQ((*state)->Resolve("later").code(), Errc::kNotFound);
  EXPECT_EQ((*state)->Resolve("a-later").code(), Errc::kNotFound);
  EXPECT_EQ((*state)->statistics().inodes, 41u);
  // What was given out since the backup is not given out again.
  EXPECT_GT((*state)->epoch(), master_.state().epoch() + 1'000'000);
  ASSERT_EQ((*state)->Sessions().size(), 1u);
  EXPECT_TRUE((*state)->Sessions()[0]->fenced());
}

TEST_F(BackupTest, GoesOnlyFromPartToPartAndIsGivenUpWhenIdle) {
  Fill();
  const Result<wire::BackupReply> first = Ask(0, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(Ask(first->backup(), 0).code(), Errc::kInvalid);
  EXPECT_EQ(Ask(first->backup(), 2).code(), Errc::kInvalid);
  ASSERT_TRUE(Ask(0, 0));
  EXPECT_EQ(Ask(0, 0).code(), Errc::kBusy);

  master_.PassTime(61'000);

  EXPECT_EQ(Ask(first->backup(), 1).code(), Errc::kNotFound);
  EXPECT_TRUE(Ask(0, 0));
}

TEST_F(BackupTest, IsRestoredOnlyIntoAnEmptyDirectory) {
  const std::string file = folder_ + "/backup";
  TakeBackup(file, [] {});
  std::filesystem::create_directory(folder_ + "/full");
  std::ofstream(folder_ + "/full/file") << "x";

  const Result<Restored> restored = Restore(file, folder_ + "/full", SystemClock());

  ASSERT_EQ(restored.code(), Errc::kExists);
  EXPECT_THAT(restored.error().detail, HasSubstr("not empty"));
}

TEST_F(BackupTest, ThatIsDamagedMakesNothing) {
  const std::string file = folder_ + "/backup";
  TakeBackup(file, [] {});
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  EXPECT_EQ(Restore(file, folder_ + "/new", SystemClock()).code(), Errc::kCorrupted);
  EXPECT_EQ(Restore(folder_ + "/none", folder_ + "/new", SystemClock()).code(), Errc::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/new"));
}

// Returns when all but what fits into a pipe has been read.
void Feed(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    ASSERT_GT(written, 0);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

TEST_F(BackupTest, RestoredInPartIsTakenForNothing) {
  Fill();
  const std::string file = folder_ + "/backup";
  ASSERT_GT(TakeBackup(file, [] {}), 1);
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  // Read to its end to be verified, then again; the second time it comes to a halt in its second part.
  const std::string pipe = folder_ + "/pipe";
  const std::string second = folder_ + "/second";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ASSERT_EQ(mkfifo(second.c_str(), 0600), 0);
  Result<Restored> restored = Fail(Errc::kCancelled);
  std::thread restoring(
      [&] { restored = Restore(pipe, folder_ + "/new", SystemClock()); });
  int fd = open(pipe.c_str(), O_WRONLY | O_CLOEXEC);
  std::filesystem::rename(second, pipe);
  Feed(fd, bytes);
  close(fd);
  fd = open(pipe.c_str(), O_WRONLY | O_CLOEXEC);
  Feed(fd, std::string_view(bytes).substr(0, (1 << 20) + 512 * 1024));

  // As a crash at this moment would leave it.
  std::filesystem::copy(folder_ + "/new", folder_ + "/crashed");
  const Result<Database> crashed = OpenDatabase(folder_ + "/crashed");
  close(fd);
  restoring.join();

  ASSERT_EQ(crashed.code(), Errc::kCorrupted);
  EXPECT_THAT(crashed.error().detail, HasSubstr("was interrupted; empty it and restore again"));
  EXPECT_EQ(restored.code(), Errc::kCorrupted);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/new"));
}

TEST_F(BackupTest, OfANewerStateIsRefused) {
  const std::string file = folder_ + "/backup";
  wire::BackupHeader header;
  header.set_state_version(kFormatVersion + 1);
  Result<BackupWriter> writer = BackupWriter::Create(file, header);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Finish());

  EXPECT_EQ(Restore(file, folder_ + "/new", SystemClock()).code(), Errc::kVersion);
}

}  // namespace
}  // namespace ringfs::master
