#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstddef>
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
#include "common/async.h"
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
  uint64_t bad = 0;          // blocks found not to be whole
  uint64_t repaired = 0;     // of these, made whole from another member
  uint64_t equalised = 0;    // copies sent to members that had another version
  uint64_t activations = 0;  // buckets made equal as their head
  uint64_t copied = 0;       // blocks copied to here while syncing
};

// How much is being done for others, so that what can wait makes way.
//
// Threads: one.
class Foreground {
 public:
  // Counts a call from its arrival to its answer.
  class Call {
   public:
    explicit Call(Foreground& foreground) : foreground_(foreground) { ++foreground_.calls_; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
      if (--foreground_.calls_ == 0) foreground_.idle_.NotifyAll();
    }

   private:
    Foreground& foreground_;
  };

  explicit Foreground(asio::any_io_executor executor) : idle_(std::move(executor)) {}
  // Returns when there is nothing to make way for, or after `at_most_ms`.
  asio::awaitable<void> MakeWay(int64_t at_most_ms) {
    if (calls_ > 0) co_await idle_.WaitFor(at_most_ms);
  }

 private:
  size_t calls_ = 0;
  Event idle_;
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
        locks(outside.executor),
        foreground(outside.executor) {}

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
  Foreground foreground;
  Counters counters;
  bool stopped = false;
};

// "2/123456/7": pool, data id, index.
std::string Describe(const BlockKey& key);
Failure StaleEpoch(const Context& context, const BucketKey& key);

}  // namespace ringfs::chunkserver
