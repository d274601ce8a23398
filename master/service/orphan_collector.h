#pragma once

#include <map>
#include <vector>

#include "common/ids.h"
#include "master/service/context.h"
#include "master/state/state_machine.h"

namespace ringfs::master {

// Collects inodes that have no name and that nobody has open. What a session has open is known only
// once it has said so: after a restart of the master nothing is collected until Open(), and a lease
// is recalled first.
//
// Threads: none of its own and no locks.
class OrphanCollector {
 public:
  // These have lost their last name.
  void Add(const std::vector<InodeId>& orphaned);
  // Every session has said what it has open, or has expired: looks at all orphans of the state.
  void Open();
  // Collects what can be collected now, a bounded number at a time; called a few times a second.
  void Collect(Context& context);

 private:
  bool Scan(const StateMachine& state);

  bool open_ = false;
  bool scanning_ = false;    // through the orphans of the state
  InodeId scanned_{0};       // up to here
  std::map<InodeId, int> known_;  // orphans, most of them open; and how often they were looked at
};

}  // namespace ringfs::master
