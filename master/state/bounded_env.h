#pragma once

#include <leveldb/env.h>

#include <string>

namespace ringfs::master {

// The operating system as LevelDB sees it, but for one thing: tables are read with pread(2). By
// default LevelDB maps them, and then what it has touched of a large database counts as memory of
// this program, beyond every limit given to its cache.
//
// Threads: as leveldb::Env, by any.
class BoundedEnv final : public leveldb::EnvWrapper {
 public:
  BoundedEnv() : EnvWrapper(leveldb::Env::Default()) {}

  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** file) override;
};

}  // namespace ringfs::master
