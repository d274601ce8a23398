#pragma once

#include <leveldb/status.h>

#include "common/result.h"

namespace ringfs::master {

// The error of a LevelDB call that failed: kCorrupted or kIo, with its words.
inline Error FromStatus(const leveldb::Status& status) {
  return Error{status.IsCorruption() ? Errc::kCorrupted : Errc::kIo, status.ToString()};
}

}  // namespace ringfs::master
