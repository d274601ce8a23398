#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

// What this machine has mounted, and where a path of it lies in a ringfs filesystem.
namespace ringfs::cli {

// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
struct MountEntry {
  std::string root;        // the directory of the filesystem that is seen at the mountpoint
  std::string mountpoint;  // absolute
  std::string type;        // "fuse.ringfs"
  std::string source;      // of ours: "HOST:PORT[,HOST:PORT...][:/SUBDIR]"

  bool is_ringfs() const { return type == "fuse.ringfs"; }
};

// Lines that do not have this form are left out.
std::vector<MountEntry> ParseMountTable(std::string_view text);
// Of this process. kIo: /proc cannot be read.
Result<std::vector<MountEntry>> ReadMountTable();

// The mount that `path` (absolute, normal, without symbolic links) lies on; null when there is
// none.
const MountEntry* MountOf(const std::vector<MountEntry>& mounts, const std::string& path);
// What is on top at exactly this mountpoint; null when nothing is.
const MountEntry* MountAt(const std::vector<MountEntry>& mounts, const std::string& mountpoint);

struct MountSource {
  std::vector<std::string> masters;  // HOST:PORT
  std::string subdirectory;          // without slashes at its ends
};
// kInvalid: a master is not HOST:PORT, or there is none.
Result<MountSource> ParseMountSource(const std::string& source);

// `path`, made absolute; symbolic links are resolved where the files are there.
std::string AbsolutePath(const std::string& path);

// The path from the root of the ringfs filesystem that `path` (as for MountOf) lies on; none when
// it is on another.
std::optional<std::string> PathInFilesystem(const std::vector<MountEntry>& mounts,
                                            const std::string& path);

}  // namespace ringfs::cli
