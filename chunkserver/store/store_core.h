#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "chunkserver/store/block_state.h"
#include "chunkserver/store/block_table.h"
#include "chunkserver/store/change_plan.h"
#include "chunkserver/store/chunk_store.h"
#include "chunkserver/store/cluster_space.h"
#include "chunkserver/store/index.h"
#include "chunkserver/store/journal.h"
#include "chunkserver/store/segment_files.h"

namespace ringfs::chunkserver {

// What a generation of the journal has changed, for the checkpoint that moves it.
struct Changes {
  // Each block once, with the state that this generation leaves behind.
  std::vector<std::pair<BlockEntryPtr, std::shared_ptr<BlockState>>> blocks;
  std::vector<uint32_t> freed;  // clusters
  std::map<TagKey, std::optional<LastWrite>> tags;
};

// The parts of a ChunkStore and what keeps them together.
//
// How a change goes (apply.cc): reserve journal room; with the block's lock, plan, write what goes
// to fresh space; then under the journal's mutex at once: the new state, the record in the
// journal's queue, the tag, the list of changes of the generation.
//
// How a checkpoint goes (checkpoint.cc): freeze the generation; make its records durable; write
// pending units to their place and sync; write the index; free the journal file and the clusters
// that the generation has left. From then on nothing that recovery reads names those clusters, and
// no checkpoint will write to them: only now may they be used again.
//
// Locks, in this order: checkpoint_mutex_, a block's entry, bulk and write mutexes of the journal,
// the journal's mutex (guards changes_, tags_, and the lsns of entries), listing_mutex_.
class ChunkStore::Core {
 public:
  Core(Disk& disk, StoreOptions options, StoreIdentity identity, std::unique_ptr<Index> index);
  ~Core();

  // open.cc
  static Result<std::unique_ptr<Core>> Open(Disk& disk, const StoreExpectation& expected,
                                            StoreOptions options);

  // apply.cc
  Result<void> Apply(const BlockChange& change, Patience patience);
  Result<void> Remove(const BlockKey& key);
  Result<void> DropTags(SessionId session);

  // read.cc
  Result<BlockData> Read(const BlockKey& key, uint32_t offset, uint32_t length, Patience patience);
  Result<BlockInfo> Stat(const BlockKey& key, Patience patience);
  Result<BlockCheck> Verify(const BlockKey& key);

  // listing.cc
  Result<std::vector<BlockInfo>> List(PoolId pool, BucketId bucket, std::optional<BlockKey> after,
                                      size_t limit);
  Result<std::vector<BlockInfo>> ListData(PoolId pool, DataId data, uint32_t from, size_t limit);
  std::vector<BucketUsage> Buckets() const;
  bool HoldsBucket(PoolId pool, BucketId bucket) const;
  Result<StoreUsage> Usage();

  // chunk_store.cc
  Result<void> Sync(std::span<const BlockKey> keys);
  Result<void> SyncAll();
  std::optional<LastWrite> LastTag(SessionId session, uint32_t channel);
  std::vector<SessionId> TaggedSessions();
  std::vector<TagRecord> TagsOf(const BlockKey& key);
  Result<void> CheckHealth();
  // Where the index cannot be read, nothing of the store can be counted on: it fails for good.
  Failure IndexFailed(const Error& error);
  bool HasChanges();
  bool HasFreed();
  std::optional<Error> failed() { return journal_.failed(); }
  const StoreIdentity& identity() const { return identity_; }

  // checkpoint.cc
  Result<void> Checkpoint();

 private:
  using BucketKey = std::pair<PoolId, BucketId>;

  // open.cc
  static Result<std::unique_ptr<Core>> Create(Disk& disk, const StoreExpectation& expected,
                                              StoreOptions options);
  static Result<std::unique_ptr<Core>> OpenExisting(Disk& disk, StoreIdentity identity,
                                                    StoreOptions options);
  Result<void> Recover();
  Result<void> CountIndexed();
  Result<uint32_t> ReplayRecord(std::string_view record, const Buffer& data, bool check_only,
                                uint64_t generation);
  Result<void> ReplayUpdate(const BlockUpdate& update, uint64_t generation);
  Result<void> PunchUnused();
  void StartBackground();

  // apply.cc
  struct Room;  // journal room that is given back unless it is used
  Result<void> MakeRoom(uint64_t bytes, Patience patience);
  Result<void> ApplyOnce(const BlockChange& change, Patience patience);
  Result<std::unique_lock<std::shared_mutex>> LockForChange(const BlockEntryPtr& entry,
                                                            Patience patience);
  Result<void> WriteDirect(const ChangePlan& plan, std::set<SegmentId>* segments);
  void Commit(const BlockEntryPtr& entry, const BlockUpdate& update,
              const std::set<SegmentId>& segments, uint64_t room);
  // Under the journal's mutex (or alone, at recovery): the state to change in this generation.
  BlockState& MutableState(const BlockEntryPtr& entry, uint64_t generation);
  void NoteEffect(const BlockUpdate& update, const UpdateEffect& effect);
  void NoteTags(const BlockUpdate& update);
  void NoteTag(const WriteTag& tag, const LastWrite& last);
  void NoteDropTags(SessionId session);

  // read.cc
  // The entry's lock is held alone.
  Result<void> Load(BlockEntry& entry, Patience patience);
  // Takes the entry's lock shared, with its state loaded; kNotFound when the block is absent.
  Result<std::shared_lock<std::shared_mutex>> LockForRead(const BlockEntryPtr& entry,
                                                          Patience patience);
  Result<void> ReadRange(const BlockState& state, uint32_t offset, std::span<std::byte> out,
                         Patience patience);

  // listing.cc
  template <typename Dirty, typename Indexed>
  Result<std::vector<BlockInfo>> Merge(size_t limit, std::optional<BlockKey> after, Dirty dirty,
                                       Indexed indexed);
  Result<std::optional<BlockInfo>> Current(const BlockKey& key, std::optional<BlockInfo> indexed);

  // checkpoint.cc
  Result<void> MoveChanges(const Changes& changes, uint64_t generation);
  Result<void> PlacePending(const BlockState& state, uint64_t generation,
                            std::set<SegmentId>* segments);
  Result<void> WriteIndex(const Changes& changes, uint64_t generation);
  void Clean(const Changes& changes, uint64_t generation);
  Result<void> GiveBackExcess();
  void RunBackground();

  Disk& disk_;
  const StoreOptions options_;
  const StoreIdentity identity_;
  SegmentFiles segments_;
  ClusterSpace space_;
  Journal journal_;
  std::unique_ptr<Index> index_;
  BlockTable table_;

  // Under the journal's mutex.
  Changes changes_;
  std::map<TagKey, LastWrite> tags_;
  std::atomic<uint64_t> checkpointed_{0};

  mutable std::mutex listing_mutex_;
  // Blocks whose state in memory is newer than the index, in the two orders of listing.
  std::set<std::pair<BucketKey, BlockKey>> dirty_by_bucket_;
  std::set<BlockKey> dirty_by_data_;
  std::map<BucketKey, uint64_t> bucket_blocks_;
  std::atomic<int64_t> stored_units_{0};
  std::atomic<int64_t> blocks_{0};
  // Of all blocks that this store has had since it was opened: the index need not be asked for
  // blocks of newer files.
  std::atomic<uint64_t> highest_data_{0};

  std::mutex checkpoint_mutex_;
  std::optional<Changes> frozen_;  // under checkpoint_mutex_: not moved yet
  uint64_t frozen_generation_ = 0;

  std::mutex background_mutex_;
  std::condition_variable background_wake_;
  bool stopping_ = false;
  bool checkpoint_wanted_ = false;
  std::thread background_;
};

}  // namespace ringfs::chunkserver
