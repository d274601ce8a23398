#pragma once

#include <cstdint>
#include <vector>

#include "common/ids.h"
#include "proto/cluster.pb.h"
#include "proto/record.pb.h"

namespace ringfs::master {

class StateMachine;

// How far the buckets are from where they should be.
struct Movement {
  uint64_t copying = 0;      // buckets with a member that is being copied to
  uint64_t copies_left = 0;  // wanted members that do not serve yet
  // Since copying began last, if it goes on: copies that have become complete, and the time.
  uint64_t copies_done = 0;
  int64_t elapsed_ns = 0;
};

// Decides which servers hold which bucket. It is told what happens to the servers and answers with
// the commands that follow; it never waits, and reads nothing but the state and what it was told.
// After a restart of the master it begins with what the state says.
//
// Threads: called on the thread of the state machine.
class Membership {
 public:
  virtual ~Membership() = default;
  // `server` is up. `restarted`: it is another run of the program than the one that was up before,
  // or that cannot be known. Called again after each reconnect.
  virtual void ServerRegistered(ServerId server, bool restarted, int64_t now_ns) = 0;
  // The lease of `server` has run out.
  virtual void ServerLost(ServerId server, int64_t now_ns) = 0;
  // An administrator's order has changed the state or the weight of `server`. One that is gone may
  // still serve until ServerLost() follows.
  virtual void ServerChanged(ServerId server, int64_t now_ns) = 0;
  // `server` has caught up with these buckets.
  virtual void BucketsSynced(ServerId server, const std::vector<wire::SyncedBucket>& buckets) = 0;
  // What is to be done now. Asked after each of the calls above and a few times a second; each
  // command returned has been applied before it is asked again.
  virtual std::vector<wire::Command> Decide(const StateMachine& state, int64_t now_ns) = 0;
  // For people to read.
  virtual Movement MeasureMovement(int64_t now_ns) const {
    static_cast<void>(now_ns);
    return {};
  }
};

}  // namespace ringfs::master
