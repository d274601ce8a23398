// The bytes of files: sparse ones, truncation, fallocate, copying.
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/sendfile.h>

#include <csignal>
#include <cstdlib>
#include <memory>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

constexpr off_t kMiB = 1 << 20;

class ContentTest : public PosixTest {
 protected:
  File Open(const std::string& name, int flags = O_RDWR | O_CREAT) const {
    return File(open(In(name).c_str(), flags, 0644));
  }
  std::string Read(const File& file, size_t size, off_t offset) const {
    std::string bytes(size, '?');
    const ssize_t got = pread(file.get(), bytes.data(), size, offset);
    EXPECT_GE(got, 0);
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return bytes;
  }
  void Write(const File& file, std::string_view bytes, off_t offset) const {
    ASSERT_EQ(pwrite(file.get(), bytes.data(), bytes.size(), offset),
              static_cast<ssize_t>(bytes.size()));
  }
};

TEST_F(ContentTest, GapsReadAsZeros) {
  const File file = Open("f");
  Write(file, "end", 9 * kMiB);

  EXPECT_EQ(Read(file, 4, 5 * kMiB), std::string(4, '\0'));
  EXPECT_EQ(Read(file, 100, 9 * kMiB), "end");
  EXPECT_EQ(Read(file, 100, 10 * kMiB), "");
  EXPECT_EQ(StatOf(Elsewhere("f")).st_size, 9 * kMiB + 3);
}

TEST_F(ContentTest, WhatATruncationCutStaysAway) {
  const File file = Open("f");
  Write(file, std::string(10'000, 'x'), 0);

  ASSERT_EQ(ftruncate(file.get(), 5000), 0);
  ASSERT_EQ(truncate(Elsewhere("f").c_str(), 8000), 0);

  EXPECT_EQ(Read(file, 10'000, 0), std::string(5000, 'x') + std::string(3000, '\0'));
  EXPECT_EQ(ErrorOf(ftruncate(file.get(), -1)), EINVAL);
  EXPECT_EQ(ErrorOf(truncate(folder().c_str(), 0)), EISDIR);
}

TEST_F(ContentTest, AppendsGoToTheEnd) {
  const File here = Open("f", O_WRONLY | O_CREAT | O_APPEND);
  const File there(open(Elsewhere("f").c_str(), O_WRONLY | O_APPEND));

  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(write(here.get(), "h", 1), 1);
    ASSERT_EQ(write(there.get(), "t", 1), 1);
  }

  const std::string all = Content(In("f"));
  EXPECT_EQ(all.size(), 40u);
  EXPECT_EQ(std::count(all.begin(), all.end(), 't'), 20);
}

TEST_F(ContentTest, FallocateGrowsPunchesAndZeroes) {
  const File file = Open("f");
  Write(file, std::string(20'000, 'x'), 0);

  ASSERT_EQ(ErrorOf(fallocate(file.get(), 0, 0, 30'000)), 0);
  EXPECT_EQ(StatOf(In("f")).st_size, 30'000);
  ASSERT_EQ(ErrorOf(fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, 90'000)), 0);
  EXPECT_EQ(StatOf(In("f")).st_size, 30'000);
  const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  ASSERT_EQ(ErrorOf(fallocate(file.get(), punch, 1000, 10'000)), 0);
  ASSERT_EQ(ErrorOf(fallocate(file.get(), FALLOC_FL_ZERO_RANGE, 15'000, 1000)), 0);

  const std::string expected = std::string(1000, 'x') + std::string(10'000, '\0') +
                               std::string(4000, 'x') + std::string(1000, '\0') +
                               std::string(4000, 'x') + std::string(10'000, '\0');
  EXPECT_EQ(Content(Elsewhere("f")), expected);
  EXPECT_EQ(ErrorOf(fallocate(file.get(), FALLOC_FL_PUNCH_HOLE, 0, 10)), EOPNOTSUPP);
  EXPECT_EQ(ErrorOf(fallocate(file.get(), 0, 0, 0)), EINVAL);
}

TEST_F(ContentTest, SeeksDataAndHoles) {
  const File file = Open("f");
  Write(file, "data", 8 * kMiB + 65'536);
  ASSERT_EQ(ftruncate(file.get(), 20 * kMiB), 0);
  ASSERT_EQ(fsync(file.get()), 0);

  const off_t data = lseek(file.get(), 0, SEEK_DATA);
  EXPECT_GT(data, 8 * kMiB);
  EXPECT_LE(data, 8 * kMiB + 65'536);
  EXPECT_EQ(lseek(file.get(), 0, SEEK_HOLE), 0);
  const off_t hole = lseek(file.get(), data, SEEK_HOLE);
  EXPECT_GE(hole, 8 * kMiB + 65'540);
  EXPECT_LT(hole, 9 * kMiB);
  EXPECT_EQ(ErrorOf(lseek(file.get(), hole, SEEK_DATA)), ENXIO);
  // Of a page that holds anything all is data, also if it is the last and not full.
  Write(file, "data", 20 * kMiB - 100);
  EXPECT_EQ(lseek(file.get(), 20 * kMiB - 100, SEEK_HOLE), 20 * kMiB);
  EXPECT_EQ(ErrorOf(lseek(file.get(), 20 * kMiB, SEEK_HOLE)), ENXIO);
}

TEST_F(ContentTest, IsCopiedInTheKernel) {
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes += static_cast<char>(i * 7 + i / 251);
  Fill(In("from"), bytes);
  const File from = Open("from", O_RDONLY);
  const File to = Open("to");

  off_t read_at = 1000;
  off_t write_at = 5;
  EXPECT_EQ(copy_file_range(from.get(), &read_at, to.get(), &write_at, 100'000, 0), 100'000);
  EXPECT_EQ(Read(to, 200'000, 5), bytes.substr(1000, 100'000));
  const File sent = Open("sent");
  off_t offset = 0;
  while (offset < static_cast<off_t>(bytes.size())) {
    ASSERT_GT(sendfile(sent.get(), from.get(), &offset, bytes.size()), 0);
  }
  EXPECT_EQ(Content(Elsewhere("sent")), bytes);
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const File out(pipes[0]);
  const File in(pipes[1]);
  loff_t at = 100;
  EXPECT_EQ(splice(from.get(), &at, in.get(), nullptr, 4096, 0), 4096);
  const File spliced = Open("spliced");
  EXPECT_EQ(splice(out.get(), nullptr, spliced.get(), nullptr, 4096, 0), 4096);
  EXPECT_EQ(Content(In("spliced")), bytes.substr(100, 4096));
}

TEST_F(ContentTest, DirectWritesAndReads) {
  const File direct = Open("f", O_RDWR | O_CREAT | O_DIRECT);
  ASSERT_TRUE(direct.ok());
  std::unique_ptr<void, decltype(&std::free)> memory(std::aligned_alloc(4096, 8192), std::free);
  std::fill_n(static_cast<char*>(memory.get()), 8192, 'd');

  ASSERT_EQ(pwrite(direct.get(), memory.get(), 8192, 4096), 8192);

  EXPECT_EQ(Content(Elsewhere("f")), std::string(4096, '\0') + std::string(8192, 'd'));
  Fill(Elsewhere("f"), std::string(8192, 'e'));
  EXPECT_EQ(pread(direct.get(), memory.get(), 4096, 0), 4096);
  EXPECT_EQ(static_cast<char*>(memory.get())[100], 'e');
}

TEST_F(ContentTest, TheLimitOfASizeHolds) {
  const std::string path = In("f");
  Fill(path, "");
  const auto write_beyond = [&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const File file(open(path.c_str(), O_WRONLY));
    if (pwrite(file.get(), "x", 1, 999) != 1) return 254;
    return ErrorOf(pwrite(file.get(), "x", 1, 1000));
  };

  EXPECT_EQ(As(Person{0, 0, {}}, write_beyond), EFBIG);
}

}  // namespace
}  // namespace ringfs::posix
