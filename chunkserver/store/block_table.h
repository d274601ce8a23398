#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "chunkserver/store/block_state.h"
#include "common/ids.h"

namespace ringfs::chunkserver {

// A block in memory. Whoever reads the block holds `lock` shared over its I/O, whoever changes it
// holds it alone.
struct BlockEntry {
  explicit BlockEntry(const BlockKey& block_key) : key(block_key) {}

  const BlockKey key;
  std::shared_mutex lock;
  std::shared_ptr<BlockState> state;  // null: not loaded from the index
  // The last records of this block in the two queues of the journal.
  uint64_t small_lsn = 0;
  uint64_t bulk_lsn = 0;
  // The last generation with a change; the index has the state once that is checkpointed.
  uint64_t dirty_generation = 0;

 private:
  friend class BlockTable;
  // Guarded by the shard's mutex.
  uint64_t charge_bytes = 0;
  bool queued = false;
  bool used = false;
};

using BlockEntryPtr = std::shared_ptr<BlockEntry>;

// The blocks in memory by key: one entry a block, so that its lock excludes. Forgets blocks that
// nobody uses and that the index has, from a bound of memory on.
//
// Threads: any. Locks: an entry's lock may be held when a shard's mutex is taken, never the other
//          way round.
class BlockTable {
 public:
  explicit BlockTable(uint64_t cache_bytes) : shard_bytes_(cache_bytes / kShards) {}

  BlockEntryPtr Get(const BlockKey& key);
  BlockEntryPtr Find(const BlockKey& key);  // null when it is not in memory
  // After a use: counts the entry's memory (its lock is held) and makes room when it is too much.
  void Settle(const BlockEntryPtr& entry, uint64_t checkpointed_generation);

 private:
  static constexpr size_t kShards = 32;
  struct Shard {
    std::mutex mutex;
    std::unordered_map<BlockKey, BlockEntryPtr> entries;
    std::deque<BlockKey> queue;  // candidates for being forgotten, the oldest first
    uint64_t bytes = 0;
  };

  Shard& ShardOf(const BlockKey& key) { return shards_[std::hash<BlockKey>()(key) % kShards]; }
  void Evict(Shard* shard, uint64_t checkpointed_generation);

  const uint64_t shard_bytes_;
  std::array<Shard, kShards> shards_;
};

}  // namespace ringfs::chunkserver
