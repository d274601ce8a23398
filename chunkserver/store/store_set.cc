#include "chunkserver/store/store_set.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <utility>

#include "common/check.h"

namespace ringfs::chunkserver {
namespace {

// FNV-1a, then a finalizer: which store gets a bucket's new blocks need only be the same while the
// directories are the same.
uint64_t Weight(const std::string& store, PoolId pool, BucketId bucket) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : store) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }
  hash ^= uint64_t{Raw(pool)} << 32 | Raw(bucket);
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9u;
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBu;
  return hash ^ (hash >> 31);
}

}  // namespace

struct StoreSet::Member {
  std::string name;
  std::unique_ptr<Disk> disk;
  std::unique_ptr<ChunkStore> owned;
  std::atomic<ChunkStore*> store = nullptr;  // null: could not be opened, so far
  std::optional<Error> missing;              // why
  std::atomic<bool> abandoned = false;

  ChunkStore* open() const { return store.load(); }
  bool healthy() const { return open() != nullptr && !open()->failed(); }
  bool MayHold(PoolId pool, BucketId bucket) const {
    return open() == nullptr || open()->HoldsBucket(pool, bucket);
  }
};

StoreSet::StoreSet(std::function<BucketId(const BlockKey&)> bucket_of)
    : bucket_of_(std::move(bucket_of)) {}

StoreSet::~StoreSet() = default;

void StoreSet::Add(std::string name, std::unique_ptr<Disk> disk,
                   std::unique_ptr<ChunkStore> store) {
  auto member = std::make_unique<Member>();
  member->name = std::move(name);
  member->disk = std::move(disk);
  member->owned = std::move(store);
  member->store = member->owned.get();
  members_.push_back(std::move(member));
}

void StoreSet::AddMissing(std::string name, Error why) {
  auto member = std::make_unique<Member>();
  member->name = std::move(name);
  member->missing = std::move(why);
  members_.push_back(std::move(member));
}

std::vector<std::string> StoreSet::Missing() const {
  std::vector<std::string> names;
  for (const std::unique_ptr<Member>& member : members_) {
    if (member->open() == nullptr && !member->abandoned) {
      names.push_back(member->name);
    }
  }
  return names;
}

void StoreSet::Return(const std::string& name, std::unique_ptr<Disk> disk,
                      std::unique_ptr<ChunkStore> store) {
  for (const std::unique_ptr<Member>& member : members_) {
    if (member->name == name && member->open() == nullptr && !member->abandoned) {
      member->disk = std::move(disk);
      member->owned = std::move(store);
      member->store = member->owned.get();
      return;
    }
  }
}

// The members that are not failed, the one that new blocks of the bucket go to first.
std::vector<StoreSet::Member*> StoreSet::Ranked(PoolId pool, BucketId bucket) {
  std::vector<std::pair<uint64_t, Member*>> ranked;
  for (const std::unique_ptr<Member>& member : members_) {
    if (member->healthy()) {
      ranked.emplace_back(Weight(member->open()->identity().store, pool, bucket), member.get());
    }
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Member*> members;
  for (const auto& [weight, member] : ranked) {
    members.push_back(member);
  }
  return members;
}

// Where the block is. kNotFound: nowhere. kIo: a store that is out may have it.
Result<ChunkStore*> StoreSet::Locate(const BlockKey& key, Patience patience) {
  const BucketId bucket = bucket_of_(key);
  if (members_.size() == 1 && members_[0]->open() != nullptr) {
    // The store itself says whether it has the block, and whether it has failed.
    return members_[0]->open();
  }
  for (Member* member : Ranked(key.pool, bucket)) {
    if (!member->open()->HoldsBucket(key.pool, bucket)) {
      continue;
    }
    const Result<BlockInfo> info = member->open()->Stat(key, patience);
    if (info) {
      return member->open();
    }
    if (info.code() != Errc::kNotFound && !member->open()->failed()) {
      return Fail(info.error());
    }
  }
  if (MayMiss(key.pool, bucket)) {
    return Fail(Errc::kIo, "a data directory that may hold the block is out");
  }
  return Fail(Errc::kNotFound, "no such block");
}

// Where the block is or, if it is nowhere, is to be.
Result<ChunkStore*> StoreSet::LocateOrPlace(const BlockKey& key, Patience patience) {
  Result<ChunkStore*> found = Locate(key, patience);
  if (found || found.code() != Errc::kNotFound) {
    return found;
  }
  const std::vector<Member*> ranked = Ranked(key.pool, bucket_of_(key));
  if (ranked.empty()) {
    return Fail(Errc::kIo, "every data directory is out");
  }
  return ranked.front()->open();
}

Result<void> StoreSet::Apply(const BlockChange& change, Patience patience) {
  const Result<ChunkStore*> store = LocateOrPlace(change.key, patience);
  return store ? (*store)->Apply(change, patience) : Result<void>(Fail(store.error()));
}

Result<BlockData> StoreSet::Read(const BlockKey& key, uint32_t offset, uint32_t length,
                                Patience patience) {
  const Result<ChunkStore*> store = Locate(key, patience);
  if (!store) {
    return Fail(store.error());
  }
  return (*store)->Read(key, offset, length, patience);
}

Result<BlockInfo> StoreSet::Stat(const BlockKey& key, Patience patience) {
  const Result<ChunkStore*> store = Locate(key, patience);
  if (!store) {
    return Fail(store.error());
  }
  return (*store)->Stat(key, patience);
}

Result<BlockCheck> StoreSet::Verify(const BlockKey& key) {
  const Result<ChunkStore*> store = Locate(key, Patience::kWait);
  if (!store) {
    return Fail(store.error());
  }
  return (*store)->Verify(key);
}

Result<void> StoreSet::Sync(std::span<const BlockKey> keys) {
  if (members_.size() == 1 && members_[0]->open() != nullptr) {
    return members_[0]->open()->Sync(keys);
  }
  // A store has nothing to sync for a block that it does not have. One that has failed may have
  // lost what was applied to it.
  for (const std::unique_ptr<Member>& member : members_) {
    if (member->healthy()) {
      const Result<void> synced = member->open()->Sync(keys);
      if (!synced && !member->open()->failed()) {
        return synced;
      }
    }
  }
  for (const BlockKey& key : keys) {
    if (MayMiss(key.pool, bucket_of_(key))) {
      return Fail(Errc::kIo, "a data directory that may hold the block is out");
    }
  }
  return {};
}

Result<void> StoreSet::SyncAll() {
  return ForEachHealthy([](ChunkStore& store) { return store.SyncAll(); });
}

Result<void> StoreSet::Remove(const BlockKey& key) {
  return ForEachHealthy([&](ChunkStore& store) { return store.Remove(key); });
}

Result<void> StoreSet::RemoveData(PoolId pool, DataId data, uint32_t from) {
  return ForEachHealthy([&](ChunkStore& store) { return store.RemoveData(pool, data, from); });
}

Result<void> StoreSet::DropTags(SessionId session) {
  return ForEachHealthy([&](ChunkStore& store) { return store.DropTags(session); });
}

// A store that fails on the way is out from then on, and so no error of the set.
Result<void> StoreSet::ForEachHealthy(const std::function<Result<void>(ChunkStore&)>& call) {
  for (const std::unique_ptr<Member>& member : members_) {
    if (!member->healthy()) {
      continue;
    }
    Result<void> done = call(*member->open());
    if (!done && !member->open()->failed()) {
      return done;
    }
  }
  return {};
}

Result<std::vector<BlockInfo>> StoreSet::MergeLists(
    size_t limit, const std::function<Result<std::vector<BlockInfo>>(ChunkStore&)>& list) {
  std::map<BlockKey, BlockInfo> merged;
  const Result<void> listed = ForEachHealthy([&](ChunkStore& store) -> Result<void> {
    const Result<std::vector<BlockInfo>> part = list(store);
    if (!part) {
      return Fail(part.error());
    }
    for (const BlockInfo& info : *part) {
      merged.emplace(info.key, info);
    }
    return {};
  });
  if (!listed) {
    return Fail(listed.error());
  }
  std::vector<BlockInfo> blocks;
  for (const auto& [key, info] : merged) {
    if (blocks.size() == limit) {
      break;
    }
    blocks.push_back(info);
  }
  return blocks;
}

Result<std::vector<BlockInfo>> StoreSet::List(PoolId pool, BucketId bucket,
                                              std::optional<BlockKey> after, size_t limit) {
  return MergeLists(limit,
                    [&](ChunkStore& store) { return store.List(pool, bucket, after, limit); });
}

Result<std::vector<BlockInfo>> StoreSet::ListData(PoolId pool, DataId data, uint32_t from,
                                                  size_t limit) {
  return MergeLists(limit,
                    [&](ChunkStore& store) { return store.ListData(pool, data, from, limit); });
}

std::vector<BucketUsage> StoreSet::Buckets() const {
  std::map<std::pair<PoolId, BucketId>, uint64_t> blocks;
  for (const std::unique_ptr<Member>& member : members_) {
    if (member->healthy()) {
      for (const BucketUsage& bucket : member->open()->Buckets()) {
        blocks[{bucket.pool, bucket.bucket}] += bucket.blocks;
      }
    }
  }
  std::vector<BucketUsage> buckets;
  for (const auto& [bucket, count] : blocks) {
    buckets.push_back({bucket.first, bucket.second, count});
  }
  return buckets;
}

std::optional<LastWrite> StoreSet::LastTag(SessionId session, uint32_t channel) const {
  std::optional<LastWrite> last;
  for (const std::unique_ptr<Member>& member : members_) {
    if (!member->healthy()) {
      continue;
    }
    const std::optional<LastWrite> found = member->open()->LastTag(session, channel);
    if (found && (!last || found->sequence > last->sequence)) {
      last = found;
    }
  }
  return last;
}

std::vector<SessionId> StoreSet::TaggedSessions() const {
  std::set<SessionId> sessions;
  for (const std::unique_ptr<Member>& member : members_) {
    if (member->healthy()) {
      const std::vector<SessionId> found = member->open()->TaggedSessions();
      sessions.insert(found.begin(), found.end());
    }
  }
  return {sessions.begin(), sessions.end()};
}

std::vector<TagRecord> StoreSet::TagsOf(const BlockKey& key) const {
  std::vector<TagRecord> records;
  for (const std::unique_ptr<Member>& member : members_) {
    if (!member->healthy()) {
      continue;
    }
    const std::vector<TagRecord> found = member->open()->TagsOf(key);
    records.insert(records.end(), found.begin(), found.end());
  }
  records.resize(std::min(records.size(), kMaxTagRecords));
  return records;
}

Result<StoreUsage> StoreSet::Usage() {
  StoreUsage total;
  const Result<void> summed = ForEachHealthy([&](ChunkStore& store) -> Result<void> {
    const Result<StoreUsage> usage = store.Usage();
    if (!usage) {
      return Fail(usage.error());
    }
    total.used_bytes += usage->used_bytes;
    total.capacity_bytes += usage->capacity_bytes;
    total.blocks += usage->blocks;
    return {};
  });
  if (!summed) {
    return Fail(summed.error());
  }
  return total;
}

std::vector<StoreSet::Status> StoreSet::Statuses() const {
  std::vector<Status> statuses;
  for (const std::unique_ptr<Member>& member : members_) {
    Status status;
    status.name = member->name;
    if (member->open() != nullptr) {
      status.store = member->open()->identity().store;
      status.error = member->open()->failed();
    } else {
      status.error = member->missing;
    }
    status.abandoned = member->abandoned;
    statuses.push_back(std::move(status));
  }
  return statuses;
}

bool StoreSet::MayMiss(PoolId pool, BucketId bucket) const {
  return std::any_of(members_.begin(), members_.end(), [&](const auto& member) {
    return !member->healthy() && !member->abandoned && member->MayHold(pool, bucket);
  });
}

void StoreSet::AbandonFailed() {
  for (const std::unique_ptr<Member>& member : members_) {
    if (!member->healthy()) {
      member->abandoned = true;
    }
  }
}

size_t StoreSet::Place(const BlockKey& key) {
  const Result<ChunkStore*> store = LocateOrPlace(key, Patience::kWait);
  for (size_t i = 0; i < members_.size(); ++i) {
    if (store && members_[i]->open() == *store) {
      return i;
    }
  }
  return 0;
}

}  // namespace ringfs::chunkserver
