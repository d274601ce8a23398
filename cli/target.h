#pragma once

#include <string>
#include <vector>

#include "cli/mount_table.h"
#include "common/result.h"

namespace ringfs::cli {

// What is known of the cluster that a command is for.
struct Hints {
  std::string flag;         // of --master; empty: not given
  std::string environment;  // RINGFS_MASTER; empty: not set
  std::string file;         // the command is about it, absolute; empty: about none
  std::string directory;    // the current one
};

// The masters to ask, HOST:PORT: those of the flag, else of the environment, else of the mount that
// the file or the current directory lies on, else of the only ringfs that is mounted.
// kInvalid: what was given is not HOST:PORT[,HOST:PORT...]. kNotFound: nothing says which.
Result<std::vector<std::string>> FindMasters(const Hints& hints,
                                             const std::vector<MountEntry>& mounts);

}  // namespace ringfs::cli
