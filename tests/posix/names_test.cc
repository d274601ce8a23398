// Names, links, symbolic links and the errors of paths.
#include <sys/wait.h>

#include <algorithm>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

class NamesTest : public PosixTest {};

TEST_F(NamesTest, MayHave255Bytes) {
  const std::string longest(255, 'n');
  const std::string bytes = "\xff\xfe\x01 \n";

  Fill(In(longest), "x");
  Fill(In(bytes), "y");

  EXPECT_EQ(Content(Elsewhere(longest)), "x");
  EXPECT_EQ(Content(Elsewhere(bytes)), "y");
  EXPECT_EQ(ErrorOf(open(In(longest + "n").c_str(), O_CREAT | O_WRONLY, 0644)), ENAMETOOLONG);
  EXPECT_EQ(ErrorOf(mkdir(In(longest + "n").c_str(), 0755)), ENAMETOOLONG);
  EXPECT_EQ(ErrorOf(rename(In(longest).c_str(), In(longest + "n").c_str())), ENAMETOOLONG);
  EXPECT_EQ(ErrorOf(access(In(std::string(5000, '/')).c_str(), F_OK)), ENAMETOOLONG);
}

TEST_F(NamesTest, ErrorsOfPaths) {
  Fill(In("f"), "x");
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  Fill(In("d/f"), "x");
  ASSERT_EQ(symlink("loop", In("loop").c_str()), 0);

  EXPECT_EQ(ErrorOf(open(In("none").c_str(), O_RDONLY)), ENOENT);
  EXPECT_EQ(ErrorOf(open(In("none/f").c_str(), O_CREAT | O_RDWR, 0644)), ENOENT);
  EXPECT_EQ(ErrorOf(open(In("f/f").c_str(), O_RDONLY)), ENOTDIR);
  EXPECT_EQ(ErrorOf(open(In("f").c_str(), O_RDONLY | O_DIRECTORY)), ENOTDIR);
  EXPECT_EQ(ErrorOf(open(In("d").c_str(), O_WRONLY)), EISDIR);
  EXPECT_EQ(ErrorOf(open(In("loop").c_str(), O_RDONLY)), ELOOP);
  EXPECT_EQ(ErrorOf(open(In("loop").c_str(), O_RDONLY | O_NOFOLLOW)), ELOOP);
  EXPECT_EQ(ErrorOf(unlink(In("d").c_str())), EISDIR);
  EXPECT_EQ(ErrorOf(rmdir(In("d").c_str())), ENOTEMPTY);
  EXPECT_EQ(ErrorOf(rmdir(In("f").c_str())), ENOTDIR);
  EXPECT_EQ(ErrorOf(rmdir(In("d/.").c_str())), EINVAL);
  EXPECT_EQ(ErrorOf(mkdir(In("d").c_str(), 0755)), EEXIST);
  EXPECT_EQ(ErrorOf(mkdir(In("f").c_str(), 0755)), EEXIST);
  EXPECT_EQ(ErrorOf(link(In("d").c_str(), In("e").c_str())), EPERM);
  EXPECT_EQ(ErrorOf(link(In("f").c_str(), In("d").c_str())), EEXIST);
  EXPECT_EQ(ErrorOf(open(In("f").c_str(), O_CREAT | O_EXCL | O_RDWR, 0644)), EEXIST);
  EXPECT_EQ(ErrorOf(open(In("loop").c_str(), O_CREAT | O_EXCL | O_RDWR, 0644)), EEXIST);
}

TEST_F(NamesTest, LinkCountsOfDirectoriesCountSubdirectories) {
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  EXPECT_EQ(StatOf(In("d")).st_nlink, 2u);
  ASSERT_EQ(mkdir(In("d/a").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(In("d/b").c_str(), 0755), 0);
  Fill(In("d/f"), "x");

  EXPECT_EQ(StatOf(Elsewhere("d")).st_nlink, 4u);
  ASSERT_EQ(rename(In("d/a").c_str(), In("d/b/a").c_str()), 0);
  EXPECT_EQ(StatOf(Elsewhere("d")).st_nlink, 3u);
  EXPECT_EQ(StatOf(Elsewhere("d/b")).st_nlink, 3u);
  ASSERT_EQ(rmdir(In("d/b/a").c_str()), 0);
  EXPECT_EQ(StatOf(Elsewhere("d/b")).st_nlink, 2u);
}

TEST_F(NamesTest, HardLinksAcrossDirectoriesAreOneFile) {
  ASSERT_EQ(mkdir(In("a").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(In("b").c_str(), 0755), 0);
  Fill(In("a/f"), "first");

  ASSERT_EQ(link(In("a/f").c_str(), In("b/g").c_str()), 0);

  EXPECT_EQ(StatOf(In("a/f")).st_ino, StatOf(In("b/g")).st_ino);
  EXPECT_EQ(StatOf(In("a/f")).st_nlink, 2u);
  Fill(In("b/g"), "second");
  EXPECT_EQ(Content(In("a/f")), "second");
  ASSERT_EQ(unlink(In("a/f").c_str()), 0);
  EXPECT_EQ(StatOf(In("b/g")).st_nlink, 1u);
  EXPECT_EQ(Content(In("b/g")), "second");
}

TEST_F(NamesTest, SymbolicLinksKeepTheirText) {
  const std::string longest(4095, 't');

  ASSERT_EQ(symlink(longest.c_str(), In("l").c_str()), 0);

  std::string text(5000, '\0');
  EXPECT_EQ(readlink(Elsewhere("l").c_str(), text.data(), text.size()), 4095);
  EXPECT_EQ(StatOf(In("l")).st_size, 4095);
  EXPECT_EQ(StatOf(In("l")).st_mode, S_IFLNK | 0777u);
  EXPECT_EQ(ErrorOf(symlink("", In("m").c_str())), ENOENT);
  EXPECT_EQ(ErrorOf(readlink(In("none").c_str(), text.data(), 1)), ENOENT);
}

TEST_F(NamesTest, OnlyOneOfManyCreatesExclusively) {
  constexpr int kProcesses = 8;
  constexpr int kRounds = 20;
  for (int i = 0; i < kProcesses; ++i) {
    const bool here = i % 2 == 0;
    if (fork() != 0) continue;
    int won = 0;
    for (int round = 0; round < kRounds; ++round) {
      const std::string name = "x" + std::to_string(round);
      const std::string path = here ? In(name) : Elsewhere(name);
      if (open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644) >= 0) ++won;
    }
    _exit(won);
  }
  int won = 0;
  for (int i = 0; i < kProcesses; ++i) {
    int status = 0;
    ASSERT_GT(wait(&status), 0);
    won += WEXITSTATUS(status);
  }

  EXPECT_EQ(won, kRounds);
}

TEST_F(NamesTest, ARemovedFileLivesUntilItIsClosed) {
  Fill(In("f"), "content");
  const File file(open(In("f").c_str(), O_RDWR));
  ASSERT_TRUE(file.ok());

  ASSERT_EQ(unlink(Elsewhere("f").c_str()), 0);

  EXPECT_EQ(ErrorOf(access(In("f").c_str(), F_OK)), ENOENT);
  ASSERT_EQ(pwrite(file.get(), "C", 1, 0), 1);
  char bytes[8] = {};
  EXPECT_EQ(pread(file.get(), bytes, sizeof bytes, 0), 7);
  EXPECT_STREQ(bytes, "Content");
  struct stat stat {};
  ASSERT_EQ(fstat(file.get(), &stat), 0);
  EXPECT_EQ(stat.st_nlink, 0u);
  EXPECT_EQ(stat.st_size, 7);
}

TEST_F(NamesTest, ARemovedDirectoryHasNothingInIt) {
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  const File directory(open(In("d").c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_TRUE(directory.ok());
  Fill(In("f"), "x");

  ASSERT_EQ(rmdir(In("d").c_str()), 0);

  // What the filesystem does of this in the background must make no difference.
  for (int i = 0; i < 5; ++i) {
    struct stat stat {};
    EXPECT_EQ(ErrorOf(fstat(directory.get(), &stat)), 0);
    EXPECT_EQ(stat.st_nlink, 0u);
    EXPECT_EQ(ErrorOf(openat(directory.get(), "n", O_CREAT | O_RDWR, 0644)), ENOENT);
    EXPECT_EQ(ErrorOf(faccessat(directory.get(), "n", F_OK, 0)), ENOENT);
    EXPECT_EQ(ErrorOf(mkdirat(directory.get(), "n", 0755)), ENOENT);
    EXPECT_EQ(ErrorOf(symlinkat("x", directory.get(), "n")), ENOENT);
    EXPECT_EQ(ErrorOf(linkat(AT_FDCWD, In("f").c_str(), directory.get(), "n", 0)), ENOENT);
    EXPECT_EQ(ErrorOf(renameat(AT_FDCWD, In("f").c_str(), directory.get(), "n")), ENOENT);
    usleep(300'000);
  }
}

TEST_F(NamesTest, APathDescriptorOutlivesTheName) {
  Fill(In("f"), "x");
  const File path(open(In("f").c_str(), O_PATH));
  ASSERT_TRUE(path.ok());

  ASSERT_EQ(unlink(In("f").c_str()), 0);
  usleep(1'500'000);  // the filesystem may collect what nobody has open

  struct stat stat {};
  EXPECT_EQ(ErrorOf(fstat(path.get(), &stat)), 0);
  EXPECT_EQ(stat.st_nlink, 0u);
  char byte = 0;
  EXPECT_EQ(ErrorOf(read(path.get(), &byte, 1)), EBADF);
}

}  // namespace
}  // namespace ringfs::posix
