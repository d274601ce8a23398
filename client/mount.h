#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "client/background.h"
#include "client/block_io.h"
#include "client/chunk_links.h"
#include "client/file_io.h"
#include "client/filesystem.h"
#include "client/lease_cache.h"
#include "client/leases.h"
#include "client/locks.h"
#include "client/map_keeper.h"
#include "client/master_link.h"
#include "client/open_files.h"
#include "client/removed_inodes.h"
#include "client/write_back/recent_writes.h"
#include "client/write_back/write_back.h"
#include "common/clock.h"

namespace ringfs::client {

// The filesystem that Filesystem::Connect() gives.
class Mount final : public Filesystem {
 public:
  Mount(asio::any_io_executor executor, Options options);

  asio::awaitable<Result<void>> Start();

  InodeId root() const override { return link_.root(); }
  const wire::ClusterMap& map() const override { return maps_.view().map(); }

  asio::awaitable<Result<wire::Attributes>> Lookup(InodeId parent, std::string name,
                                                   Caller caller) override;
  asio::awaitable<Result<wire::Attributes>> GetAttributes(InodeId inode) override;
  asio::awaitable<Result<wire::Attributes>> SetAttributes(InodeId inode, AttributeChange change,
                                                          Caller caller) override;
  asio::awaitable<Result<wire::Attributes>> MakeNode(InodeId parent, std::string name,
                                                     uint32_t mode, uint32_t device,
                                                     Caller caller) override;
  asio::awaitable<Result<wire::Attributes>> Symlink(InodeId parent, std::string name,
                                                    std::string target, Caller caller) override;
  asio::awaitable<Result<std::string>> ReadLink(InodeId inode) override;
  asio::awaitable<Result<wire::Attributes>> Link(InodeId inode, InodeId parent, std::string name,
                                                 Caller caller) override;
  asio::awaitable<Result<void>> Unlink(InodeId parent, std::string name, Caller caller) override;
  asio::awaitable<Result<void>> RemoveDirectory(InodeId parent, std::string name,
                                                Caller caller) override;
  asio::awaitable<Result<void>> Rename(InodeId parent, std::string name, InodeId new_parent,
                                       std::string new_name, uint32_t flags,
                                       Caller caller) override;
  asio::awaitable<Result<wire::MetaReply>> ReadDirectory(InodeId inode, uint64_t cookie,
                                                         uint32_t max_entries,
                                                         bool attributes) override;
  asio::awaitable<Result<void>> SetXattr(InodeId inode, std::string name, std::string value,
                                         uint32_t flags, bool kill_set_gid, Caller caller) override;
  asio::awaitable<Result<std::string>> GetXattr(InodeId inode, std::string name) override;
  asio::awaitable<Result<std::vector<std::string>>> ListXattrs(InodeId inode) override;
  asio::awaitable<Result<void>> RemoveXattr(InodeId inode, std::string name,
                                            Caller caller) override;
  asio::awaitable<Result<wire::StatFsReply>> StatFs(InodeId inode) override;

  asio::awaitable<Result<Opened>> Create(InodeId parent, std::string name, uint32_t mode,
                                         bool exclusive, OpenMode open, Caller caller) override;
  asio::awaitable<Result<Opened>> Open(InodeId inode, OpenMode open, Caller caller) override;
  asio::awaitable<Result<std::vector<Buffer>>> Read(HandleId handle, uint64_t offset,
                                                    size_t size) override;
  const wire::Attributes* LastAttributes(HandleId handle) const override;
  asio::awaitable<Result<uint64_t>> Write(HandleId handle, uint64_t offset, Buffer data,
                                          bool kill_set_ids) override;
  bool PagesMayStay(HandleId handle) const override;
  asio::awaitable<Result<void>> Fsync(InodeId inode, HandleId handle, bool data_only) override;
  asio::awaitable<Result<void>> FsyncNames(InodeId directory) override;
  asio::awaitable<Result<void>> Flush(HandleId handle, uint64_t owner) override;
  asio::awaitable<Result<void>> Release(HandleId handle,
                                        std::optional<uint64_t> flock_owner) override;
  asio::awaitable<Result<void>> Fallocate(HandleId handle, int mode, uint64_t offset,
                                          uint64_t length) override;
  asio::awaitable<Result<uint64_t>> Seek(HandleId handle, uint64_t offset, bool data) override;
  asio::awaitable<Result<uint64_t>> CopyRange(HandleId from, uint64_t from_offset, HandleId to,
                                              uint64_t to_offset, uint64_t length) override;

  asio::awaitable<Result<void>> Confirm(HandleId handle) override;
  asio::awaitable<Result<void>> ConfirmPages(InodeId inode) override;
  asio::awaitable<Result<void>> SetLock(LockRequest request, Interrupt interrupt) override;
  asio::awaitable<Result<wire::TestLockReply>> TestLock(LockRequest request) override;

  void SetForgetInKernel(ForgetInKernel forget) override { forget_ = std::move(forget); }
  const wire::Attributes* Kept(InodeId inode) const override;
  std::optional<InodeId> KeptName(InodeId parent, const std::string& name) const override;
  bool KeepsPages(InodeId inode) const override;
  int64_t KeepNs() const override { return options_.caching ? link_.LeftNs() : 0; }
  asio::awaitable<void> DropPages(InodeId inode) override;

  asio::awaitable<Result<void>> SyncAll() override;
  asio::awaitable<void> Close() override;

 private:
  MasterLinkHooks Hooks();
  void AddCacheHooks(MasterLinkHooks& hooks);
  LeaseHooks HooksOfLeases();
  FlockHooks HooksOfFlocks();
  WriteBackHooks HooksOfWriteBack();
  WriteBack::Limits LimitsOfWriteBack() const;
  // What the master says, in the order in which it says it.
  void Answered(const wire::MetaRequest& request, wire::MetaReply& reply);
  void KeepNames(const wire::MetaRequest& request, const std::unordered_set<uint64_t>& granted,
                 const wire::MetaReply& reply);
  void Unanswered(const wire::MetaRequest& request);
  void Returned(const wire::OpenSessionReply& reply, bool restarted);
  void Recalled(const wire::RecallPush& push);
  asio::awaitable<void> AnswerLate(wire::RecallPush push);
  asio::awaitable<void> ForgetPages(InodeId inode, bool pages);
  asio::awaitable<void> FlushForRecall(InodeId inode);
  asio::awaitable<void> AwaitReads(InodeId inode);
  bool MayAskForPages(const Handle& handle) const;
  // The bytes, without asking the master; nothing: the lease was not there all along.
  asio::awaitable<Result<std::optional<std::vector<Buffer>>>> ReadUnderLease(
      std::shared_ptr<Handle> handle, uint64_t offset, size_t size);
  asio::awaitable<Result<std::vector<Buffer>>> ReadSome(std::shared_ptr<Handle> handle,
                                                        uint64_t offset, size_t size);
  asio::awaitable<Result<uint64_t>> WriteSome(std::shared_ptr<Handle> handle, FileChange change);
  ContentState StateOf(const wire::Attributes& attributes) const;
  // A change of bytes that is not held back. The passage is kept until it is made.
  asio::awaitable<Result<WriteBack::Passage>> Pass(std::shared_ptr<Inode> inode, Deadline deadline);
  bool MayOverwrite(const Handle& handle, const FileChange& change) const;
  asio::awaitable<Result<uint64_t>> Overwrite(std::shared_ptr<Handle> handle, FileChange change);
  Deadline NewDeadline() const { return Deadline(clock_, options_.timeout_ms); }
  // Sends a request about `inode`; an error that is the cluster's is logged.
  asio::awaitable<Result<wire::MetaReply>> Ask(InodeId inode, wire::MetaRequest request);
  asio::awaitable<Result<wire::Attributes>> AskAttributes(InodeId inode, wire::MetaRequest request);
  // Sends a request that takes a name away, and remembers what has lost its last one by it.
  asio::awaitable<Result<void>> Remove(InodeId parent, wire::MetaRequest request);
  void Removed(const wire::Attributes& attributes);
  asio::awaitable<Result<void>> Tell(InodeId inode, wire::MetaRequest request);
  // Tells the master that an open file ends, if it knows of it.
  asio::awaitable<Result<void>> TellOfEnd(std::shared_ptr<Handle> handle, bool frees_locks);
  // A handle to be changed through. kBadDescriptor, kFenced.
  Result<std::shared_ptr<Handle>> UseToWrite(HandleId id) const;
  // A lock was taken through the handle that may be somebody else's by now.
  bool InDoubt(const Handle& handle) const {
    const HeldLocks& held = handle.inode->held;
    return !held.empty() && !link_.Certain() && held.Through(handle.id);
  }
  // What was done through the handle does not count as it is: Settle() says.
  bool Unsettled(const Handle& handle) const { return handle.fenced || InDoubt(handle); }
  // Returns when the handle is not in doubt any more. kFenced, kTimedOut.
  asio::awaitable<Result<void>> Settle(std::shared_ptr<Handle> handle, Deadline deadline);
  // Names files that an expired session has left fenced, for people to read in the log.
  asio::awaitable<void> NameFenced(std::vector<InodeId> inodes);
  asio::awaitable<Result<uint64_t>> Put(std::shared_ptr<Handle> handle, FileChange change);
  asio::awaitable<Result<uint64_t>> CopySome(std::shared_ptr<Handle> from, uint64_t from_offset,
                                             std::shared_ptr<Handle> to, uint64_t to_offset,
                                             uint64_t length);
  Opened AddOpen(const wire::Attributes& attributes, const OpenMode& mode, bool untold = false);

  asio::any_io_executor executor_;
  Options options_;
  SystemClock clock_;
  Background background_;
  OpenFiles files_;
  RemovedInodes removed_;
  MasterLink link_;
  MapKeeper maps_;
  ChunkLinks chunks_;
  BlockIo blocks_;
  FileIo io_;
  Locks locks_;
  Leases leases_;
  LeaseCache cache_;
  WriteBack write_back_;
  RecentWrites recent_;
  ForgetInKernel forget_;
  // Inodes of which the kernel may have pages without a lease, until they are dropped; true: and
  // once more.
  std::unordered_map<InodeId, bool> dropping_;
  Event overwritten_;  // none is under way of some inode
  Event dropped_;      // some inode went from dropping_, or has no unleased reads any more
  bool closed_ = false;
};

}  // namespace ringfs::client
