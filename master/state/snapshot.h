#pragma once

#include <leveldb/db.h>

#include <cstddef>
#include <memory>
#include <string>

#include "common/result.h"

namespace ringfs::master {

// The database as it was at one moment, read from its first key to its last while it goes on.
//
// Borrows: the database.
// Threads: one at a time, whichever; the database may be written meanwhile.
class Snapshot {
 public:
  explicit Snapshot(leveldb::DB& db);
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // The next records as a serialized wire::BackupRecords, which ends with the one that brings it to
  // `size` bytes or more; empty: that was all. kCorrupted, kIo: from the disk.
  Result<std::string> Next(size_t size);

 private:
  leveldb::DB& db_;
  const leveldb::Snapshot* snapshot_;
  std::unique_ptr<leveldb::Iterator> next_;
};

}  // namespace ringfs::master
