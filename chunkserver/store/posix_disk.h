#pragma once

#include <memory>
#include <string>

#include "chunkserver/store/disk.h"

namespace ringfs::chunkserver {

// The directory `path` of the machine, which is made when it is missing (not its parents).
// kNotFound, kNotDirectory, kAccess, kIo.
Result<std::unique_ptr<Disk>> OpenPosixDisk(const std::string& path);

}  // namespace ringfs::chunkserver
