#include "fuse/convert.h"

#include "fuse/lowlevel.h"
//
#include <fcntl.h>

#include "common/clock.h"

namespace ringfs::fuse {
namespace {

// What programs take for a good size of one read or write: each is a round trip or more.
constexpr uint32_t kPreferredIoBytes = 128 << 10;

timespec ToTimespec(int64_t ns) {
  timespec time{};
  time.tv_sec = ns / kNsPerSecond;
  time.tv_nsec = ns % kNsPerSecond;
  if (time.tv_nsec < 0) {  // before 1970
    time.tv_sec -= 1;
    time.tv_nsec += kNsPerSecond;
  }
  return time;
}

}  // namespace

struct stat ToStat(const wire::Attributes& attributes) {
  struct stat stat {};
  stat.st_ino = attributes.inode();
  stat.st_mode = attributes.mode();
  stat.st_nlink = attributes.links();
  stat.st_uid = attributes.uid();
  stat.st_gid = attributes.gid();
  stat.st_rdev = attributes.device();
  stat.st_size = static_cast<off_t>(attributes.size());
  stat.st_blksize = kPreferredIoBytes;
  stat.st_blocks = static_cast<blkcnt_t>((attributes.size() + 511) / 512);
  stat.st_atim = ToTimespec(attributes.atime_ns());
  stat.st_mtim = ToTimespec(attributes.mtime_ns());
  stat.st_ctim = ToTimespec(attributes.ctime_ns());
  return stat;
}

fuse_entry_param ToEntry(const wire::Attributes& attributes) {
  fuse_entry_param entry{};
  entry.ino = attributes.inode();
  entry.attr = ToStat(attributes);
  return entry;
}

client::OpenMode ToOpenMode(int flags) {
  client::OpenMode mode;
  const int access = flags & O_ACCMODE;
  mode.read = access != O_WRONLY;
  mode.write = access != O_RDONLY;
  mode.append = mode.write && (flags & O_APPEND) != 0;
  mode.truncate = (flags & O_TRUNC) != 0;
  mode.direct = (flags & O_DIRECT) != 0;
  mode.sync = (flags & (O_SYNC | O_DSYNC)) != 0;
  return mode;
}

}  // namespace ringfs::fuse
