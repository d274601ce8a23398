#include "chunkserver/store/block_table.h"

#include <algorithm>

namespace ringfs::chunkserver {
namespace {

constexpr uint64_t kEntryBytes = 300;  // of an entry with its place in the table
constexpr int kMaxTries = 8;           // entries looked at for one that is added

uint64_t BytesOf(const BlockState& state) {
  return state.clusters.size() * sizeof(ClusterSlot) +
         state.groups.size() * (sizeof(ChecksumGroup) + 32);
}

}  // namespace

BlockEntryPtr BlockTable::Get(const BlockKey& key) {
  Shard& shard = ShardOf(key);
  const std::lock_guard lock(shard.mutex);
  BlockEntryPtr& entry = shard.entries[key];
  if (!entry) {
    entry = std::make_shared<BlockEntry>(key);
  }
  entry->used = true;
  return entry;
}

BlockEntryPtr BlockTable::Find(const BlockKey& key) {
  Shard& shard = ShardOf(key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.entries.find(key);
  return found == shard.entries.end() ? nullptr : found->second;
}

void BlockTable::Settle(const BlockEntryPtr& entry, uint64_t checkpointed_generation) {
  const uint64_t bytes = kEntryBytes + (entry->state ? BytesOf(*entry->state) : 0);
  Shard& shard = ShardOf(entry->key);
  const std::lock_guard lock(shard.mutex);
  shard.bytes += bytes - entry->charge_bytes;
  entry->charge_bytes = bytes;
  if (!entry->queued) {
    entry->queued = true;
    shard.queue.push_back(entry->key);
  }
  if (shard.bytes > shard_bytes_) {
    Evict(&shard, checkpointed_generation);
  }
}

void BlockTable::Evict(Shard* shard, uint64_t checkpointed_generation) {
  for (int tries = 0; tries < kMaxTries && shard->bytes > shard_bytes_ && !shard->queue.empty();
       ++tries) {
    const BlockKey key = shard->queue.front();
    shard->queue.pop_front();
    const auto found = shard->entries.find(key);
    BlockEntry& entry = *found->second;
    // With one owner, the table, nobody holds or waits for the lock, and nobody can come by.
    const bool idle =
        found->second.use_count() == 1 && entry.dirty_generation <= checkpointed_generation;
    if (!idle || entry.used) {
      entry.used = entry.used && !idle;
      shard->queue.push_back(key);
      continue;
    }
    shard->bytes -= entry.charge_bytes;
    shard->entries.erase(found);
  }
}

}  // namespace ringfs::chunkserver
