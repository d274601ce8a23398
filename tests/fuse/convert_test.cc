#include "fuse/convert.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace ringfs::fuse {
namespace {

TEST(ConvertTest, KeepsNanosecondsBeforeAndAfter1970) {
  wire::Attributes attributes;
  attributes.set_mtime_ns(1'500'000'001);
  attributes.set_atime_ns(-1);

  const struct stat stat = ToStat(attributes);

  EXPECT_EQ(stat.st_mtim.tv_sec, 1);
  EXPECT_EQ(stat.st_mtim.tv_nsec, 500'000'001);
  EXPECT_EQ(stat.st_atim.tv_sec, -1);
  EXPECT_EQ(stat.st_atim.tv_nsec, 999'999'999);
}

TEST(ConvertTest, ReadsTheFlagsOfOpen) {
  struct Case {
    int flags;
    bool read, write, append, truncate, sync;
  };
  const Case cases[] = {{O_RDONLY, true, false, false, false, false},
                        {O_RDONLY | O_APPEND, true, false, false, false, false},
                        {O_WRONLY | O_APPEND, false, true, true, false, false},
                        {O_RDWR | O_TRUNC, true, true, false, true, false},
                        {O_RDWR | O_DSYNC, true, true, false, false, true},
                        {O_WRONLY | O_SYNC, false, true, false, false, true}};
  for (const Case& c : cases) {
    const client::OpenMode mode = ToOpenMode(c.flags);

    EXPECT_EQ(mode.read, c.read) << c.flags;
    EXPECT_EQ(mode.write, c.write) << c.flags;
    EXPECT_EQ(mode.append, c.append) << c.flags;
    EXPECT_EQ(mode.truncate, c.truncate) << c.flags;
    EXPECT_EQ(mode.sync, c.sync) << c.flags;
  }
}

}  // namespace
}  // namespace ringfs::fuse
