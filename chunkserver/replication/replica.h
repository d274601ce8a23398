#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <vector>

#include "chunkserver/replication/bucket_sync.h"
#include "chunkserver/replication/context.h"
#include "chunkserver/replication/drop_order.h"
#include "chunkserver/replication/head.h"
#include "chunkserver/replication/member_side.h"
#include "chunkserver/replication/scrub.h"
#include "proto/cluster.pb.h"

namespace ringfs::chunkserver {

// One chunkserver's part of the replication protocol without sockets, disks
// and clocks of its own.
//
// Threads: one.
class Replica {
 public:
  // `self` is the number that the master gave this server.
  Replica(ServerId self, Seams seams);
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  Head& head() { return head_; }
  MemberSide& member() { return member_; }
  Scrub& scrub() { return scrub_; }
  Context& context() { return context_; }

  // A map from the master, complete or what changed.
  Result<void> InstallMap(const wire::ClusterMap& map);
  // The same, of a map that answers a registration.
  Result<void> Registered(const wire::ClusterMap& map);
  // The master answered a registration that was sent at `sent_ms`; its map has been installed.
  void RenewLease(int64_t sent_ms, int64_t lease_ms);
  // The master answered a heartbeat that was sent at `sent_ms`, when its map was at `epoch`.
  // Fetches that map first, and without it the lease is not renewed: others rely on it that a
  // server whose lease was renewed after a change knows of the change.
  asio::awaitable<void> HeartbeatAnswered(int64_t sent_ms, int64_t lease_ms, uint64_t epoch);
  // A client's order, to be carried out durably unless it is a delayed copy. kFenced: its session
  // is not live. Besides: as DropOrder::Begin.
  asio::awaitable<Result<void>> Drop(DropRequest request);
  // Removes the blocks of a data id from index `from` on, durably.
  asio::awaitable<Result<void>> Collect(PoolId pool, DataId data, uint32_t from);
  // Sessions of which drops are remembered; and what to do when one of them has ended.
  std::vector<SessionId> DroppingSessions() const { return drop_order_.Sessions(); }
  void SessionEnded(SessionId session) { drop_order_.Forget(session); }
  // Ends waits and retries; calls that are under way return with errors soon.
  void Stop();

 private:
  Context context_;
  Head head_;
  MemberSide member_;
  BucketSync sync_;
  DropOrder drop_order_;
  Scrub scrub_;
  BlockLocks drops_;  // one drop of a data id at a time, so that none outlives a repetition of it
};

}  // namespace ringfs::chunkserver
