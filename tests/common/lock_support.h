#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/locks/lock_table.h"

namespace ringfs {

// A lock table with short calls, and a store that its records are written to.
class LockBench {
 public:
  struct Who {
    uint64_t session = 1;
    uint64_t owner = 1;
    int32_t pid = 0;
    uint64_t handle = 0;
    uint64_t inode = 7;
    wire::LockKind kind = wire::LOCK_RANGE;
  };

  // "granted", "queued", or the name of the error. `waiter` 0: without waiting.
  std::string Set(Who who, wire::LockType type, uint64_t start, uint64_t last, uint64_t waiter = 0);
  std::string Shared(Who who, uint64_t start, uint64_t last, uint64_t waiter = 0) {
    return Set(who, wire::LOCK_SHARED, start, last, waiter);
  }
  std::string Exclusive(Who who, uint64_t start, uint64_t last, uint64_t waiter = 0) {
    return Set(who, wire::LOCK_EXCLUSIVE, start, last, waiter);
  }
  void Unlock(Who who, uint64_t start, uint64_t last) {
    EXPECT_EQ(Set(who, wire::LOCK_UNLOCK, start, last), "granted");
  }
  bool Cancel(Who who, uint64_t waiter);
  void CloseOwner(Who who);
  void CloseHandle(Who who);
  void EndSession(uint64_t session);

  // The waiters granted since the last call, in order: "session/waiter ...".
  std::string TakeGrants();

  // "S 0-9 1/2" (type, range, session/owner), sorted by start; waits follow as "S? ...".
  std::string Listing(uint64_t inode = 7) const;

  // Replaces the table by one that is loaded from the records.
  void Restart();

  LockTable& table() { return table_; }
  const std::map<std::pair<uint64_t, uint64_t>, wire::LockRecord>& stored() const {
    return stored_;
  }
  uint64_t last_grant() const { return last_grant_; }

 private:
  void Persist(LockChanges& changes);

  LockTable table_;
  std::map<std::pair<uint64_t, uint64_t>, wire::LockRecord> stored_;  // by inode, id
  uint64_t stored_counter_ = 0;
  uint64_t last_grant_ = 0;
  int64_t time_ns_ = 1000;
  std::vector<std::string> grants_;
};

using Who = LockBench::Who;

inline Who Flock(uint64_t session, uint64_t owner = 1) {
  return Who{.session = session, .owner = owner, .kind = wire::LOCK_FLOCK};
}

}  // namespace ringfs
