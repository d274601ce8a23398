// rename(2) and renameat2(2).
#include <cstdio>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

class RenameTest : public PosixTest {
 protected:
  int Rename(const std::string& from, const std::string& to, unsigned flags = 0) const {
    return ErrorOf(renameat2(AT_FDCWD, In(from).c_str(), AT_FDCWD, In(to).c_str(), flags));
  }
  void MakeDirectory(const std::string& name) const {
    ASSERT_EQ(mkdir(In(name).c_str(), 0755), 0) << name;
  }
};

TEST_F(RenameTest, ReplacesAFileThatIsOpen) {
  Fill(In("old"), "old content");
  Fill(In("new"), "new");
  const File file(open(In("old").c_str(), O_RDONLY));
  ASSERT_TRUE(file.ok());

  ASSERT_EQ(Rename("new", "old"), 0);

  EXPECT_EQ(Content(Elsewhere("old")), "new");
  EXPECT_EQ(ErrorOf(access(Elsewhere("new").c_str(), F_OK)), ENOENT);
  char bytes[32] = {};
  EXPECT_EQ(read(file.get(), bytes, sizeof bytes), 11);
  EXPECT_STREQ(bytes, "old content");
}

TEST_F(RenameTest, NoreplaceRefusesAndExchangeSwaps) {
  Fill(In("f"), "file");
  MakeDirectory("d");
  MakeDirectory("d/sub");

  EXPECT_EQ(Rename("f", "d", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(Rename("f", "none", RENAME_EXCHANGE), ENOENT);
  EXPECT_EQ(Rename("f", "d", RENAME_EXCHANGE), 0);

  EXPECT_EQ(Content(Elsewhere("d")), "file");
  EXPECT_EQ(StatOf(Elsewhere("f")).st_nlink, 3u);
  EXPECT_EQ(Rename("d", "g", RENAME_NOREPLACE), 0);
  EXPECT_EQ(Content(In("g")), "file");
  EXPECT_EQ(Rename("f", "g", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
}

TEST_F(RenameTest, ExchangeAcrossDirectoriesKeepsLinkCounts) {
  MakeDirectory("a");
  MakeDirectory("b");
  MakeDirectory("a/d");
  Fill(In("b/f"), "x");

  ASSERT_EQ(Rename("a/d", "b/f", RENAME_EXCHANGE), 0);

  EXPECT_EQ(StatOf(In("a")).st_nlink, 2u);
  EXPECT_EQ(StatOf(In("b")).st_nlink, 3u);
  EXPECT_EQ(StatOf(In("b/f/..")).st_ino, StatOf(In("b")).st_ino);
}

TEST_F(RenameTest, OfOneNameOfAFileToAnotherDoesNothing) {
  Fill(In("f"), "x");
  ASSERT_EQ(link(In("f").c_str(), In("g").c_str()), 0);

  ASSERT_EQ(Rename("f", "g"), 0);

  EXPECT_EQ(Content(In("f")), "x");
  EXPECT_EQ(StatOf(In("g")).st_nlink, 2u);
}

TEST_F(RenameTest, Errors) {
  Fill(In("f"), "x");
  MakeDirectory("d");
  MakeDirectory("d/sub");
  MakeDirectory("empty");

  EXPECT_EQ(Rename("none", "x"), ENOENT);
  EXPECT_EQ(Rename("f", "none/x"), ENOENT);
  EXPECT_EQ(Rename("f", "d"), EISDIR);
  EXPECT_EQ(Rename("d", "f"), ENOTDIR);
  EXPECT_EQ(Rename("empty", "d"), ENOTEMPTY);
  EXPECT_EQ(Rename("d", "d/sub/x"), EINVAL);
  EXPECT_EQ(Rename("d", "d/x"), EINVAL);
  EXPECT_EQ(Rename("d/sub", "d"), ENOTEMPTY);
  EXPECT_EQ(Rename("f", "f/x"), ENOTDIR);
  EXPECT_EQ(Rename("d/.", "x"), EBUSY);
  EXPECT_EQ(Rename("d", "empty"), 0);
  EXPECT_EQ(StatOf(In("empty")).st_nlink, 3u);
}

TEST_F(RenameTest, MovesAnothersDirectoryOnlyWithWriteAccessToIt) {
  MakeDirectory("a");
  MakeDirectory("b");
  MakeDirectory("a/d");
  ASSERT_EQ(chmod(In("a").c_str(), 0777), 0);
  ASSERT_EQ(chmod(In("b").c_str(), 0777), 0);
  const std::string from = In("a/d");
  const std::string to = In("b/d");

  // Its ".." would change.
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(rename(from.c_str(), to.c_str())); }), EACCES);
  ASSERT_EQ(chmod(from.c_str(), 0777), 0);
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(rename(from.c_str(), to.c_str())); }), 0);
  EXPECT_EQ(StatOf(In("b/d/..")).st_ino, StatOf(In("b")).st_ino);
}

}  // namespace
}  // namespace ringfs::posix
