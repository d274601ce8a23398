#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "cli/mount_table.h"
#include "common/result.h"

namespace ringfs::cli {

// A mountpoint as the kernel has it: absolute, with symbolic links resolved. What is mounted there
// is not asked, since it may not answer.
std::string ResolveMountpoint(const std::string& mountpoint);

// The ringfs that is on top there, whoever mounted it.
Result<std::optional<MountEntry>> RingfsAt(const std::string& mountpoint);

// Whether what is mounted there answers. False: its client has died. Waits for one that lives.
bool MountAnswers(const std::string& mountpoint);

struct MountUser {
  pid_t pid = 0;
  std::string name;  // of its program
};
// Processes that have a file of the mount open, run from it or stand in it; as far as /proc shows.
std::vector<MountUser> UsersOf(const std::string& mountpoint);

enum class Unmounting { kOrderly, kLazy };
// kBusy: it is in use (never when lazy).
Result<void> Unmount(const std::string& mountpoint, Unmounting how);

}  // namespace ringfs::cli
