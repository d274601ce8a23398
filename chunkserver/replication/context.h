#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "chunkserver/replication/block_locks.h"
#include "chunkserver/replication/buckets.h"
#include "chunkserver/replication/fence.h"
#include "chunkserver/replication/lease.h"
#include "chunkserver/replication/map.h"
#include "chunkserver/replication/seams.h"
#include "common/result.h"

namespace ringfs::chunkserver {

struct Seams {
  asio::any_io_executor executor;
  Timers& timers;
  LocalBlocks& blocks;
  Members& members;
  MasterCalls& master;
};

// What happened, for status and tests.
struct Counters {
  uint64_t repaired = 0;     // blocks made whole from another member
  uint64_t equalised = 0;    // copies sent to members that had another version
  uint64_t activations = 0;  // buckets made equal as their head
  uint64_t copied = 0;       // blocks copied to here while syncing
};

// The state of one chunkserver's part of the protocol, shared by its parts.
//
// Threads: one.
struct Context {
  Context(ServerId server, Seams outside)
      : self(server),
        seams(outside),
        fence(outside.executor, outside.master),
        states(outside.executor),
        locks(outside.executor) {}

  // kNotServing: no lease, or a store that is out may hold blocks of it. kStaleEpoch: another
  // version is current. kNotHead: this server is not its head.
  Result<void> CheckHead(const BucketKey& key, uint64_t bucket_version);
  // As CheckHead, for any serving member.
  Result<void> CheckServing(const BucketKey& key, uint64_t bucket_version);
  // The other servers whose answers a head waits for.
  std::vector<ServerId> Required(const BucketKey& key, uint64_t bucket_version);
  // Ends calls to others and waits that would go on: the program ends, or the bucket has moved on.
  bool Current(const BucketKey& key, uint64_t bucket_version) const {
    return !stopped && map.Find(key).version == bucket_version;
  }
  int64_t Now() const { return seams.timers.NowMs(); }

  const ServerId self;
  const Seams seams;
  ClusterMap map;
  Lease lease;
  Fence fence;
  BucketStates states;
  BlockLocks locks;
  Counters counters;
  bool stopped = false;
};

// "2/123456/7": pool, data id, index.
std::string Describe(const BlockKey& key);
Failure StaleEpoch(const Context& context, const BucketKey& key);

}  // namespace ringfs::chunkserver
