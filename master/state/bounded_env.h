#pragma once

#include <leveldb/env.h>

#include <string>

namespace ringfs::master {

// The operating system as LevelDB sees it, but for two things.
//
// Tables are read with pread(2). By default LevelDB maps them, and then what it has touched of a large
// database counts as memory of this program, beyond every limit given to its cache.
//
// Space for logs is given to them before it is written (fallocate(2)), so that a sync has no new size
// and no new blocks of the file to store with the bytes. Until it is closed a log ends in zeros, which
// LevelDB passes over when it recovers.
//
// Threads: as leveldb::Env, by any.
class BoundedEnv final : public leveldb::EnvWrapper {
 public:
  BoundedEnv() : EnvWrapper(leveldb::Env::Default()) {}

  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** file) override;
  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override;
};

}  // namespace ringfs::master
