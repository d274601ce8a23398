#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>
#include <vector>

#include "common/ids.h"

namespace ringfs::master {

// The changes that are applied and not on the disk yet: what they touched, and who was told of them.
//
// A session that keeps its changes, and says them again when the master has lost them, is answered
// before the disk has them; all others hear of a change, and of what they did on top of it, only
// when it is on the disk. So after a restart each session can say its own again, whatever the
// others do, and nobody misses anything. (CephFS's metadata servers answer early in the same way.)
//
// Threads: none of its own and no locks.
class Unflushed {
 public:
  // A change that touched these. `told`: the session that is answered at once; 0: nobody is.
  void Add(uint64_t number, SessionId told, const std::vector<InodeId>& touched);
  // A change that may have touched anything.
  void AddOfAll(uint64_t number) { of_all_ = number; }
  // Changes up to `number` are on the disk.
  void Flushed(uint64_t number);

  // The number up to which changes must be on the disk before the session may hear what it did to,
  // or what it sees of, these; 0: it may at once.
  uint64_t NeededFor(SessionId session, const std::vector<InodeId>& inodes) const;
  // The same, whatever it sees.
  uint64_t NeededForAll(SessionId session) const;

 private:
  struct Mark {
    SessionId told{0};
    uint64_t newest = 0;  // of `told`
    uint64_t others = 0;  // the newest of somebody else; 0: none
  };

  std::unordered_map<InodeId, Mark> marks_;
  std::deque<std::pair<uint64_t, InodeId>> by_number_;
  std::map<SessionId, uint64_t> newest_;  // change, by who was told
  uint64_t of_all_ = 0;
};

}  // namespace ringfs::master
