#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "client/background.h"
#include "client/limiter.h"
#include "client/open_files.h"
#include "client/retry.h"
#include "client/write_back/dirty_ranges.h"
#include "client/write_back/held_attributes.h"
#include "common/async.h"
#include "common/buffer.h"
#include "common/result.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

// What a flush stores: the bytes first, then the rest at the master.
struct HeldChange {
  std::vector<FilePiece> pieces;
  uint64_t end = 0;  // what the size must be at least
  HeldAttributes attributes;
  bool sync = false;        // the bytes are on the platters afterwards
  bool bytes_only = false;  // the rest is stored later; the lease is there meanwhile
};

struct WriteBackHooks {
  // The file's attributes, if this mount has it under a write lease and knows them; else null.
  std::function<const wire::Attributes*(InodeId inode)> owned;
  // By the master's clock.
  std::function<int64_t()> now_ns;
  // What is held back has changed what the file looks like: to be cached under the lease.
  std::function<void(const wire::Attributes& attributes)> changed;
  // What was said of the file by `changed` does not hold any more.
  std::function<void(InodeId inode)> lost;
  // These bytes are stored now.
  std::function<void(const std::shared_ptr<Inode>& inode, const std::vector<FilePiece>& pieces)>
      stored;
  // Nothing is held back of it any more.
  std::function<void(const std::shared_ptr<Inode>& inode)> emptied;
  // kStale: the file is gone, and nobody misses its bytes.
  std::function<asio::awaitable<Result<void>>(std::shared_ptr<Inode> inode, HeldChange change,
                                              Deadline deadline)>
      store;
  // How much can be stored, by the master.
  std::function<asio::awaitable<Result<wire::StatFsReply>>()> space;
};

// Writes that were answered and are not stored yet, of files under a write lease of this mount.
//
// They are stored, bytes before sizes, when they are half a second old, soon after a close, when a
// file has much of them or all files together have half of the bound, and when somebody asks. What
// must not overtake them takes a Passage. Where space runs low nothing is held back, so that who
// writes is told. An error is kept in the inode (OpenFiles tells each handle once). After one that may
// pass, the bytes are kept and tried again; after another they are lost, which is logged.
//
// Invariant: memory_bytes() is at most the bound, but for one write to an empty one.
// Threads:   only from `executor`. The background is joined before it goes.
class WriteBack {
 public:
  struct Limits {
    uint64_t dirty_bytes = 64 << 20;  // of memory
    int64_t timeout_ms = 60'000;      // of a flush that nobody waits for
  };

  // Bytes that were written, as Hold() takes them.
  struct Write {
    uint64_t offset = 0;
    Buffer bytes;  // not to be changed any more
    bool kill_set_ids = false;
    bool append = false;  // at the end
  };

  // Keeps writes of the file from being held back as long as it exists.
  class Passage {
   public:
    explicit Passage(std::shared_ptr<Inode> inode) : inode_(std::move(inode)) {
      ++inode_->passages;
    }
    Passage(Passage&& other) noexcept : inode_(std::move(other.inode_)) {}
    Passage& operator=(Passage&&) = delete;
    ~Passage() {
      if (inode_) --inode_->passages;
    }

   private:
    std::shared_ptr<Inode> inode_;
  };

  struct File;
  struct AttributesTurn {
    std::shared_ptr<File> file;  // null: nothing was held back
    std::optional<Limiter::Hold> turn;
  };

  WriteBack(asio::any_io_executor executor, const Clock& clock, Background& background,
            Limits limits, WriteBackHooks hooks);

  // Waits for room. The result is where the bytes are; without value, the write must go through,
  // in a Passage. kTimedOut: there was no room all the time.
  asio::awaitable<Result<std::optional<uint64_t>>> Hold(std::shared_ptr<Inode> inode, Write write,
                                                        Deadline deadline);
  // The file was written now, and only its times are to be stored. `now`: its attributes; the write
  // lease is there, maybe going.
  void HoldTimes(const std::shared_ptr<Inode>& inode, const wire::Attributes& now);
  // A change of attributes, but for the size, as it would be by the master: the result is what they
  // are then. Nothing: it must go to the master, in a turn (BeginSetAttributes).
  std::optional<wire::Attributes> HoldAttributes(const std::shared_ptr<Inode>& inode,
                                                 const AttributeChange& change);
  // What is held back is stored before it returns; without value: it could not be.
  asio::awaitable<Result<Passage>> Pass(std::shared_ptr<Inode> inode, Deadline deadline);

  // What is held back of [offset, offset + size), in order.
  std::vector<FilePiece> Within(InodeId inode, uint64_t offset, uint64_t size) const;
  // Attributes as the master has them become what they are with what is held back.
  void Show(wire::Attributes& attributes) const;
  bool Holds(InodeId inode) const { return files_.contains(inode); }
  // Not only times.
  bool HoldsBytes(InodeId inode) const;
  std::vector<InodeId> Inodes() const;
  bool empty() const { return files_.empty(); }
  size_t memory_bytes() const { return memory_bytes_; }

  // Whoever changes attributes has this meanwhile: no flush brings older ones afterwards.
  asio::awaitable<Result<AttributesTurn>> BeginSetAttributes(InodeId inode, Deadline deadline);
  // An answer of the master has arrived, and nothing has looked at it yet: it becomes what it would
  // be with what is held back.
  void Answered(const wire::MetaRequest& request, wire::MetaReply& reply);

  // All that is held back of it when this is called is stored.
  asio::awaitable<Result<void>> Flush(InodeId inode, Deadline deadline);
  // As Flush(), and the bytes are on the platters. `data_only`, as fdatasync(2): times that nothing
  // depends on are stored later.
  asio::awaitable<Result<void>> Sync(InodeId inode, bool data_only, Deadline deadline);
  asio::awaitable<Result<void>> FlushAll(Deadline deadline);
  // Soon, in the background.
  void FlushSoon(InodeId inode);
  // The session has expired: drops everything, and logs it.
  void Drop();
  // Nobody will see the file again: what is held back of it goes. False: it is being flushed.
  bool Discard(InodeId inode);

 private:
  using FilePtr = std::shared_ptr<File>;

  FilePtr Find(InodeId inode) const;
  bool MayRunOutOfSpace() const;
  asio::awaitable<void> LookAtSpace();
  bool MayHold(const Inode& inode, const Write& write, const wire::Attributes& now) const;
  uint64_t Keep(const std::shared_ptr<Inode>& inode, const Write& write, wire::Attributes now);
  FilePtr Make(const std::shared_ptr<Inode>& inode, const wire::Attributes& now);
  int64_t NextStamp(const wire::Attributes& now);
  void Kept(const FilePtr& file, wire::Attributes& now);
  void Show(const File& file, wire::Attributes& attributes) const;
  void Recount(const FilePtr& file);
  enum class Durable { kStored, kBytes, kAll };
  asio::awaitable<Result<void>> FlushFile(FilePtr file, Durable durable, Deadline deadline);
  void Settle(File& file, const Result<void>& stored);
  void KeepAttributes(File& file);
  void KeepForLater(File& file);
  void NoteError(File& file, const Error& error);
  void Start(const FilePtr& file);
  void StartSome();
  asio::awaitable<void> FlushInBackground(FilePtr file);
  asio::awaitable<void> Age();

  asio::any_io_executor executor_;
  const Clock& clock_;
  Background& background_;
  Limits limits_;
  WriteBackHooks hooks_;
  std::unordered_map<InodeId, FilePtr> files_;
  size_t memory_bytes_ = 0;
  uint64_t started_bytes_ = 0;  // of memory_bytes_, being flushed in the background, about
  int64_t last_stamp_ns_ = 0;
  int64_t look_at_space_ns_ = 0;  // when next
  bool space_is_low_ = false;
  int64_t full_until_ns_ = 0;
  bool aging_ = false;
  Event room_;
};

}  // namespace ringfs::client
