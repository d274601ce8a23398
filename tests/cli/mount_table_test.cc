#include "cli/mount_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/target.h"

namespace ringfs::cli {
namespace {

using ::testing::ElementsAre;

constexpr const char* kTable =
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "40 22 0:40 / /mnt/shared rw,nosuid shared:7 master:3 - fuse.ringfs 10.0.0.1:4711 "
    "rw,user_id=0\n"
    "41 22 0:41 / /mnt/with\\040blank rw - fuse.ringfs a:1,b:2:/home/ann rw\n"
    "42 40 0:42 / /mnt/shared/inner rw - tmpfs none rw\n"
    "43 22 0:40 /sub/folder /bound rw - fuse.ringfs 10.0.0.1:4711 rw\n"
    "broken line\n";

TEST(MountTableTest, IsReadFromTheKernelsForm) {
  const auto mounts = ParseMountTable(kTable);

  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_EQ(mounts[1].source, "10.0.0.1:4711");
  EXPECT_TRUE(mounts[1].is_ringfs());
  EXPECT_EQ(mounts[2].mountpoint, "/mnt/with blank");
  EXPECT_EQ(mounts[4].root, "/sub/folder");
}

TEST(MountTableTest, ReadsThisMachines) {
  const auto mounts = ReadMountTable();

  ASSERT_TRUE(mounts);
  EXPECT_NE(MountOf(*mounts, "/proc/self"), nullptr);
}

TEST(MountTableTest, SurvivesGarbage) {
  for (const std::string text :
       {"", "\n\n", " - ", "1 2 3 4 5 6 -", "1 2 3 4 5 6 - \\04", "\\\\\\"}) {
    SCOPED_TRACE(text);

    ParseMountTable(text);
  }
}

TEST(MountTableTest, FindsTheMountOfAPath) {
  const auto mounts = ParseMountTable(kTable);
  struct Case {
    const char* path;
    const char* mountpoint;
  };
  const Case cases[] = {{"/", "/"},
                        {"/mnt", "/"},
                        {"/mnt/shared", "/mnt/shared"},
                        {"/mnt/shared/a/b", "/mnt/shared"},
                        {"/mnt/sharedmore", "/"},
                        {"/mnt/shared/inner/a", "/mnt/shared/inner"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);

    const MountEntry* found = MountOf(mounts, c.path);

    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->mountpoint, c.mountpoint);
  }
  EXPECT_NE(MountAt(mounts, "/mnt/shared"), nullptr);
  EXPECT_EQ(MountAt(mounts, "/mnt/shared/a"), nullptr);
}

TEST(MountTableTest, TakesTheMountOnTop) {
  const auto mounts = ParseMountTable(
      "1 0 0:1 / /m rw - fuse.ringfs a:1 rw\n"
      "2 1 0:2 / /m rw - fuse.ringfs b:2 rw\n");

  EXPECT_EQ(MountOf(mounts, "/m/file")->source, "b:2");
  EXPECT_EQ(MountAt(mounts, "/m")->source, "b:2");
}

TEST(MountTableTest, KnowsPathsFromTheRootOfTheFilesystem) {
  const auto mounts = ParseMountTable(kTable);
  struct Case {
    const char* path;
    std::optional<std::string> inside;
  };
  const Case cases[] = {{"/mnt/shared", "/"},
                        {"/mnt/shared/a/b", "/a/b"},
                        {"/mnt/with blank/x", "/home/ann/x"},
                        {"/mnt/with blank", "/home/ann"},
                        {"/bound/x", "/sub/folder/x"},
                        {"/mnt/shared/inner/x", std::nullopt},
                        {"/etc/passwd", std::nullopt}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);

    EXPECT_EQ(PathInFilesystem(mounts, c.path), c.inside);
  }
}

TEST(MountTableTest, ReadsSources) {
  const auto full = ParseMountSource("a:1,[::1]:2:/x/y/");

  ASSERT_TRUE(full);
  EXPECT_THAT(full->masters, ElementsAre("a:1", "[::1]:2"));
  EXPECT_EQ(full->subdirectory, "x/y");
  for (const char* wrong : {"", ",", "a", "a:", "a:x", "a:1,b", ":/x"}) {
    SCOPED_TRACE(wrong);
    EXPECT_EQ(ParseMountSource(wrong).code(), Errc::kInvalid);
  }
}

TEST(TargetTest, PrefersFlagThenEnvironmentThenPlace) {
  const auto mounts = ParseMountTable(kTable);
  Hints hints;
  hints.flag = "flag:1";
  hints.environment = "env:1,env:2";
  hints.file = "/mnt/with blank/f";
  hints.directory = "/mnt/shared";

  EXPECT_THAT(*FindMasters(hints, mounts), ElementsAre("flag:1"));
  hints.flag.clear();
  EXPECT_THAT(*FindMasters(hints, mounts), ElementsAre("env:1", "env:2"));
  hints.environment.clear();
  EXPECT_THAT(*FindMasters(hints, mounts), ElementsAre("a:1", "b:2"));
  hints.file = "/etc";
  EXPECT_THAT(*FindMasters(hints, mounts), ElementsAre("10.0.0.1:4711"));
  hints.directory = "/";
  EXPECT_EQ(FindMasters(hints, mounts).code(), Errc::kNotFound);  // several are mounted
}

TEST(TargetTest, TakesTheOnlyClusterThatIsMounted) {
  // At two places, one of them a folder of it.
  const auto mounts = ParseMountTable(
      "1 0 0:1 / /m rw - fuse.ringfs a:1 rw\n"
      "2 0 0:2 / /n rw - fuse.ringfs a:1:/folder rw\n");

  EXPECT_THAT(*FindMasters(Hints(), mounts), ElementsAre("a:1"));
  EXPECT_EQ(FindMasters(Hints(), {}).code(), Errc::kNotFound);
}

TEST(TargetTest, RefusesWhatIsNoAddress) {
  Hints hints;
  hints.environment = "nonsense";

  EXPECT_EQ(FindMasters(hints, {}).code(), Errc::kInvalid);
}

}  // namespace
}  // namespace ringfs::cli
