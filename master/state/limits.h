#pragma once

#include <cstdint>

namespace ringfs::master {

// What POSIX and Linux leave to the filesystem; as ext4 has it where it has a limit.
inline constexpr uint32_t kMaxNameBytes = 255;
inline constexpr uint32_t kMaxLinks = 65000;  // names of a file
inline constexpr uint32_t kMaxDirectoryLinks =
    1u << 31;                                      // subdirectories are not bounded by kMaxLinks
inline constexpr uint32_t kMaxTargetBytes = 4095;  // of a symbolic link
inline constexpr uint32_t kMaxXattrValueBytes = 64 << 10;
inline constexpr uint32_t kMaxXattrBytes = 128 << 10;      // names and values of an inode
inline constexpr uint32_t kMaxXattrNamesBytes = 64 << 10;  // what listxattr(2) can return
inline constexpr uint64_t kMaxFileBytes = INT64_MAX;
inline constexpr uint64_t kMaxInodes = uint64_t{1} << 40;  // only for statfs(2)
inline constexpr uint64_t kDirectoryBytes = 4096;          // what st_size of a directory says
inline constexpr uint64_t kFirstCookie = 3;                // 1 and 2 are left for "." and ".."

}  // namespace ringfs::master
