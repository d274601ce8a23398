#include <linux/falloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/mount.h"
#include "client/report.h"
#include "common/log.h"

// The calls on open files.
namespace ringfs::client {
namespace {

constexpr uint64_t kCopyStepBytes = 1 << 20;
// A longer copy is done in part, and the caller goes on.
constexpr uint64_t kCopyBytes = 64 << 20;

// The pieces as one, copied only when there are several.
Buffer Joined(std::vector<Buffer> pieces) {
  if (pieces.size() == 1) return std::move(pieces.front());
  size_t size = 0;
  for (const Buffer& piece : pieces) size += piece.size();
  Buffer whole = Buffer::Allocate(size);
  size_t at = 0;
  for (const Buffer& piece : pieces) {
    std::memcpy(whole.data() + at, piece.data(), piece.size());
    at += piece.size();
  }
  return whole;
}

}  // namespace

Result<std::shared_ptr<Handle>> Mount::UseToWrite(HandleId id) const {
  auto handle = files_.Use(id);
  if (handle && !(*handle)->mode.write) {
    return Fail(Errc::kBadDescriptor, "the file is not open for writing");
  }
  return handle;
}

asio::awaitable<Result<std::vector<Buffer>>> Mount::Read(HandleId id, uint64_t offset,
                                                         size_t size) {
  auto handle = files_.Use(id);
  if (!handle) co_return Fail(handle.error());
  auto read = co_await ReadSome(*handle, offset, size);
  if (read && Unsettled(**handle)) {
    auto settled = co_await Settle(*handle, NewDeadline());
    if (!settled) read = Fail(settled.error());
  }
  co_return Reported("read", (*handle)->inode->id, std::move(read));
}

asio::awaitable<Result<std::vector<Buffer>>> Mount::ReadSome(std::shared_ptr<Handle> handle,
                                                             uint64_t offset, size_t size) {
  handle->pages_may_stay = false;
  if (options_.caching) {
    auto covered = co_await ReadUnderLease(handle, offset, size);
    if (!covered) co_return Fail(covered.error());
    if (*covered) co_return **std::move(covered);
  }
  // What is held back now may have been stored when the blocks are read: it lies over them, too.
  const std::vector<FilePiece> held = write_back_.Within(handle->inode->id, offset, size);
  ++handle->inode->unleased_reads;
  auto read = co_await io_.Read(handle, offset, size, NewDeadline());
  if (--handle->inode->unleased_reads == 0) dropped_.NotifyAll();
  if (read && !held.empty()) read = Overlaid(offset, *std::move(read), held);
  co_return read;
}

bool Mount::PagesMayStay(HandleId id) const {
  const auto handle = files_.FindHandle(id);
  return !options_.caching || (handle && handle->pages_may_stay);
}

const wire::Attributes* Mount::LastAttributes(HandleId id) const {
  const auto handle = files_.FindHandle(id);
  return handle && handle->last_read ? &*handle->last_read : nullptr;
}

asio::awaitable<Result<uint64_t>> Mount::Put(std::shared_ptr<Handle> handle, FileChange change) {
  const Deadline deadline = NewDeadline();
  if (Unsettled(*handle)) {
    auto settled = co_await Settle(handle, deadline);
    if (!settled) co_return Fail(settled.error());
  }
  handle->wrote = true;
  ++handle->writes_in_flight;
  auto work = handle->mode.append && change.kind == FileChange::Kind::kWrite
                  ? io_.Append(handle->inode, std::move(change), deadline)
                  : io_.Change(handle->inode, std::move(change), deadline);
  auto put = co_await std::move(work);
  if (put && Unsettled(*handle)) {
    auto settled = co_await Settle(handle, deadline);
    if (!settled) put = Fail(settled.error());
  }
  --handle->writes_in_flight;
  if (!put) handle->write_failed = true;
  co_return put;
}

asio::awaitable<Result<uint64_t>> Mount::Write(HandleId id, uint64_t offset, Buffer data,
                                               bool kill_set_ids) {
  auto handle = UseToWrite(id);
  if (!handle) co_return Fail(handle.error());
  if (data.empty()) co_return offset;
  FileChange change;
  change.offset = offset;
  change.length = data.size();
  change.data = std::move(data);
  change.sync = (*handle)->mode.sync;
  change.kill_set_ids = kill_set_ids;
  auto put = co_await WriteSome(*handle, std::move(change));
  co_return Reported("write", (*handle)->inode->id, std::move(put));
}

// Held back where that may be, else stored.
asio::awaitable<Result<uint64_t>> Mount::WriteSome(std::shared_ptr<Handle> handle,
                                                   FileChange change) {
  const Deadline deadline = NewDeadline();
  const InodeId inode = handle->inode->id;
  if (Unsettled(*handle)) {
    auto settled = co_await Settle(handle, deadline);
    if (!settled) co_return Fail(settled.error());
  }
  if (options_.caching && !change.sync && !handle->mode.direct) {
    WriteBack::Write write;
    write.offset = change.offset;
    write.bytes = change.data;
    write.kill_set_ids = change.kill_set_ids;
    write.append = handle->mode.append;
    auto held = co_await write_back_.Hold(handle->inode, std::move(write), deadline);
    if (!held) co_return Fail(held.error());
    if (*held) {
      handle->wrote = true;
      handle->pages_may_stay = true;
      // What is held back goes with the session.
      if (Unsettled(*handle)) {
        auto settled = co_await Settle(handle, deadline);
        if (!settled) co_return Fail(settled.error());
      }
      co_return **held;
    }
  }
  if (MayOverwrite(*handle, change)) co_return co_await Overwrite(handle, std::move(change));
  const uint64_t lease = leases_.Number(inode);
  auto passage = co_await Pass(handle->inode, deadline);
  if (!passage) co_return Fail(passage.error());
  auto put = co_await Put(handle, std::move(change));
  handle->pages_may_stay = lease != 0 && lease == leases_.Number(inode);
  co_return put;
}

// A write inside the file, which nobody but this mount has under a lease, and which is to be stored
// when it returns: the master has time to learn when it was.
bool Mount::MayOverwrite(const Handle& handle, const FileChange& change) const {
  const InodeId inode = handle.inode->id;
  if (!options_.caching || change.sync || change.kill_set_ids || handle.mode.append) return false;
  const wire::Attributes* kept = leases_.HoldsWrite(inode) ? Kept(inode) : nullptr;
  return kept != nullptr && S_ISREG(kept->mode()) && !kept->has_cut() &&
         handle.inode->passages == 0 &&
         change.offset + change.length <= kept->size() && !write_back_.HoldsBytes(inode);
}

asio::awaitable<Result<uint64_t>> Mount::Overwrite(std::shared_ptr<Handle> handle,
                                                   FileChange change) {
  const uint64_t offset = change.offset;
  const std::shared_ptr<Inode> inode = handle->inode;
  handle->wrote = true;
  recent_.Drop(inode->id);
  ++handle->writes_in_flight;
  ++inode->overwrites;
  wire::Attributes now = *Kept(inode->id);
  auto put = co_await io_.Overwrite(inode, now, std::move(change), NewDeadline());
  if (put && !handle->fenced) {
    const wire::Attributes* kept = Kept(inode->id);
    write_back_.HoldTimes(inode, kept != nullptr ? *kept : now);
  }
  if (--inode->overwrites == 0) overwritten_.NotifyAll();
  handle->pages_may_stay = leases_.IsThere(inode->id);
  if (put && Unsettled(*handle)) {
    auto settled = co_await Settle(handle, NewDeadline());
    if (!settled) put = Fail(settled.error());
  }
  --handle->writes_in_flight;
  if (put) co_return offset;
  handle->write_failed = true;
  co_return Fail(put.error());
}

asio::awaitable<Result<void>> Mount::Fsync(InodeId inode, HandleId id, bool data_only) {
  const Deadline deadline = NewDeadline();
  auto synced = co_await write_back_.Sync(inode, data_only, deadline);
  if (synced) synced = co_await io_.Sync(inode, deadline);
  if (synced) synced = co_await link_.FlushNames(deadline);
  if (const auto handle = files_.FindHandle(id)) {
    const Result<void> earlier = OpenFiles::TakeWriteError(*handle);
    if (synced && !earlier) synced = earlier;
  }
  co_return Reported("fsync", inode, std::move(synced));
}

asio::awaitable<Result<void>> Mount::FsyncNames(InodeId directory) {
  auto synced = co_await link_.FlushNames(NewDeadline());
  co_return Reported("fsync", directory, std::move(synced));
}

asio::awaitable<Result<void>> Mount::Flush(HandleId id, uint64_t owner) {
  const auto handle = files_.FindHandle(id);
  if (!handle) co_return Fail(Errc::kBadDescriptor);
  // A fenced file has lost its locks already.
  if (handle->fenced) co_return Fail(Errc::kFenced, "the session has expired");
  const InodeId inode = handle->inode->id;
  if (handle->mode.write && write_back_.Holds(inode)) {
    // Its error is the inode's, and told below.
    if (options_.sync_on_close) {
      (void)co_await write_back_.Flush(inode, NewDeadline());
    } else {
      write_back_.FlushSoon(inode);
    }
  }
  const Result<void> earlier = OpenFiles::TakeWriteError(*handle);
  auto freed = co_await locks_.FreeOwner(handle, owner, NewDeadline());
  if (!earlier) co_return Reported("flush", inode, earlier);
  co_return Reported("flush", handle->inode->id, std::move(freed));
}

asio::awaitable<Result<void>> Mount::TellOfEnd(std::shared_ptr<Handle> handle, bool frees_locks) {
  if (handle->fenced) co_return Result<void>();
  const bool untold = files_.TakeUntold(*handle);
  wire::MetaRequest request;
  if (!untold) {
    request.mutable_close()->set_inode(Raw(handle->inode->id));
    request.mutable_close()->set_writing(handle->mode.write);
    // Frees flock and range locks alike, whoever owns them.
    if (frees_locks) request.mutable_close()->set_handle(Raw(handle->id));
  } else if (frees_locks) {
    request.mutable_release_locks()->set_inode(Raw(handle->inode->id));
    request.mutable_release_locks()->set_handle(Raw(handle->id));
  }
  if (request.operation_case() == wire::MetaRequest::OPERATION_NOT_SET) co_return Result<void>();
  co_return co_await Tell(handle->inode->id, std::move(request));
}

asio::awaitable<Result<void>> Mount::Release(HandleId id, std::optional<uint64_t> /*flock_owner*/) {
  auto handle = files_.FindHandle(id);
  if (!handle) co_return Fail(Errc::kBadDescriptor);
  Result<void> closed;
  if (!handle->fenced) {
    auto tell = [this, handle](bool frees_locks) { return TellOfEnd(handle, frees_locks); };
    closed = co_await locks_.Close(handle, std::move(tell));
  }
  const bool fenced = handle->fenced;
  const InodeId inode = handle->inode->id;
  files_.Remove(std::move(handle));
  if (removed_.Find(inode) != nullptr && !files_.Find(inode)) leases_.GiveBack(LocksOf(inode));
  // The master learns what is open at the next reconnect; this makes one.
  if (!closed && !fenced) link_.Suspect(link_.session());
  co_return closed;
}

asio::awaitable<Result<void>> Mount::Fallocate(HandleId id, int mode, uint64_t offset,
                                               uint64_t length) {
  auto handle = UseToWrite(id);
  if (!handle) co_return Fail(handle.error());
  if (length == 0) co_return Fail(Errc::kInvalid);
  const int keep = mode & FALLOC_FL_KEEP_SIZE;
  const int kind = mode & ~FALLOC_FL_KEEP_SIZE;
  const bool punch = kind == FALLOC_FL_PUNCH_HOLE && keep != 0;
  if (kind != 0 && kind != FALLOC_FL_ZERO_RANGE && !punch) co_return Fail(Errc::kNotSupported);
  if (kind == 0 && keep != 0) co_return Result<void>();  // space is not reserved
  const uint64_t largest = LargestSize(kDefaultBlockSize);
  if (length > largest || offset > largest - length) co_return Fail(Errc::kFileTooLarge);
  FileChange change;
  change.kind = kind == 0 ? FileChange::Kind::kGrow : FileChange::Kind::kZero;
  change.offset = offset;
  change.length = length;
  change.keep_size = keep != 0;
  auto passage = co_await Pass((*handle)->inode, NewDeadline());
  if (!passage) co_return Fail(passage.error());
  auto put = co_await Put(*handle, std::move(change));
  auto result = put ? Result<void>() : Result<void>(Fail(put.error()));
  co_return Reported("fallocate", (*handle)->inode->id, std::move(result));
}

asio::awaitable<Result<uint64_t>> Mount::Seek(HandleId id, uint64_t offset, bool data) {
  auto handle = files_.Use(id);
  if (!handle) co_return Fail(handle.error());
  const Deadline deadline = NewDeadline();
  auto flushed = co_await write_back_.Flush((*handle)->inode->id, deadline);
  if (!flushed) co_return Fail(flushed.error());
  auto found = co_await io_.Seek((*handle)->inode->id, offset, data, deadline);
  if (found && Unsettled(**handle)) {
    auto settled = co_await Settle(*handle, deadline);
    if (!settled) found = Fail(settled.error());
  }
  co_return Reported("seek", (*handle)->inode->id, std::move(found));
}

asio::awaitable<Result<uint64_t>> Mount::CopyRange(HandleId from, uint64_t from_offset, HandleId to,
                                                   uint64_t to_offset, uint64_t length) {
  auto source = files_.Use(from);
  if (!source) co_return Fail(source.error());
  auto target = UseToWrite(to);
  if (!target) co_return Fail(target.error());
  length = std::min(length, kCopyBytes);
  uint64_t done = 0;
  while (done < length) {
    auto copied = co_await CopySome(*source, from_offset + done, *target, to_offset + done,
                                    std::min(kCopyStepBytes, length - done));
    if (!copied && done > 0) break;  // the next call meets the error again
    if (!copied) co_return Reported("copy", (*target)->inode->id, std::move(copied));
    if (*copied == 0) break;
    done += *copied;
  }
  co_return done;
}

asio::awaitable<Result<uint64_t>> Mount::CopySome(std::shared_ptr<Handle> from,
                                                  uint64_t from_offset, std::shared_ptr<Handle> to,
                                                  uint64_t to_offset, uint64_t length) {
  auto pieces = co_await ReadSome(from, from_offset, length);
  if (!pieces) co_return Fail(pieces.error());
  if (Unsettled(*from)) {
    auto settled = co_await Settle(from, NewDeadline());
    if (!settled) co_return Fail(settled.error());
  }
  Buffer data = Joined(*std::move(pieces));
  const uint64_t size = data.size();
  if (size == 0) co_return uint64_t{0};
  FileChange change;
  change.offset = to_offset;
  change.length = size;
  change.data = std::move(data);
  change.sync = to->mode.sync;
  auto put = co_await WriteSome(to, std::move(change));
  if (!put) co_return Fail(put.error());
  co_return size;
}

asio::awaitable<Result<void>> Mount::SyncAll() {
  const Deadline deadline = NewDeadline();
  auto synced = co_await write_back_.FlushAll(deadline);
  if (synced) synced = co_await io_.SyncAll(deadline);
  if (synced) synced = co_await link_.FlushNames(deadline);
  co_return Reported("sync", InodeId{0}, std::move(synced));
}

}  // namespace ringfs::client
