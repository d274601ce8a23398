#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <tuple>

#include "common/ids.h"
#include "proto/lock.pb.h"

namespace ringfs::client {

enum class HandleId : uint64_t;

// The locks on one inode that callers here were told they hold, and through which open file each was
// taken. A lock that was taken again through another open file counts for both.
//
// Threads: one at a time.
class HeldLocks {
 public:
  // `last` is inclusive.
  void Take(HandleId handle, wire::LockKind kind, uint64_t owner, uint64_t start, uint64_t last);
  // Of whichever open file.
  void Free(wire::LockKind kind, uint64_t owner, uint64_t start, uint64_t last);
  void FreeOwner(wire::LockKind kind, uint64_t owner);
  void FreeHandle(HandleId handle);
  void Clear() { held_.clear(); }

  bool empty() const { return held_.empty(); }
  // Whether a lock is held that was taken through `handle`.
  bool Through(HandleId handle) const;

 private:
  using Key = std::tuple<wire::LockKind, uint64_t, HandleId>;  // kind, owner
  using Ranges = std::map<uint64_t, uint64_t>;                 // start, last; none touch

  std::map<Key, Ranges> held_;  // no entry is empty
};

}  // namespace ringfs::client
