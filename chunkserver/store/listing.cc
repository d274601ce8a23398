#include <algorithm>
#include <iterator>
#include <utility>

#include "chunkserver/store/store_core.h"

namespace ringfs::chunkserver {
namespace {

// Up to `limit` keys of `set` from `at` on while `belongs`.
template <typename Set, typename Belongs, typename KeyOf>
std::vector<BlockKey> TakeKeys(const Set& set, typename Set::const_iterator at, size_t limit,
                               Belongs belongs, KeyOf key_of) {
  std::vector<BlockKey> keys;
  for (; at != set.end() && keys.size() < limit && belongs(*at); ++at) {
    keys.push_back(key_of(*at));
  }
  return keys;
}

}  // namespace

Result<std::optional<BlockInfo>> ChunkStore::Core::Current(const BlockKey& key,
                                                           std::optional<BlockInfo> indexed) {
  const BlockEntryPtr entry = table_.Find(key);
  if (entry) {
    const std::shared_lock lock(entry->lock);
    if (entry->state) {
      const BlockState& state = *entry->state;
      return state.present
                 ? std::optional(BlockInfo{key, state.version, state.length, state.digest})
                 : std::nullopt;
    }
  }
  if (indexed) {
    return indexed;
  }
  return index_->Find(key);
}

// `dirty` and `indexed` give what follows a key, at most `limit`, in one and the same order.
template <typename Dirty, typename Indexed>
Result<std::vector<BlockInfo>> ChunkStore::Core::Merge(size_t limit, std::optional<BlockKey> after,
                                                       Dirty dirty, Indexed indexed) {
  if (Result<void> health = CheckHealth(); !health) {
    return Fail(health.error());
  }
  std::vector<BlockInfo> found;
  bool more = limit > 0;
  while (more && found.size() < limit) {
    // In this order: a block that leaves the one before it is looked for there is in the other.
    const std::vector<BlockKey> changed = dirty(after, limit);
    Result<std::vector<BlockInfo>> stored = indexed(after, limit);
    if (!stored) {
      return IndexFailed(stored.error());
    }
    std::map<BlockKey, std::optional<BlockInfo>> all;
    for (const BlockKey& key : changed) {
      all.emplace(key, std::nullopt);
    }
    for (BlockInfo& info : *stored) {
      const BlockKey key = info.key;
      all.insert_or_assign(key, std::move(info));
    }
    // Beyond the end of a list that was cut, the other list alone says nothing.
    std::optional<BlockKey> horizon;
    if (changed.size() == limit) {
      horizon = changed.back();
    }
    if (stored->size() == limit) {
      horizon = horizon ? std::min(*horizon, stored->back().key) : stored->back().key;
    }
    more = horizon.has_value();
    for (auto& [key, info] : all) {
      if (found.size() == limit || (horizon && key > *horizon)) {
        break;
      }
      Result<std::optional<BlockInfo>> current = Current(key, std::move(info));
      if (!current) {
        return IndexFailed(current.error());
      }
      if (*current) {
        found.push_back(**current);
      }
      after = key;
    }
  }
  return found;
}

Result<std::vector<BlockInfo>> ChunkStore::Core::List(PoolId pool, BucketId bucket,
                                                      std::optional<BlockKey> after, size_t limit) {
  const BucketKey wanted(pool, bucket);
  const auto dirty = [&](std::optional<BlockKey> from, size_t most) {
    const std::lock_guard lock(listing_mutex_);
    const auto at = from
                        ? dirty_by_bucket_.upper_bound({wanted, *from})
                        : dirty_by_bucket_.lower_bound({wanted, BlockKey{PoolId{0}, DataId{0}, 0}});
    return TakeKeys(
        dirty_by_bucket_, at, most, [&](const auto& item) { return item.first == wanted; },
        [](const auto& item) { return item.second; });
  };
  const auto indexed = [&](std::optional<BlockKey> from, size_t most) {
    return index_->ListBucket(pool, bucket, from, most);
  };
  return Merge(limit, after, dirty, indexed);
}

Result<std::vector<BlockInfo>> ChunkStore::Core::ListData(PoolId pool, DataId data, uint32_t from,
                                                          size_t limit) {
  const auto belongs = [&](const BlockKey& key) { return key.pool == pool && key.data == data; };
  const auto dirty = [&](std::optional<BlockKey> after, size_t most) {
    const std::lock_guard lock(listing_mutex_);
    const auto at = after ? dirty_by_data_.upper_bound(*after)
                          : dirty_by_data_.lower_bound(BlockKey{pool, data, from});
    return TakeKeys(dirty_by_data_, at, most, belongs, [](const BlockKey& key) { return key; });
  };
  const auto indexed = [&](std::optional<BlockKey> after,
                           size_t most) -> Result<std::vector<BlockInfo>> {
    std::vector<BlockInfo> infos;
    if (after && after->index == UINT32_MAX) {
      return infos;
    }
    const Result<std::vector<BlockKey>> keys =
        index_->ListData(pool, data, after ? after->index + 1 : from, most);
    if (!keys) {
      return Fail(keys.error());
    }
    for (const BlockKey& key : *keys) {
      const Result<std::optional<BlockInfo>> info = index_->Find(key);
      if (!info) {
        return Fail(info.error());
      }
      // One that was removed since has its entry in memory, which says so.
      infos.push_back(*info ? **info : BlockInfo{key, {}, 0, 0});
    }
    return infos;
  };
  return Merge(limit, std::nullopt, dirty, indexed);
}

std::vector<BucketUsage> ChunkStore::Core::Buckets() const {
  const std::lock_guard lock(listing_mutex_);
  std::vector<BucketUsage> buckets;
  buckets.reserve(bucket_blocks_.size());
  for (const auto& [bucket, blocks] : bucket_blocks_) {
    buckets.push_back({bucket.first, bucket.second, blocks});
  }
  return buckets;
}

bool ChunkStore::Core::HoldsBucket(PoolId pool, BucketId bucket) const {
  const std::lock_guard lock(listing_mutex_);
  return bucket_blocks_.contains({pool, bucket});
}

Result<StoreUsage> ChunkStore::Core::Usage() {
  const Result<uint64_t> available = space_.AvailableBytes();
  if (!available) {
    return Fail(available.error());
  }
  StoreUsage usage;
  usage.used_bytes = static_cast<uint64_t>(stored_units_.load()) * kChecksumUnit;
  usage.capacity_bytes = usage.used_bytes + *available;
  usage.blocks = static_cast<uint64_t>(blocks_.load());
  return usage;
}

}  // namespace ringfs::chunkserver
