#pragma once

#include <memory>
#include <string>

#include "chunkserver/store/disk.h"
#include "common/metrics.h"

namespace ringfs::chunkserver {

// What is counted of a disk; null: nobody counts.
struct DiskFigures {
  Histogram* sync_seconds = nullptr;
};

// The directory `path` of the machine, which is made when it is missing (not its parents).
// kNotFound, kNotDirectory, kAccess, kIo.
Result<std::unique_ptr<Disk>> OpenPosixDisk(const std::string& path,
                                            const DiskFigures& figures = {});

}  // namespace ringfs::chunkserver
