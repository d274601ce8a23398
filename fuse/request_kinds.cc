#include "fuse/request_kinds.h"

#include <linux/fuse.h>

namespace ringfs::fuse {

std::vector<CallMetrics::Kind> RequestKinds() {
  return {{FUSE_LOOKUP, "lookup"},       {FUSE_GETATTR, "getattr"},
          {FUSE_SETATTR, "setattr"},     {FUSE_READLINK, "readlink"},
          {FUSE_SYMLINK, "symlink"},     {FUSE_MKNOD, "mknod"},
          {FUSE_MKDIR, "mkdir"},         {FUSE_UNLINK, "unlink"},
          {FUSE_RMDIR, "rmdir"},         {FUSE_RENAME, "rename"},
          {FUSE_RENAME2, "rename2"},     {FUSE_LINK, "link"},
          {FUSE_OPEN, "open"},           {FUSE_CREATE, "create"},
          {FUSE_READ, "read"},           {FUSE_WRITE, "write"},
          {FUSE_STATFS, "statfs"},       {FUSE_RELEASE, "release"},
          {FUSE_FSYNC, "fsync"},         {FUSE_FLUSH, "flush"},
          {FUSE_SETXATTR, "setxattr"},   {FUSE_GETXATTR, "getxattr"},
          {FUSE_LISTXATTR, "listxattr"}, {FUSE_REMOVEXATTR, "removexattr"},
          {FUSE_OPENDIR, "opendir"},     {FUSE_READDIR, "readdir"},
          {FUSE_RELEASEDIR, "releasedir"}, {FUSE_FSYNCDIR, "fsyncdir"},
          {FUSE_GETLK, "getlk"},         {FUSE_SETLK, "setlk"},
          {FUSE_SETLKW, "setlkw"},       {FUSE_FALLOCATE, "fallocate"},
          {FUSE_LSEEK, "lseek"},         {FUSE_COPY_FILE_RANGE, "copy_file_range"}};
}

}  // namespace ringfs::fuse
