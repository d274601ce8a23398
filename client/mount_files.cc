#include <linux/falloc.h>

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
  const Deadline deadline = NewDeadline();
  auto read = co_await io_.Read(*handle, offset, size, deadline);
  if (read && Unsettled(**handle)) {
    auto settled = co_await Settle(*handle, deadline);
    if (!settled) read = Fail(settled.error());
  }
  co_return Reported("read", (*handle)->inode->id, std::move(read));
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
  auto put = co_await Put(*handle, std::move(change));
  co_return Reported("write", (*handle)->inode->id, std::move(put));
}

asio::awaitable<Result<void>> Mount::Fsync(InodeId inode) {
  auto synced = co_await io_.Sync(inode, NewDeadline());
  co_return Reported("fsync", inode, std::move(synced));
}

asio::awaitable<Result<void>> Mount::Flush(HandleId id, uint64_t owner) {
  const auto handle = files_.FindHandle(id);
  if (!handle) co_return Fail(Errc::kBadDescriptor);
  // Writes are answered when they are done: none of them has an error left to be told. A fenced
  // file has lost its locks already.
  if (handle->fenced) co_return Fail(Errc::kFenced, "the session has expired");
  auto freed = co_await locks_.FreeOwner(handle, owner, NewDeadline());
  co_return Reported("flush", handle->inode->id, std::move(freed));
}

asio::awaitable<Result<void>> Mount::Release(HandleId id, std::optional<uint64_t> /*flock_owner*/) {
  auto handle = files_.FindHandle(id);
  if (!handle) co_return Fail(Errc::kBadDescriptor);
  Result<void> closed;
  if (!handle->fenced) {
    wire::MetaRequest request;
    request.mutable_close()->set_inode(Raw(handle->inode->id));
    request.mutable_close()->set_writing(handle->mode.write);
    // Frees flock and range locks alike, whoever owns them.
    if (handle->had_locks) request.mutable_close()->set_handle(Raw(id));
    closed = co_await Tell(handle->inode->id, std::move(request));
  }
  const bool fenced = handle->fenced;
  files_.Remove(std::move(handle));
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
  auto put = co_await Put(*handle, std::move(change));
  auto result = put ? Result<void>() : Result<void>(Fail(put.error()));
  co_return Reported("fallocate", (*handle)->inode->id, std::move(result));
}

asio::awaitable<Result<uint64_t>> Mount::Seek(HandleId id, uint64_t offset, bool data) {
  auto handle = files_.Use(id);
  if (!handle) co_return Fail(handle.error());
  const Deadline deadline = NewDeadline();
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
  auto pieces = co_await io_.Read(from, from_offset, length, NewDeadline());
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
  auto put = co_await Put(to, std::move(change));
  if (!put) co_return Fail(put.error());
  co_return size;
}

asio::awaitable<Result<void>> Mount::SyncAll() {
  auto synced = co_await io_.SyncAll(NewDeadline());
  co_return Reported("sync", InodeId{0}, std::move(synced));
}

}  // namespace ringfs::client
