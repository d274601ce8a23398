#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

namespace ringfs::locks {

enum class Call { kLock, kLockShared, kRead, kWrite, kSync, kUnlock };

// One call of a client that locks files, and reads and writes one value in each. A client has at
// most one lock at a time.
struct Entry {
  Call call = Call::kLock;
  uint32_t file = 0;
  uint64_t value = 0;  // written, or read. No value is written twice; 0 is there at the start
  int64_t invoked_ns = 0;
  std::optional<int64_t> returned_ns;  // nothing: it never returned
  bool succeeded = false;
};

// The calls of one client, one after the other. The clock is the same for all clients.
struct ClientHistory {
  std::string name;
  std::vector<Entry> entries;
};

struct Verdict {
  std::vector<std::string> violations;  // in words
  size_t holds = 0;                     // locks that were held for sure
  size_t contended = 0;                 // of them, after one of another client on the same file
  size_t lost = 0;                      // locks whose holder was refused something
  size_t writes = 0;
};

// Whether locks did what they are for:
// - Two holds of a file exclude each other unless both are shared. A lock is held for sure from
// when
//   it was answered until the last call under it was begun that succeeded.
// - Under a lock everybody sees the last value that was written and synced under the locks before.
//   A write that failed, never returned or was not synced is there or it is not; once the next
//   holder has looked that is settled, and what was begun after the next lock was given is never
//   there. With `unsynced_may_vanish` it is settled by a sync only.
Verdict Check(const std::vector<ClientHistory>& clients, bool unsynced_may_vanish = false);

// A history as text, one line when a call begins and one when it returns, so that nothing is lost
// with a client that is killed:
//   CALL FILE VALUE NS       CALL: lock, share, read, write, sync, unlock
//   ok VALUE NS  |  error ERRNO NS
// A last line that is cut off is left out. kCorrupted.
Result<ClientHistory> Parse(std::string name, std::istream& text);

}  // namespace ringfs::locks
