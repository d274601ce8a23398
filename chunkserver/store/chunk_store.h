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
#include "chunkserver/store/disk.h"
#include "chunkserver/store/identity.h"
#include "common/ids.h"
#include "common/result.h"

namespace ringfs::chunkserver {

struct StoreOptions {
  // The bucket of a block: pure, the same for the life of the store.
  std::function<BucketId(const BlockKey&)> bucket_of;
  // Size of each of the two journal files, at least 256 KiB. Unsynced and unplaced small writes are
  // kept in memory up to twice this.
  uint64_t journal_bytes = 32 << 20;
  // A write of up to this many bytes goes through the journal, a larger one to fresh space.
  uint32_t small_write_bytes = 64 << 10;
  // Disk space that blocks never take: room for the journal's content and for the index.
  uint64_t reserve_bytes = 256 << 20;
  // Freed space that is kept for the next large writes; what is beyond is given back to the disk.
  uint64_t reusable_bytes = 256 << 20;
  // Memory for the metadata of blocks that are not being written.
  uint64_t cache_bytes = 64 << 20;
  // Opens also when records of the journal that were durable are lost: blocks may be older than
  // was synced, or missing, or back after they were removed. Only for a store that the cluster does
  // not count on any more; the next opening knows nothing of the loss.
  bool accept_loss = false;
  // Starts a thread that syncs what is older than a second and checkpoints. Without it (tests) the
  // caller calls SyncAll() and Checkpoint().
  bool background = true;
};

// Keeps the blocks of one data directory: contents, versions, checksums, write tags.
// Formats: docs/formats/store.md.
//
// After a crash at any instant each block is one of the versions that were applied to it, whole,
// and not an older one than was synced.
//
// Threads:   every method may be called from any thread. Calls on one block take turns, reads of it
//            run together. Apply waits while both journal files are full; otherwise calls wait only
//            for their own I/O.
// Errors:    a failed write or sync of the disk makes the store fail for good (failed()): from then
//            on every call gives kIo, what is on the disk stays as after a crash.
class ChunkStore {
 public:
  // Opens the store in the directory of `disk`, takes its lock and recovers. Borrows `disk`.
  // kNotFound: no identity there and `expected.create` is not set. kWrongCluster: of another
  // cluster or server. kVersion: a newer format. kBusy: in use. kCorrupted: identity, index or
  // journal damaged. The detail is one sentence for the administrator.
  static Result<std::unique_ptr<ChunkStore>> Open(Disk& disk, const StoreExpectation& expected,
                                                  StoreOptions options);
  // Waits for calls of its own threads, not for others'. What was not synced may be lost.
  ~ChunkStore();
  ChunkStore(const ChunkStore&) = delete;
  ChunkStore& operator=(const ChunkStore&) = delete;

  const StoreIdentity& identity() const;
  // Set once a write or sync has failed; why.
  std::optional<Error> failed() const;

  // Reads see the change from the return on; it is durable after Sync, or within two seconds.
  // kInvalid: out of the block's bounds, or data and checksums do not fit. kVersionMismatch.
  // kCorrupted: a stored unit that the change covers in part does not match its checksum.
  // kNoSpace. kIo. Nothing is changed after an error.
  Result<void> Apply(const BlockChange& change, Patience patience = Patience::kWait);

  // `offset` is a multiple of 4096; the range may pass the end of the block. A hole reads as zeros.
  // kNotFound: no such block. kCorrupted: bytes are missing. kIo: unreadable.
  Result<BlockData> Read(const BlockKey& key, uint32_t offset, uint32_t length,
                         Patience patience = Patience::kWait);
  Result<BlockInfo> Stat(const BlockKey& key,
                         Patience patience = Patience::kWait);  // kNotFound
  // Reads the whole block and checks every unit. kNotFound, kIo when the store has failed.
  Result<BlockCheck> Verify(const BlockKey& key);

  // Everything applied to these blocks before the call is durable on return. Concurrent calls share
  // flushes.
  Result<void> Sync(std::span<const BlockKey> keys);
  Result<void> SyncAll();

  // Success when there is no such block. Durable as a change is.
  Result<void> Remove(const BlockKey& key);
  // Removes the blocks of a data id from index `from` on.
  Result<void> RemoveData(PoolId pool, DataId data, uint32_t from);

  // Blocks of a bucket after `after`, in order of (data id, index), at most `limit`; fewer only at
  // the end.
  Result<std::vector<BlockInfo>> List(PoolId pool, BucketId bucket, std::optional<BlockKey> after,
                                      size_t limit);
  // Blocks of a data id from index `from` on, in order, at most `limit`.
  Result<std::vector<BlockInfo>> ListData(PoolId pool, DataId data, uint32_t from, size_t limit);
  // Still answers after the store has failed.
  std::vector<BucketUsage> Buckets() const;
  bool HoldsBucket(PoolId pool, BucketId bucket) const;

  std::optional<LastWrite> LastTag(SessionId session, uint32_t channel) const;
  std::vector<SessionId> TaggedSessions() const;
  // The newest kMaxTagRecords of the writes of the block that are the last of their channels.
  std::vector<TagRecord> TagsOf(const BlockKey& key) const;
  Result<void> DropTags(SessionId session);

  Result<StoreUsage> Usage();

  // Moves what is in the journal to its place and frees the journal. For tests and before a planned
  // end; otherwise it happens by itself. kNoSpace: tried again later.
  Result<void> Checkpoint();

 private:
  class Core;
  explicit ChunkStore(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace ringfs::chunkserver
