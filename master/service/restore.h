#pragma once

#include <cstdint>
#include <string>

#include "common/clock.h"
#include "common/result.h"

namespace ringfs::master {

struct Restored {
  uint64_t records = 0;
  int64_t taken_ns = 0;  // when the backup was taken, by the clock of the master that it is of
};

// Makes the master's database in `directory` from a backup. What was given out after the backup, of
// numbers and of versions, is passed over, and its sessions are ended, since mounts and chunkservers
// have gone on (docs/formats/backup.md). Durable when it returns. Interrupted, it leaves a directory
// that no master starts on. Blocks.
//
// kExists: the directory is not empty. kCorrupted, kVersion, kIo: of the file, found before anything
// is made; the directory stays as it was.
Result<Restored> Restore(const std::string& file, const std::string& directory,
                         const Clock& clock);

}  // namespace ringfs::master
