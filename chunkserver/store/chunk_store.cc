#include "chunkserver/store/chunk_store.h"

#include <algorithm>
#include <utility>

#include "chunkserver/store/store_core.h"

namespace ringfs::chunkserver {
namespace {

constexpr size_t kRemovePage = 256;

}  // namespace

Failure ChunkStore::Core::IndexFailed(const Error& error) {
  journal_.SetFailed(error);
  return Fail(*journal_.failed());
}

Result<void> ChunkStore::Core::CheckHealth() {
  const std::optional<Error> error = journal_.failed();
  return error ? Result<void>(Fail(*error)) : Result<void>();
}

Result<void> ChunkStore::Core::Sync(std::span<const BlockKey> keys) {
  if (Result<void> health = CheckHealth(); !health) {
    return health;
  }
  uint64_t small_lsn = 0;
  uint64_t bulk_lsn = 0;
  for (const BlockKey& key : keys) {
    // What is not in memory is in the index.
    if (const BlockEntryPtr entry = table_.Find(key)) {
      const std::lock_guard lock(journal_.mutex());
      small_lsn = std::max(small_lsn, entry->small_lsn);
      bulk_lsn = std::max(bulk_lsn, entry->bulk_lsn);
    }
  }
  return journal_.Flush(small_lsn, bulk_lsn);
}

Result<void> ChunkStore::Core::SyncAll() {
  if (Result<void> health = CheckHealth(); !health) {
    return health;
  }
  uint64_t lsn = 0;
  {
    const std::lock_guard lock(journal_.mutex());
    lsn = journal_.last_lsn();
  }
  return journal_.Flush(lsn, lsn);
}

std::optional<LastWrite> ChunkStore::Core::LastTag(SessionId session, uint32_t channel) {
  const std::lock_guard lock(journal_.mutex());
  const auto found = tags_.find({session, channel});
  return found == tags_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<SessionId> ChunkStore::Core::TaggedSessions() {
  const std::lock_guard lock(journal_.mutex());
  std::vector<SessionId> sessions;
  for (const auto& [tag, last] : tags_) {
    if (sessions.empty() || sessions.back() != tag.first) {
      sessions.push_back(tag.first);
    }
  }
  return sessions;
}

std::vector<TagRecord> ChunkStore::Core::TagsOf(const BlockKey& key) {
  std::vector<TagRecord> records;
  {
    const std::lock_guard lock(journal_.mutex());
    for (const auto& [tag, last] : tags_) {
      if (last.key == key) {
        records.push_back({WriteTag{tag.first, tag.second, last.sequence}, last.version});
      }
    }
  }
  if (records.size() > kMaxTagRecords) {
    std::sort(records.begin(), records.end(),
              [](const TagRecord& a, const TagRecord& b) { return a.version > b.version; });
    records.resize(kMaxTagRecords);
  }
  return records;
}

bool ChunkStore::Core::HasChanges() {
  const std::lock_guard lock(journal_.mutex());
  return !changes_.blocks.empty() || !changes_.tags.empty();
}

bool ChunkStore::Core::HasFreed() {
  const std::lock_guard lock(journal_.mutex());
  return !changes_.freed.empty();
}

Result<std::unique_ptr<ChunkStore>> ChunkStore::Open(Disk& disk, const StoreExpectation& expected,
                                                     StoreOptions options) {
  Result<std::unique_ptr<Core>> core = Core::Open(disk, expected, std::move(options));
  if (!core) {
    return Fail(core.error());
  }
  return std::unique_ptr<ChunkStore>(new ChunkStore(std::move(*core)));
}

ChunkStore::ChunkStore(std::unique_ptr<Core> core) : core_(std::move(core)) {}
ChunkStore::~ChunkStore() = default;

const StoreIdentity& ChunkStore::identity() const { return core_->identity(); }
std::optional<Error> ChunkStore::failed() const { return core_->failed(); }
Result<void> ChunkStore::Apply(const BlockChange& change, Patience patience) {
  return core_->Apply(change, patience);
}
Result<BlockData> ChunkStore::Read(const BlockKey& key, uint32_t offset, uint32_t length,
                                   Patience patience) {
  return core_->Read(key, offset, length, patience);
}
Result<BlockInfo> ChunkStore::Stat(const BlockKey& key, Patience patience) {
  return core_->Stat(key, patience);
}
Result<BlockCheck> ChunkStore::Verify(const BlockKey& key) { return core_->Verify(key); }
Result<void> ChunkStore::Sync(std::span<const BlockKey> keys) { return core_->Sync(keys); }
Result<void> ChunkStore::SyncAll() { return core_->SyncAll(); }
Result<void> ChunkStore::Remove(const BlockKey& key) { return core_->Remove(key); }

Result<void> ChunkStore::RemoveData(PoolId pool, DataId data, uint32_t from) {
  for (;;) {
    const Result<std::vector<BlockInfo>> page = core_->ListData(pool, data, from, kRemovePage);
    if (!page) {
      return Fail(page.error());
    }
    for (const BlockInfo& block : *page) {
      if (Result<void> removed = core_->Remove(block.key); !removed) {
        return removed;
      }
    }
    if (page->size() < kRemovePage) {
      return {};
    }
  }
}

Result<std::vector<BlockInfo>> ChunkStore::List(PoolId pool, BucketId bucket,
                                                std::optional<BlockKey> after, size_t limit) {
  return core_->List(pool, bucket, after, limit);
}
Result<std::vector<BlockInfo>> ChunkStore::ListData(PoolId pool, DataId data, uint32_t from,
                                                    size_t limit) {
  return core_->ListData(pool, data, from, limit);
}
std::vector<BucketUsage> ChunkStore::Buckets() const { return core_->Buckets(); }
bool ChunkStore::HoldsBucket(PoolId pool, BucketId bucket) const {
  return core_->HoldsBucket(pool, bucket);
}
std::optional<LastWrite> ChunkStore::LastTag(SessionId session, uint32_t channel) const {
  return core_->LastTag(session, channel);
}
std::vector<SessionId> ChunkStore::TaggedSessions() const { return core_->TaggedSessions(); }
std::vector<TagRecord> ChunkStore::TagsOf(const BlockKey& key) const { return core_->TagsOf(key); }
Result<void> ChunkStore::DropTags(SessionId session) { return core_->DropTags(session); }
Result<StoreUsage> ChunkStore::Usage() { return core_->Usage(); }
Result<void> ChunkStore::Checkpoint() { return core_->Checkpoint(); }

}  // namespace ringfs::chunkserver
