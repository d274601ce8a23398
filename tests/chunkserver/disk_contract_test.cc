#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "chunkserver/store/posix_disk.h"
#include "tests/chunkserver/store_fixture.h"

// What holds for every Disk.
namespace ringfs::chunkserver {
namespace {

class DiskMaker {
 public:
  virtual ~DiskMaker() = default;
  // Another one of the same directory each time.
  virtual std::unique_ptr<Disk> Make() = 0;
};

class PosixMaker final : public DiskMaker {
 public:
  PosixMaker() {
    std::string path = testing::TempDir() + "ringfs_disk_XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    path_ = path;
  }
  ~PosixMaker() override { std::filesystem::remove_all(path_); }
  std::unique_ptr<Disk> Make() override {
    Result<std::unique_ptr<Disk>> disk = OpenPosixDisk(path_);
    EXPECT_TRUE(disk);
    return disk ? std::move(*disk) : nullptr;
  }

 private:
  std::string path_;
};

class FakeMaker final : public DiskMaker {
 public:
  std::unique_ptr<Disk> Make() override { return std::make_unique<FakeDisk>(first_.platter()); }

 private:
  FakeDisk first_;
};

template <typename Maker>
class DiskContractTest : public testing::Test {
 protected:
  DiskContractTest() : disk_(maker_.Make()) {}

  static std::string ReadAll(DiskFile& file) {
    std::string text(*file.Size(), '\0');
    EXPECT_EQ(*file.Read(0, std::as_writable_bytes(std::span(text))), text.size());
    return text;
  }
  static Result<void> WriteText(DiskFile& file, uint64_t offset, std::string_view text) {
    const std::array pieces{std::as_bytes(std::span(text.data(), text.size()))};
    return file.Write(offset, pieces);
  }

  Maker maker_;
  std::unique_ptr<Disk> disk_;
};

using Makers = testing::Types<PosixMaker, FakeMaker>;
TYPED_TEST_SUITE(DiskContractTest, Makers);

TYPED_TEST(DiskContractTest, ReadsWhatWasWrittenInPieces) {
  const std::unique_ptr<DiskFile> file = *this->disk_->Open("file", OpenMode::kCreate);
  std::string expected = std::string(100, '\0');
  std::vector<std::string> texts;
  for (int i = 0; i < 700; ++i) {
    texts.push_back(std::to_string(i));
    expected += texts.back();
  }
  std::vector<std::span<const std::byte>> pieces;
  for (const std::string& text : texts) {
    pieces.push_back(std::as_bytes(std::span(text)));
  }

  ASSERT_TRUE(file->Write(100, pieces));
  ASSERT_TRUE(file->Sync());

  EXPECT_EQ(this->ReadAll(*file), expected);
  std::array<std::byte, 10> beyond;
  EXPECT_EQ(*file->Read(expected.size() - 3, beyond), 3u);
  EXPECT_EQ(*file->Read(expected.size() + 3, beyond), 0u);
}

TYPED_TEST(DiskContractTest, ReadsWithoutWaitingOrSaysThatItCannot) {
  const std::unique_ptr<DiskFile> file = *this->disk_->Open("file", OpenMode::kCreate);
  ASSERT_TRUE(this->WriteText(*file, 0, "text"));

  std::array<std::byte, 4> found{};
  const Result<size_t> size = file->Read(0, found, Patience::kNow);

  if (size) {
    EXPECT_EQ(*size, found.size());
    EXPECT_EQ(std::memcmp(found.data(), "text", found.size()), 0);
  } else {
    EXPECT_EQ(size.code(), Errc::kWouldBlock);  // not every filesystem can
  }
}

TYPED_TEST(DiskContractTest, OpensAsItIsTold) {
  EXPECT_EQ(this->disk_->Open("file", OpenMode::kRead).code(), Errc::kNotFound);
  EXPECT_EQ(this->disk_->Open("file", OpenMode::kWrite).code(), Errc::kNotFound);
  ASSERT_TRUE(this->WriteText(**this->disk_->Open("file", OpenMode::kCreate), 0, "text"));
  EXPECT_EQ(this->ReadAll(**this->disk_->Open("file", OpenMode::kCreate)), "text");
  EXPECT_EQ(this->ReadAll(**this->disk_->Open("file", OpenMode::kRead)), "text");
  EXPECT_EQ(this->ReadAll(**this->disk_->Open("file", OpenMode::kTruncate)), "");
}

TYPED_TEST(DiskContractTest, PunchesHolesAndSetsSizes) {
  const std::unique_ptr<DiskFile> file = *this->disk_->Open("file", OpenMode::kCreate);
  ASSERT_TRUE(this->WriteText(*file, 0, std::string(16384, 'x')));
  ASSERT_TRUE(file->PunchHole(4096, 8192));
  EXPECT_EQ(this->ReadAll(*file),
            std::string(4096, 'x') + std::string(8192, '\0') + std::string(4096, 'x'));
  ASSERT_TRUE(file->SetSize(10));
  EXPECT_EQ(*file->Size(), 10u);
  ASSERT_TRUE(file->SetSize(20));
  EXPECT_EQ(this->ReadAll(*file), std::string(10, 'x') + std::string(10, '\0'));
}

TYPED_TEST(DiskContractTest, NamesFilesInFolders) {
  EXPECT_EQ(this->disk_->List("folder").code(), Errc::kNotFound);
  ASSERT_TRUE(this->disk_->MakeFolder("folder"));
  ASSERT_TRUE(this->disk_->MakeFolder("folder"));
  ASSERT_TRUE(this->disk_->Open("folder/a", OpenMode::kCreate));
  ASSERT_TRUE(this->disk_->Open("folder/b", OpenMode::kCreate));
  ASSERT_TRUE(this->disk_->Rename("folder/a", "folder/c"));
  ASSERT_TRUE(this->disk_->SyncFolder("folder"));
  ASSERT_TRUE(this->disk_->SyncFolder(""));

  std::vector<std::string> names = *this->disk_->List("folder");
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"b", "c"}));
  EXPECT_FALSE(*this->disk_->Exists("folder/a"));
  EXPECT_TRUE(*this->disk_->Exists("folder/c"));
  ASSERT_TRUE(this->disk_->Remove("folder/c"));
  EXPECT_EQ(this->disk_->Remove("folder/c").code(), Errc::kNotFound);
  EXPECT_EQ(this->disk_->Rename("folder/c", "folder/d").code(), Errc::kNotFound);
}

TYPED_TEST(DiskContractTest, LocksOutOthersUntilItIsGone) {
  std::unique_ptr<Disk> other = this->maker_.Make();
  ASSERT_TRUE(this->disk_->Lock());
  EXPECT_EQ(other->Lock().code(), Errc::kBusy);
  this->disk_.reset();
  EXPECT_TRUE(other->Lock());
}

TYPED_TEST(DiskContractTest, KeepsAStore) {
  {
    const Result<std::unique_ptr<ChunkStore>> store = OpenStore(*this->disk_);
    ASSERT_TRUE(store) << store.error().ToString();
    ASSERT_TRUE((*store)->Apply(Write(Key(1), 1, 100, Pattern(10'000, 1))));
    ASSERT_TRUE((*store)->Apply(Write(Key(2), 1, 0, Pattern(500'000, 2))));
    ASSERT_TRUE((*store)->SyncAll());
  }
  for (int i = 0; i < 2; ++i) {
    const Result<std::unique_ptr<ChunkStore>> store = OpenStore(*this->disk_);
    ASSERT_TRUE(store) << store.error().ToString();
    EXPECT_TRUE(Holds(**store, Key(1), std::string(100, '\0') + Pattern(10'000, 1)));
    EXPECT_TRUE(Holds(**store, Key(2), Pattern(500'000, 2)));
    ASSERT_TRUE((*store)->Checkpoint());
  }
}

}  // namespace
}  // namespace ringfs::chunkserver
