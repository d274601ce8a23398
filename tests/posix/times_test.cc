// The rules of atime, mtime and ctime.
#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

class TimesTest : public PosixTest {
 protected:
  struct Times {
    int64_t atime, mtime, ctime;
  };
  Times TimesOf(const std::string& name) const {
    const struct stat stat = StatOf(In(name));
    return {Nanoseconds(stat.st_atim), Nanoseconds(stat.st_mtim), Nanoseconds(stat.st_ctim)};
  }
  // Which of mtime ('m') and ctime ('c') of `name` `call` moves forward.
  std::string Moves(const std::string& name, const std::function<int()>& call) const {
    const Times before = TimesOf(name);
    // Clocks of local filesystems tick every few milliseconds.
    usleep(10'000);
    EXPECT_EQ(ErrorOf(call()), 0);
    const Times after = TimesOf(name);
    EXPECT_GE(after.mtime, before.mtime);
    EXPECT_GE(after.ctime, before.ctime);
    std::string moved;
    if (after.mtime > before.mtime) moved += 'm';
    if (after.ctime > before.ctime) moved += 'c';
    return moved;
  }
};

TEST_F(TimesTest, AreKeptToTheNanosecond) {
  Fill(In("f"), "x");
  const timespec times[2] = {{1'000'000'000, 123'456'789}, {2'000'000'000, 987'654'321}};

  ASSERT_EQ(ErrorOf(utimensat(AT_FDCWD, In("f").c_str(), times, 0)), 0);

  EXPECT_EQ(Nanoseconds(StatOf(Elsewhere("f")).st_atim), 1'000'000'000'123'456'789);
  EXPECT_EQ(Nanoseconds(StatOf(Elsewhere("f")).st_mtim), 2'000'000'000'987'654'321);
}

TEST_F(TimesTest, BeforeTheEpochAndFarAwayAreKept) {
  Fill(In("f"), "x");
  const timespec times[2] = {{-100, 5}, {4'500'000'000, 0}};

  ASSERT_EQ(ErrorOf(utimensat(AT_FDCWD, In("f").c_str(), times, 0)), 0);

  EXPECT_EQ(StatOf(In("f")).st_atim.tv_sec, -100);
  EXPECT_EQ(StatOf(In("f")).st_mtim.tv_sec, 4'500'000'000);
}

TEST_F(TimesTest, OmittedOnesStayAndNowIsNow) {
  Fill(In("f"), "x");
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(ErrorOf(utimensat(AT_FDCWD, In("f").c_str(), old, 0)), 0);
  const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};

  ASSERT_EQ(ErrorOf(utimensat(AT_FDCWD, In("f").c_str(), times, 0)), 0);

  EXPECT_EQ(StatOf(In("f")).st_atim.tv_sec, 1000);
  EXPECT_GT(StatOf(In("f")).st_mtim.tv_sec, 1'600'000'000);
}

TEST_F(TimesTest, OfASymbolicLinkAreItsOwn) {
  Fill(In("f"), "x");
  ASSERT_EQ(symlink("f", In("l").c_str()), 0);
  const timespec times[2] = {{1000, 0}, {1000, 0}};

  ASSERT_EQ(ErrorOf(utimensat(AT_FDCWD, In("l").c_str(), times, AT_SYMLINK_NOFOLLOW)), 0);

  EXPECT_EQ(StatOf(In("l")).st_mtim.tv_sec, 1000);
  EXPECT_NE(StatOf(In("f")).st_mtim.tv_sec, 1000);
}

TEST_F(TimesTest, OfAFileMoveAsPosixSays) {
  Fill(In("f"), "content");
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  const File file(open(In("f").c_str(), O_RDWR));
  ASSERT_TRUE(file.ok());

  EXPECT_EQ(Moves("f", [&] { return pwrite(file.get(), "y", 1, 0) == 1 ? 0 : -1; }), "mc");
  EXPECT_EQ(Moves("f", [&] { return ftruncate(file.get(), 100); }), "mc");
  EXPECT_EQ(Moves("f", [&] { return fchmod(file.get(), 0600); }), "c");
  EXPECT_EQ(Moves("f", [&] { return fchown(file.get(), 1, 1); }), "c");
  EXPECT_EQ(Moves("f", [&] { return link(In("f").c_str(), In("g").c_str()); }), "c");
  EXPECT_EQ(Moves("f", [&] { return unlink(In("g").c_str()); }), "c");
  EXPECT_EQ(Moves("f", [&] { return fsync(file.get()); }), "");
  char byte = 0;
  EXPECT_EQ(Moves("f", [&] { return pread(file.get(), &byte, 1, 0) == 1 ? 0 : -1; }), "");
}

TEST_F(TimesTest, OfADirectoryMoveWithItsNames) {
  Fill(In("other"), "");
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  const std::string inner = In("d/n");

  EXPECT_EQ(Moves("d", [&] { return mknod(inner.c_str(), S_IFREG | 0644, 0); }), "mc");
  EXPECT_EQ(Moves("d", [&] { return truncate(inner.c_str(), 5); }), "");
  EXPECT_EQ(Moves("d", [&] { return rename(inner.c_str(), In("d/m").c_str()); }), "mc");
  EXPECT_EQ(Moves("d", [&] { return unlink(In("d/m").c_str()); }), "mc");
  EXPECT_EQ(Moves("d", [&] { return mkdir(inner.c_str(), 0755); }), "mc");
  EXPECT_EQ(Moves("d", [&] { return rmdir(inner.c_str()); }), "mc");
  EXPECT_EQ(Moves("d", [&] { return symlink("x", inner.c_str()); }), "mc");
  EXPECT_EQ(Moves("d", [&] { return rename(In("other").c_str(), inner.c_str()); }), "mc");
  EXPECT_EQ(Moves("d", [&] { return chmod(In("d").c_str(), 0700); }), "c");
}

TEST_F(TimesTest, AccessIsNotedWhenItIsOlderThanTheContent) {
  Fill(In("f"), "content");
  const timespec old[2] = {{1000, 0}, {2000, 0}};
  ASSERT_EQ(ErrorOf(utimensat(AT_FDCWD, In("f").c_str(), old, 0)), 0);

  EXPECT_EQ(Content(In("f")), "content");

  int64_t noted = 0;
  for (int i = 0; i < 500 && noted < 1'600'000'000; ++i) {  // a mount may note it a little later
    noted = StatOf(In("f")).st_atim.tv_sec;
    usleep(10'000);
  }
  EXPECT_GT(noted, 1'600'000'000);
  EXPECT_EQ(StatOf(In("f")).st_mtim.tv_sec, 2000);
}

TEST_F(TimesTest, MayBeSetToNowByWritersButOtherwiseOnlyByTheOwner) {
  Fill(In("f"), "x");
  ASSERT_EQ(chmod(In("f").c_str(), 0666), 0);
  const std::string path = In("f");
  const timespec past[2] = {{1000, 0}, {1000, 0}};

  EXPECT_EQ(As(Person(), [&] { return ErrorOf(utimensat(AT_FDCWD, path.c_str(), nullptr, 0)); }),
            0);
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(utimensat(AT_FDCWD, path.c_str(), past, 0)); }),
            EPERM);
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(utimensat(AT_FDCWD, path.c_str(), nullptr, 0)); }),
            EACCES);
}

}  // namespace
}  // namespace ringfs::posix
