#include "fuse/known_paths.h"

#include <gtest/gtest.h>

namespace ringfs::fuse {
namespace {

TEST(KnownPathsTest, TellsThePathOfWhatWasFound) {
  KnownPaths paths;
  paths.Learn(1, "folder", 10);
  paths.Learn(10, "a\nfile", 11);

  EXPECT_EQ(paths.PathOf(1), "/");
  EXPECT_EQ(paths.PathOf(10), "/folder");
  EXPECT_EQ(paths.PathOf(11), "/folder/a\\x0afile");
  EXPECT_EQ(paths.PathOf(12), "");
}

TEST(KnownPathsTest, FollowsRenames) {
  KnownPaths paths;
  paths.Learn(1, "folder", 10);
  paths.Learn(10, "one", 11);
  paths.Learn(1, "two", 12);

  paths.Moved(10, "one", 1, "three");
  EXPECT_EQ(paths.PathOf(11), "/three");

  paths.Exchanged(1, "three", 1, "two");
  EXPECT_EQ(paths.PathOf(11), "/two");
  EXPECT_EQ(paths.PathOf(12), "/three");

  paths.Moved(1, "unknown", 1, "other");
  EXPECT_EQ(paths.PathOf(11), "/two");
}

TEST(KnownPathsTest, SurvivesACircle) {
  KnownPaths paths;
  paths.Learn(10, "a", 11);
  paths.Learn(11, "b", 10);

  EXPECT_TRUE(paths.PathOf(10).starts_with("?"));
}

TEST(KnownPathsTest, ForgetsWhatIsOldAndKeepsWhatIsUsed) {
  KnownPaths paths(100);
  paths.Learn(1, "used", 2);
  paths.Learn(1, "old", 3);
  for (uint64_t i = 100; i < 1000; ++i) {
    paths.Learn(2, std::to_string(i), i);
    if (i % 50 == 0) paths.Learn(1, "used", 2);
  }

  EXPECT_EQ(paths.PathOf(999), "/used/999");
  EXPECT_EQ(paths.PathOf(3), "");
}

}  // namespace
}  // namespace ringfs::fuse
