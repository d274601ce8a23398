// Random changes of one file, through both mounts in turn, against a model in memory. The seed is
// RINGFS_SEED, or one that is printed; RINGFS_STEPS says how many.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <random>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

constexpr size_t kMostBytes = 5 << 20;  // over the end of a block
constexpr size_t kMostAtOnce = 200'000;

class AlternatingTest : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    const char* seed = std::getenv("RINGFS_SEED");
    const auto chosen = static_cast<uint32_t>(seed != nullptr ? std::atoll(seed) : 20'260'101);
    random_.seed(chosen);
    RecordProperty("seed", std::to_string(chosen));
    Fill(In("f"), "");
    files_[0] = std::make_unique<File>(open(In("f").c_str(), O_RDWR));
    files_[1] = std::make_unique<File>(open(Elsewhere("f").c_str(), O_RDWR));
    appending_ = std::make_unique<File>(open(Elsewhere("f").c_str(), O_WRONLY | O_APPEND));
    ASSERT_TRUE(files_[0]->ok() && files_[1]->ok() && appending_->ok());
  }

  size_t Below(size_t limit) { return random_() % std::max<size_t>(limit, 1); }
  int Side() { return files_[Below(2)]->get(); }
  std::string Bytes() {
    std::string bytes(1 + Below(kMostAtOnce), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }
  void Put(size_t at, const std::string& bytes) {
    if (model_.size() < at + bytes.size()) model_.resize(at + bytes.size());
    std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<ptrdiff_t>(at));
  }

  void Write() {
    const size_t at = Below(kMostBytes - kMostAtOnce);
    const std::string bytes = Bytes();
    Put(at, bytes);
    ASSERT_EQ(pwrite(Side(), bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
  }
  void Append() {
    if (model_.size() + kMostAtOnce > kMostBytes) return;
    const std::string bytes = Bytes();
    Put(model_.size(), bytes);
    ASSERT_EQ(write(appending_->get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  void Truncate() {
    const size_t size = Below(kMostBytes);
    model_.resize(size);
    ASSERT_EQ(ErrorOf(ftruncate(Side(), static_cast<off_t>(size))), 0);
  }
  void Zero(int mode) {
    const size_t at = Below(model_.size());
    const size_t length = 1 + Below(kMostAtOnce);
    const size_t end = std::min(at + length, model_.size());
    for (size_t i = at; i < end; ++i) model_[i] = '\0';
    ASSERT_EQ(ErrorOf(fallocate(Side(), mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                                static_cast<off_t>(length))),
              0);
  }
  void CopyWithin() {
    const size_t length = Below(model_.size() / 2);
    if (length == 0) return;
    loff_t from = 0;
    loff_t to = static_cast<loff_t>(model_.size() - length);
    const std::string bytes = model_.substr(0, length);
    // The kernel copies no further than the size that it knows (docs/posix.md).
    struct stat stat {};
    ASSERT_EQ(fstat(files_[0]->get(), &stat), 0);
    for (size_t left = length; left > 0;) {
      const ssize_t copied =
          copy_file_range(files_[0]->get(), &from, files_[1]->get(), &to, left, 0);
      ASSERT_GT(copied, 0);
      left -= static_cast<size_t>(copied);
    }
    Put(model_.size() - length, bytes);
  }
  void Store() {
    if (model_.size() < 8192) return;
    const size_t page = Below(model_.size() / 4096 - 1) * 4096;
    const int file = Side();
    struct stat stat {};
    ASSERT_EQ(fstat(file, &stat), 0);  // as in CopyWithin()
    void* memory =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(page));
    ASSERT_NE(memory, MAP_FAILED);
    auto* bytes = static_cast<char*>(memory);
    EXPECT_TRUE(std::equal(bytes, bytes + 4096, model_.begin() + static_cast<ptrdiff_t>(page)));
    const size_t at = Below(4000);
    std::fill_n(bytes + at, 50, 's');
    Put(page + at, std::string(50, 's'));
    ASSERT_EQ(msync(memory, 4096, MS_SYNC), 0);
    munmap(memory, 4096);
  }
  void Read() {
    const size_t at = Below(model_.size() + 1000);
    std::string bytes(Below(kMostAtOnce), '?');
    const ssize_t got = pread(Side(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    const std::string expected =
        at < model_.size() ? model_.substr(at, bytes.size()) : std::string();
    ASSERT_EQ(got, static_cast<ssize_t>(expected.size())) << "at " << at;
    bytes.resize(expected.size());
    ASSERT_TRUE(bytes == expected) << "other bytes from " << at << " on";
  }
  void Size() {
    struct stat stat {};
    ASSERT_EQ(fstat(Side(), &stat), 0);
    ASSERT_EQ(static_cast<size_t>(stat.st_size), model_.size());
  }

  void Step() {
    switch (Below(12)) {
      case 0:
      case 1:
        return Write();
      case 2:
        return Append();
      case 3:
        return Truncate();
      case 4:
        return Zero(FALLOC_FL_PUNCH_HOLE);
      case 5:
        return Zero(FALLOC_FL_ZERO_RANGE);
      case 6:
        return CopyWithin();
      case 7:
        return Store();
      case 8:
        return Size();
      default:
        return Read();
    }
  }

 private:
  std::mt19937 random_;
  std::array<std::unique_ptr<File>, 2> files_;
  std::unique_ptr<File> appending_;
  std::string model_;
};

TEST_F(AlternatingTest, EachMountSeesWhatTheOtherHasDone) {
  const char* wanted = std::getenv("RINGFS_STEPS");
  const int steps = wanted != nullptr ? std::atoi(wanted) : 500;
  for (int step = 0; step < steps && !HasFatalFailure() && !HasNonfatalFailure(); ++step) {
    SCOPED_TRACE(step);
    Step();
  }
}

}  // namespace
}  // namespace ringfs::posix
