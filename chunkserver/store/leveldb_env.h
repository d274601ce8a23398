#pragma once

#include <leveldb/env.h>

#include <memory>

#include "chunkserver/store/disk.h"

namespace ringfs::chunkserver {

// LevelDB's files in a folder of a Disk, so that what a test does to the Disk reaches them too.
// Names that LevelDB uses are paths of the Disk. A file's folder is synced with its first Sync and
// after a rename; there is no log file and no lock of its own (the Disk's lock covers it).
// Borrows `disk`. Threads and time are LevelDB's default ones.
std::unique_ptr<leveldb::Env> MakeLevelDbEnv(Disk& disk);

}  // namespace ringfs::chunkserver
