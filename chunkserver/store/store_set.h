#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chunkserver/store/block.h"
#include "chunkserver/store/chunk_store.h"
#include "common/ids.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// The data directories of one server. A new block goes to the healthy store that a rendezvous hash
// of its bucket picks; one that exists stays where it is.
//
// A failed or missing store is taken out alone: a block that it may hold and no other does gives
// kIo, never a hole, until Abandon() says that the cluster no longer counts on it.
//
// Threads: every method may be called from any thread.
class StoreSet {
 public:
  struct Status {
    std::string name;            // of its disk
    std::string store;           // uuid, empty when it could not be opened
    std::optional<Error> error;  // why it is out
    bool abandoned = false;
  };

  explicit StoreSet(std::function<BucketId(const BlockKey&)> bucket_of);
  ~StoreSet();
  StoreSet(const StoreSet&) = delete;
  StoreSet& operator=(const StoreSet&) = delete;

  // Before the first use of the set. `disk` must have been given to `store`.
  void Add(std::string name, std::unique_ptr<Disk> disk, std::unique_ptr<ChunkStore> store);
  // A directory that could not be opened: it may hold blocks of every bucket.
  void AddMissing(std::string name, Error why);
  // Those that are still missing and not abandoned.
  std::vector<std::string> Missing() const;
  // One of these takes part again, with whatever it holds. Until then no block that it may hold
  // has been placed elsewhere, so that none is there twice.
  void Return(const std::string& name, std::unique_ptr<Disk> disk,
              std::unique_ptr<ChunkStore> store);

  // As in ChunkStore. kNoSpace: the block's store is full. kIo also: no healthy store is left.
  Result<void> Apply(const BlockChange& change, Patience patience = Patience::kWait);
  Result<BlockData> Read(const BlockKey& key, uint32_t offset, uint32_t length,
                         Patience patience = Patience::kWait);
  Result<BlockInfo> Stat(const BlockKey& key, Patience patience = Patience::kWait);
  Result<BlockCheck> Verify(const BlockKey& key);
  Result<void> Sync(std::span<const BlockKey> keys);
  Result<void> SyncAll();
  Result<void> Remove(const BlockKey& key);
  Result<void> RemoveData(PoolId pool, DataId data, uint32_t from);
  // Of the healthy stores together.
  Result<std::vector<BlockInfo>> List(PoolId pool, BucketId bucket, std::optional<BlockKey> after,
                                      size_t limit);
  Result<std::vector<BlockInfo>> ListData(PoolId pool, DataId data, uint32_t from, size_t limit);
  std::vector<BucketUsage> Buckets() const;
  std::optional<LastWrite> LastTag(SessionId session, uint32_t channel) const;
  std::vector<SessionId> TaggedSessions() const;
  std::vector<TagRecord> TagsOf(const BlockKey& key) const;
  Result<void> DropTags(SessionId session);
  Result<StoreUsage> Usage();  // the sum over the healthy stores

  size_t size() const { return members_.size(); }
  std::vector<Status> Statuses() const;
  // Whether a store that is out, and not abandoned, may hold blocks of the bucket: then this server
  // must not serve it as a member that has everything.
  bool MayMiss(PoolId pool, BucketId bucket) const;
  // The cluster has accepted the loss of all stores that are out now: what only they held counts as
  // absent from here on.
  void AbandonFailed();
  // The number of the store that has the block or would get it; for choosing a disk thread.
  size_t Place(const BlockKey& key);

 private:
  struct Member;

  std::vector<Member*> Ranked(PoolId pool, BucketId bucket);
  Result<ChunkStore*> Locate(const BlockKey& key, Patience patience);
  Result<ChunkStore*> LocateOrPlace(const BlockKey& key, Patience patience);
  Result<void> ForEachHealthy(const std::function<Result<void>(ChunkStore&)>& call);
  Result<std::vector<BlockInfo>> MergeLists(
      size_t limit, const std::function<Result<std::vector<BlockInfo>>(ChunkStore&)>& list);

  std::function<BucketId(const BlockKey&)> bucket_of_;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace ringfs::chunkserver
