#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "fuse/mount.h"

namespace ringfs::fuse {

// What the command line of ringfs-mount (or of mount(8), calling it as mount.ringfs) asks for.
struct MountOptions {
  std::vector<std::string> masters;  // HOST:PORT
  std::string subdirectory;
  std::string source;      // as given, shown in /proc/mounts
  std::string mountpoint;  // absolute
  bool help = false;
  bool version = false;
  bool foreground = false;
  bool as_helper = false;  // called by mount(8), which says what is to be said
  bool fake = false;       // mount -f: do all but mount
  bool read_only = false;
  bool allow_other = true;
  Atime atime = Atime::kRelatime;
  int64_t timeout_ms = 60'000;
  int64_t session_ttl_ms = 0;
  bool caching = true;
  size_t max_dirty_bytes = 64 << 20;
  bool dirsync = false;
  bool sync_on_close = false;
  std::string metrics;   // HOST:PORT to tell figures at; empty: nowhere
  std::string log_file;  // empty: stderr in the foreground, the system's log else
  std::string log_level = "info";
  std::vector<std::string> kernel;  // passed on to libfuse as they are: suid, nodev, ...
};

// kInvalid with one sentence for people.
Result<MountOptions> ParseMountOptions(const std::vector<std::string>& arguments, bool as_helper);

// The text of --help.
std::string MountHelp();

}  // namespace ringfs::fuse
