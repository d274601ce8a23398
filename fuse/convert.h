#pragma once

#include <sys/stat.h>

#include "client/filesystem.h"
#include "proto/namespace.pb.h"

struct fuse_entry_param;
struct fuse_file_info;

namespace ringfs::fuse {

// What statvfs(2) counts in.
inline constexpr uint64_t kStatBlockSize = 4096;

struct stat ToStat(const wire::Attributes& attributes);

// With time-outs of 0: nothing is kept.
fuse_entry_param ToEntry(const wire::Attributes& attributes);

// From the flags of open(2).
client::OpenMode ToOpenMode(int flags);

}  // namespace ringfs::fuse
