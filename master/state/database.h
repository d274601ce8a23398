#pragma once

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>

#include <memory>
#include <string>

#include "common/result.h"

namespace ringfs::master {

// An open LevelDB, and what it needs while it is open (so it is the last member and goes first).
struct Database {
  std::unique_ptr<leveldb::Env> env;  // null: the one of whoever opened it
  std::unique_ptr<const leveldb::FilterPolicy> filter;
  std::unique_ptr<leveldb::Cache> cache;
  std::unique_ptr<leveldb::DB> db;
};

struct DatabaseLimits {
  size_t block_cache_bytes = 64 << 20;
  size_t write_buffer_bytes = 16 << 20;  // there are two of them
  int open_tables = 1000;                // each with its index and filter in memory, about 60 KiB

  // The parts of `memory_bytes`, half of which is left for what does not grow with the number of
  // files, for compactions, and for what the allocator does not give back.
  static DatabaseLimits Within(uint64_t memory_bytes);
};

// The version of docs/formats/master.md that is written, and the newest that is understood.
inline constexpr uint32_t kFormatVersion = 1;

// Opens, or makes, the database in `directory`. kVersion: it was written by a newer program.
// kWrongCluster: `cluster_id` is not empty and the database is of another. kUnavailable: another
// process has it open. kCorrupted: a restore into it was interrupted, or as the disk says. kIo.
Result<Database> OpenDatabase(const std::string& directory, const std::string& cluster_id = {},
                              const DatabaseLimits& limits = {});

// Files in memory that live as long as this: databases opened on it by the same name can be closed
// and opened again. For tests.
class MemoryDisk {
 public:
  MemoryDisk();
  ~MemoryDisk();
  MemoryDisk(const MemoryDisk&) = delete;
  MemoryDisk& operator=(const MemoryDisk&) = delete;

  Result<Database> Open(const std::string& name, const std::string& cluster_id = {});

 private:
  std::unique_ptr<leveldb::Env> env_;
};

}  // namespace ringfs::master
