#pragma once

#include <asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "client/extend_queue.h"
#include "client/filesystem.h"
#include "client/held_locks.h"
#include "client/limiter.h"
#include "common/ids.h"
#include "proto/lease.pb.h"
#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

namespace ringfs::client {

// A block written and not known to be on the platters yet.
struct DirtyBlock {
  BlockVersion version;     // that the newest write made
  uint64_t generation = 0;  // of the file, at that write
};

// What this client knows of an inode that it has open, or is still busy with.
struct Inode {
  Inode(const asio::any_io_executor& executor, InodeId number)
      : id(number), append_turn(executor, 1), cut_turn(executor, 1), extends(executor) {}

  InodeId id;
  wire::Attributes known;  // the newest seen: a guess, to be confirmed by each call
  uint32_t readers = 0;  // handles
  uint32_t writers = 0;
  uint32_t untold_readers = 0;  // of them, opened under a lease: the master does not know
  uint32_t untold_writers = 0;
  bool appending = false;  // the master has given us the turn to append
  Limiter append_turn;     // among our own appends
  Limiter cut_turn;        // whoever holds it may cut the blocks
  ExtendQueue extends;
  std::map<BlockKey, DirtyBlock> dirty;  // changed by OpenFiles only
  std::set<uint64_t> range_owners;       // that may hold range locks
  HeldLocks held;
  uint32_t fenced_handles = 0;           // of `fenced` handles
  uint32_t passages = 0;                 // calls that writes must not be held back beside
  bool holds_back = false;               // bytes or times, in WriteBack
  uint32_t unleased_reads = 0;           // under way
  uint32_t overwrites = 0;               // under way: the write lease does not go meanwhile
  uint64_t write_errors = 0;             // of writes that had been answered
  Error last_write_error;
};

// An open file.
struct Handle {
  HandleId id{0};
  std::shared_ptr<Inode> inode;
  OpenMode mode;
  bool fenced = false;  // its session expired with something at stake
  bool wrote = false;
  bool write_failed = false;
  uint64_t errors_seen = 0;  // of the inode's write_errors
  uint32_t writes_in_flight = 0;
  bool had_locks = false;                     // asked for, ever
  std::optional<wire::Attributes> last_read;  // what Read() learnt
  bool uncached = false;                      // opened without a lease
  bool pages_may_stay = true;                 // of the last read or write
};

// The open files of a client, and their inodes.
//
// Invariant: an inode's readers and writers are its handles that are not fenced;
//            dirty_blocks() counts the dirty blocks of all inodes.
// Threads:   only from `executor`.
class OpenFiles {
 public:
  explicit OpenFiles(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // Makes the inode if it is not there.
  std::shared_ptr<Inode> Get(InodeId id);
  // Null: not there.
  std::shared_ptr<Inode> Find(InodeId id) const;
  // Drops it when nothing is left to be known of it. `inode` is the caller's.
  void Forget(const std::shared_ptr<Inode>& inode);

  // An Open was answered, or (untold) is not to be asked for: a lease covers it.
  std::shared_ptr<Handle> Add(std::shared_ptr<Inode> inode, const OpenMode& mode,
                              bool untold = false);
  // kBadDescriptor: no such handle. kFenced.
  Result<std::shared_ptr<Handle>> Use(HandleId id) const;
  // Also one that is fenced; null: no such handle.
  std::shared_ptr<Handle> FindHandle(HandleId id) const;
  // An error of writes that were answered before, which the handle has not been told of.
  static Result<void> TakeWriteError(Handle& handle);
  // A Close was answered, or will never be. The inode goes as well when nothing is left to be known
  // of it.
  void Remove(std::shared_ptr<Handle> handle);

  // The inode's newest attributes, if it is known here.
  void Learn(const wire::Attributes& attributes);

  // What is open, for the master: it counts as told.
  std::vector<wire::OpenInode> TellAll();
  // Fills in what is open of the inode, was not told and is not covered by what is kept of the lease:
  // it counts as told.
  void Tell(wire::LeaseAnswer& answer);
  // A handle like this one goes, of which the master does not know. False: it knows of all.
  bool TakeUntold(Handle& handle);
  // The session has expired. Handles through which a lock is held, or with writes that failed, are
  // under way or were held back, are fenced until they are closed. What was stored is not at stake.
  // Returns the inodes of the fenced.
  std::vector<InodeId> Fence();

  void MarkDirty(Inode& inode, const BlockKey& key, DirtyBlock block);
  // The block is on the platters in this version. A newer write keeps it dirty.
  void MarkClean(Inode& inode, const BlockKey& key, BlockVersion version);
  std::vector<std::shared_ptr<Inode>> Dirty() const;
  // Of all inodes.
  size_t dirty_blocks() const { return dirty_blocks_; }

 private:
  asio::any_io_executor executor_;
  std::unordered_map<InodeId, std::shared_ptr<Inode>> inodes_;
  std::unordered_map<HandleId, std::shared_ptr<Handle>> handles_;
  uint64_t last_handle_ = 0;
  size_t dirty_blocks_ = 0;
};

}  // namespace ringfs::client
