#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/buffer.h"
#include "common/ids.h"
#include "common/result.h"
#include "proto/cluster.pb.h"
#include "proto/lock.pb.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

struct Options {
  std::vector<std::string> masters;  // "HOST:PORT"
  std::string mountpoint;            // only told to the master, for people to read
  std::string subdirectory;          // that becomes the root; empty: the whole filesystem
  int64_t timeout_ms = 60'000;       // how long a call waits for a cluster that does not answer
  int64_t session_ttl_ms = 0;        // 0: the master's default
  // Caches under leases. Without it each call asks, and each write is stored before it returns.
  bool caching = false;
  size_t max_leases = 100'000;
  size_t max_dirty_bytes = 64 << 20;  // of memory, that wait to be written back
  bool dirsync = false;               // a change of names is on the disk when it returns
  bool sync_on_close = false;         // a close waits until what was written is stored
  // Called once when the first attempt to open the session has failed and more follow; for people.
  std::function<void(const std::string& why)> on_waiting = {};
};

// Who calls.
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t umask = 0;
  int32_t pid = 0;
};

// What SetAttributes() is to change; what is not set stays.
struct AttributeChange {
  std::optional<uint32_t> mode, uid, gid;
  std::optional<uint64_t> size;
  std::optional<int64_t> atime_ns, mtime_ns;
  bool atime_now = false, mtime_now = false;
  bool kill_set_ids = false;
  bool was_read = false;  // with atime_now alone: the content was read, ctime does not follow
};

// How a file is opened.
struct OpenMode {
  bool read = true;
  bool write = false;
  bool append = false;  // writes go to the end, wherever other mounts have put it
  bool direct = false;  // O_DIRECT: writes are stored when they return
  bool truncate = false;
  bool sync = false;          // O_SYNC, O_DSYNC: each write is on the platters before it returns
  bool kill_set_ids = false;  // a truncation by this open clears them
};

// One open file. 0 is none.
enum class HandleId : uint64_t {};

struct Opened {
  wire::Attributes attributes;
  HandleId handle{0};
  bool uncached = false;  // there is no lease: reads and writes are not to go through pages
};

// A lock as the kernel asks for it; `last` is inclusive.
struct LockRequest {
  InodeId inode{0};
  HandleId handle{0};
  wire::LockKind kind = wire::LOCK_RANGE;
  wire::LockType type = wire::LOCK_SHARED;
  uint64_t owner = 0;
  uint64_t start = 0;
  uint64_t last = 0;
  bool wait = false;
  int32_t pid = 0;
};

// Lets the waiting caller of a lock be woken by a signal. Copies share the state.
class Interrupt {
 public:
  Interrupt() : state_(std::make_shared<State>()) {}
  // The wait ends; from any coroutine of the filesystem's executor.
  void Raise() {
    state_->raised = true;
    if (state_->wake) state_->wake();
  }
  bool raised() const { return state_->raised; }
  // `wake` is called by Raise(); an empty one is no longer called.
  void OnRaise(std::function<void()> wake) { state_->wake = std::move(wake); }

 private:
  struct State {
    bool raised = false;
    std::function<void()> wake;
  };
  std::shared_ptr<State> state_;
};

// The filesystem without a kernel: calls on inodes, names and bytes of one session. Each call
// retries by itself (client/retry.h) until Options::timeout_ms, and exactly one of its tries takes
// effect. Errors are as the POSIX call of that name gives them; kTimedOut and kUnavailable when the
// cluster did not answer in time, kFenced when the session has expired with something at stake.
//
// Coherence: what another mount's finished call did is seen by each call that starts after it. With
// Options::caching calls are answered from what is known under leases, and writes are held back
// under write leases (docs/architecture.md, "Leases"); without it nothing is kept beyond a call.
//
// Threads: all calls from `executor`, which one thread runs. Coroutine parameters are taken by
//          value. The object outlives its calls: destroy it after Close() returned.
class Filesystem {
 public:
  // Connects, registers the session and fetches the cluster map. kTimedOut, kUnavailable: no master
  // within the time-out. kNotFound, kNotDirectory: the subdirectory. kWrongCluster, kVersion.
  static asio::awaitable<Result<std::unique_ptr<Filesystem>>> Connect(
      asio::any_io_executor executor, Options options);
  virtual ~Filesystem() = default;

  virtual InodeId root() const = 0;

  virtual asio::awaitable<Result<wire::Attributes>> Lookup(InodeId parent, std::string name,
                                                           Caller caller) = 0;
  virtual asio::awaitable<Result<wire::Attributes>> GetAttributes(InodeId inode) = 0;
  // A change of size cuts the blocks before it returns.
  virtual asio::awaitable<Result<wire::Attributes>> SetAttributes(InodeId inode,
                                                                  AttributeChange change,
                                                                  Caller caller) = 0;
  // File, fifo, socket, device or directory, by the type in `mode`.
  virtual asio::awaitable<Result<wire::Attributes>> MakeNode(InodeId parent, std::string name,
                                                             uint32_t mode, uint32_t device,
                                                             Caller caller) = 0;
  virtual asio::awaitable<Result<wire::Attributes>> Symlink(InodeId parent, std::string name,
                                                            std::string target, Caller caller) = 0;
  virtual asio::awaitable<Result<std::string>> ReadLink(InodeId inode) = 0;
  virtual asio::awaitable<Result<wire::Attributes>> Link(InodeId inode, InodeId parent,
                                                         std::string name, Caller caller) = 0;
  virtual asio::awaitable<Result<void>> Unlink(InodeId parent, std::string name, Caller caller) = 0;
  virtual asio::awaitable<Result<void>> RemoveDirectory(InodeId parent, std::string name,
                                                        Caller caller) = 0;
  virtual asio::awaitable<Result<void>> Rename(InodeId parent, std::string name, InodeId new_parent,
                                               std::string new_name, uint32_t flags,
                                               Caller caller) = 0;
  // Entries after `cookie` (0: the first), without "." and "..". `end` of the reply: no more.
  virtual asio::awaitable<Result<wire::MetaReply>> ReadDirectory(InodeId inode, uint64_t cookie,
                                                                 uint32_t max_entries,
                                                                 bool attributes) = 0;
  virtual asio::awaitable<Result<void>> SetXattr(InodeId inode, std::string name, std::string value,
                                                 uint32_t flags, bool kill_set_gid,
                                                 Caller caller) = 0;
  virtual asio::awaitable<Result<std::string>> GetXattr(InodeId inode, std::string name) = 0;
  virtual asio::awaitable<Result<std::vector<std::string>>> ListXattrs(InodeId inode) = 0;
  virtual asio::awaitable<Result<void>> RemoveXattr(InodeId inode, std::string name,
                                                    Caller caller) = 0;
  virtual asio::awaitable<Result<wire::StatFsReply>> StatFs(InodeId inode) = 0;

  virtual asio::awaitable<Result<Opened>> Create(InodeId parent, std::string name, uint32_t mode,
                                                 bool exclusive, OpenMode open, Caller caller) = 0;
  virtual asio::awaitable<Result<Opened>> Open(InodeId inode, OpenMode open, Caller caller) = 0;
  // Pieces of together at most `size` bytes; fewer only at the end of the file.
  virtual asio::awaitable<Result<std::vector<Buffer>>> Read(HandleId handle, uint64_t offset,
                                                            size_t size) = 0;
  // What the last Read() of the handle learnt of the file; null when there is nothing. Valid until
  // the next call.
  virtual const wire::Attributes* LastAttributes(HandleId handle) const = 0;
  // All of `data`, or an error. With OpenMode::append `offset` is ignored. When it returns every
  // serving member has the bytes and the master the size. The result is where they went.
  virtual asio::awaitable<Result<uint64_t>> Write(HandleId handle, uint64_t offset, Buffer data,
                                                  bool kill_set_ids) = 0;
  // Whether the pages that the kernel has of the last Read() or Write() of the handle may stay.
  // Looked at in the step in which that call returned; if they may not, DropPages() follows.
  virtual bool PagesMayStay(HandleId handle) const = 0;
  // What was written to the inode by this mount is on the platters; `data_only` as fdatasync(2).
  // Reports an error of earlier writes that `handle` (0: nobody) has not been told of.
  virtual asio::awaitable<Result<void>> Fsync(InodeId inode, HandleId handle, bool data_only) = 0;
  // Returns when all changes of names and attributes that returned before are on the master's disk.
  virtual asio::awaitable<Result<void>> FsyncNames(InodeId directory) = 0;
  // A descriptor was closed: frees the range locks of `owner` on the inode; reports an error of
  // earlier writes once.
  virtual asio::awaitable<Result<void>> Flush(HandleId handle, uint64_t owner) = 0;
  // The last descriptor was closed: frees the locks taken through the handle, ends the handle.
  virtual asio::awaitable<Result<void>> Release(HandleId handle,
                                                std::optional<uint64_t> flock_owner) = 0;
  // As fallocate(2); mode is 0 or of FALLOC_FL_KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE; else
  // kNotSupported.
  virtual asio::awaitable<Result<void>> Fallocate(HandleId handle, int mode, uint64_t offset,
                                                  uint64_t length) = 0;
  // SEEK_DATA (data true) or SEEK_HOLE; kNoDevice beyond the end.
  virtual asio::awaitable<Result<uint64_t>> Seek(HandleId handle, uint64_t offset, bool data) = 0;
  virtual asio::awaitable<Result<uint64_t>> CopyRange(HandleId from, uint64_t from_offset,
                                                      HandleId to, uint64_t to_offset,
                                                      uint64_t length) = 0;

  // Every call through a handle counts only if the locks that were taken through it are still held
  // when it ends. This is for calls that know the inode only: once before, and once when they have
  // succeeded. While the master cannot be asked it waits. kFenced, kTimedOut.
  virtual asio::awaitable<Result<void>> Confirm(HandleId handle) = 0;
  // Before pages that the kernel writes back by whatever handle of the inode, since they may have
  // been changed through one that was locked.
  virtual asio::awaitable<Result<void>> ConfirmPages(InodeId inode) = 0;

  // Calls of one owner take effect in the order of the calls. kInterrupted: `interrupt` ended the
  // wait and the lock is not held. kWouldBlock, kDeadlock.
  virtual asio::awaitable<Result<void>> SetLock(LockRequest request, Interrupt interrupt) = 0;
  // The lock that stands in the way; blocked() false if none does.
  virtual asio::awaitable<Result<wire::TestLockReply>> TestLock(LockRequest request) = 0;

  // --- what the kernel may keep. Looked at in the step in which the kernel is told.

  // How the kernel forgets attributes, and with `pages` the pages and names as well, of an inode.
  // Returns when they are gone; requests that this causes or waits for must be served meanwhile.
  // Set once, before the kernel is told to keep anything.
  using ForgetInKernel = std::function<asio::awaitable<void>(InodeId inode, bool pages)>;
  virtual void SetForgetInKernel(ForgetInKernel forget) = 0;
  // The attributes, if they may be kept; else null. Valid until the next call.
  virtual const wire::Attributes* Kept(InodeId inode) const = 0;
  // The inode that a name stands for, 0 for none, if that may be kept.
  virtual std::optional<InodeId> KeptName(InodeId parent, const std::string& name) const = 0;
  // Pages from before the file was opened are still right.
  virtual bool KeepsPages(InodeId inode) const = 0;
  // For how long it may be kept.
  virtual int64_t KeepNs() const = 0;
  // The kernel has pages that were read or written without a lease: returns when they are gone.
  virtual asio::awaitable<void> DropPages(InodeId inode) = 0;

  virtual const wire::ClusterMap& map() const = 0;

  // Everything this session wrote is on the platters of all servers.
  virtual asio::awaitable<Result<void>> SyncAll() = 0;
  // Ends the session cleanly: flushes, closes files, frees locks.
  virtual asio::awaitable<void> Close() = 0;
};

}  // namespace ringfs::client
