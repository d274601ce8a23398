#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/defaults.h"
#include "common/ring/ring.h"
#include "master/cluster/bucket_index.h"
#include "master/cluster/cluster_view.h"
#include "master/cluster/server_table.h"
#include "master/cluster/sync_throttle.h"

namespace ringfs::master {

struct PlannerOptions {
  uint32_t initial_servers = 1;       // data is placed when so many are up, or one for each replica
  int64_t grace_ms = 10 * 60 * 1000;  // a server that is down for longer loses its place
  int64_t lease_ms = kServerLeaseMs;  // of chunkservers
  uint32_t syncing_per_server = 32;   // buckets that are copied to a server at once
  uint32_t starts_per_span = 1024;    // buckets whose copying begins in a span
  int64_t span_ms = 100;
  // Reports of members that have caught up are taken together, since each change of the map goes to
  // everybody: so many of a server, or all it can make, or what has come after a span.
  uint32_t reports_together = 16;
  int64_t wish_interval_ms = 1'000;  // the ring is asked at most so often: joins come in groups
};

// How far the buckets are from where they should be.
struct Progress {
  uint64_t healthy = 0;      // buckets with all their copies serving
  uint64_t degraded = 0;     // with fewer
  uint64_t lost = 0;         // served by nobody who is up
  uint64_t moving = 0;       // with a member that is being copied to
  uint64_t copies_left = 0;  // wanted members that do not serve yet
  // Since copying began last, if it goes on: copies that have become complete, and the time.
  uint64_t copies_done = 0;
  int64_t elapsed_ns = 0;
};

// Decides which servers hold which bucket: reacts to what happens to servers, and moves the bucket
// tables towards what the ring wants, a step at a time. Without a clock, threads, or anything read
// but its arguments; the same calls give the same decisions.
//
// Threads: the caller's.
// Invariant: between two calls of Decide() its copy of the bucket tables is as if all that it has
//            decided had been done.
class Planner {
 public:
  explicit Planner(const PlannerOptions& options);

  void ServerRegistered(ServerId server, bool restarted) { servers_.Registered(server, restarted); }
  void ServerLost(ServerId server) { servers_.Lost(server); }
  void ServerChanged(ServerId server) { servers_.Changed(server); }
  // The member `server` of these has caught up. Those whose version is not current mean nothing.
  void BucketsSynced(ServerId server, const std::vector<wire::SyncedBucket>& buckets);

  // What is to be done now; all of it has been done before this is called again. `now_ns` is
  // positive and never goes back.
  std::vector<wire::ChangeMembers> Decide(const ClusterView& view, int64_t now_ns);

  Progress MeasureProgress(int64_t now_ns) const;
  // The memberships of `server`, in whatever state. None: it can be switched off without a loss.
  uint64_t CountHeld(ServerId server) const { return index_.Of(server).size(); }
  std::vector<ServerId> Draining() const { return servers_.Draining(); }

 private:
  using Wishes = std::map<PoolId, WantedTable>;

  void Load(const ClusterView& view, int64_t now_ns);
  void AddPools(const ClusterView& view);
  void DoubtFromBefore(const BucketRef& ref);
  void Confirm(const ClusterView& view);
  void Touch(const ServerTable::Change& change);
  void PlaceFirst();
  void RenewWish(int64_t now_ns);
  bool AskRing(PoolId pool, const std::vector<RingServer>& ring);
  WantedTable MembersOf(PoolId pool) const;
  void TakeReports(int64_t now_ns);
  void Judge(const BucketRef& ref);
  std::vector<ServerId> SyncedAt(const BucketRef& ref, const KnownBucket& bucket) const;
  void Change(const BucketRef& ref, Members members);
  void TakeTime(int64_t now_ns);

  const PlannerOptions options_;
  ServerTable servers_;
  BucketIndex index_;
  SyncThrottle throttle_;
  std::map<PoolId, wire::Pool> pools_;
  Wishes wanted_;
  bool loaded_ = false;
  bool placed_ = false;         // of some pool
  std::set<PoolId> unplaced_;   // nobody has their buckets yet
  int64_t next_wish_ns_ = 0;
  std::set<BucketRef> dirty_;                                               // to be looked at
  std::map<BucketRef, std::vector<std::pair<ServerId, uint64_t>>> synced_;  // reports, by version
  std::map<ServerId, uint32_t> reports_;                                    // how many of synced_
  int64_t reports_since_ns_ = 0;  // the oldest; 0: there is none
  std::set<BucketRef> decided_;   // in the last call of Decide()
  int64_t copying_since_ns_ = 0;  // 0: nothing is being copied
  uint64_t copies_done_ = 0;
};

}  // namespace ringfs::master
