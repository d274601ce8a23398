// Operations on open files.
#include <fcntl.h>

#include <string>
#include <vector>

#include "fuse/convert.h"
#include "fuse/handlers.h"

namespace ringfs::fuse {
namespace {

using client::Caller;
using client::HandleId;
using client::OpenMode;

// How the kernel is to treat an open file.
fuse_file_info OpenAnswer(const Mount& mount, const client::Opened& opened, int flags) {
  fuse_file_info file{};
  file.flags = flags;
  file.fh = Raw(opened.handle);
  // The kernel would append at the size that it knows, which another mount may have moved. Without
  // its page cache the offset that it says does not matter, and we append at the real end.
  const bool appends = (flags & O_APPEND) != 0 && (flags & O_ACCMODE) != O_RDONLY;
  file.direct_io = appends || opened.uncached || (flags & O_DIRECT) != 0;
  file.keep_cache = mount.filesystem.KeepsPages(InodeId{opened.attributes.inode()});
  return file;
}

// The kernel never learnt of the handle: its caller was killed in the meantime.
asio::awaitable<void> Abandon(Mount& mount, HandleId handle) {
  auto result = co_await mount.filesystem.Release(handle, std::nullopt);
  if (!result) spdlog::warn("release of an abandoned handle: {}", result.error().ToString());
}

asio::awaitable<void> OpenAsync(Mount& mount, Reply reply, InodeId inode, int flags,
                                bool kill_set_ids, Caller caller) {
  OpenMode mode = ToOpenMode(flags);
  mode.kill_set_ids = kill_set_ids;
  auto opened = co_await mount.filesystem.Open(inode, mode, caller);
  if (!opened) {
    reply.Error(opened.error());
    co_return;
  }
  const fuse_file_info file = OpenAnswer(mount, *opened, flags);
  if (!reply.Opened(file)) co_await Abandon(mount, opened->handle);
}
void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Begin(request, "open", OpenAsync, MountOf(request).ToInode(node), file->flags,
        MountOf(request).OrdersKillSetIds(), CallerOf(request));
}

asio::awaitable<void> CreateAsync(Mount& mount, Reply reply, InodeId parent, std::string name,
                                  uint32_t mode, int flags, bool kill_set_ids, Caller caller) {
  OpenMode open = ToOpenMode(flags);
  open.kill_set_ids = kill_set_ids;
  const bool exclusive = (flags & O_EXCL) != 0;
  auto opened =
      co_await mount.filesystem.Create(parent, name, mode, exclusive, open, caller);
  if (!opened) {
    reply.Error(opened.error());
    co_return;
  }
  const fuse_file_info file = OpenAnswer(mount, *opened, flags);
  if (!mount.AnswerCreated(reply, opened->attributes, file, parent, name)) {
    co_await Abandon(mount, opened->handle);
  }
}
void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* file) {
  Begin(request, "create", CreateAsync, MountOf(request).ToInode(parent), std::string(name), mode,
        file->flags, MountOf(request).OrdersKillSetIds(), CallerOf(request));
}

asio::awaitable<void> ReadAsync(Mount& mount, Reply reply, InodeId inode, HandleId handle,
                                uint64_t offset, size_t size) {
  auto pieces = co_await mount.filesystem.Read(handle, offset, size);
  if (!pieces) {
    reply.Error(pieces.error());
    co_return;
  }
  reply.Pieces(*pieces);
  mount.DropPages(handle, inode);
  if (const wire::Attributes* attributes = mount.filesystem.LastAttributes(handle)) {
    mount.Touch(*attributes);
  }
}
void Read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* file) {
  Begin(request, "read", ReadAsync, MountOf(request).ToInode(node), HandleOf(file), static_cast<uint64_t>(offset), size);
}

asio::awaitable<void> WriteAsync(Mount& mount, Reply reply, InodeId inode, HandleId handle,
                                 uint64_t offset, Buffer data, bool kill_set_ids, bool pages) {
  const size_t size = data.size();
  Result<uint64_t> written = offset;
  if (pages) {
    auto confirmed = co_await mount.filesystem.ConfirmPages(inode);
    if (!confirmed) written = Fail(confirmed.error());
  }
  if (written) {
    written = co_await mount.filesystem.Write(handle, offset, std::move(data), kill_set_ids);
  }
  if (written) {
    reply.Written(size);
  } else {
    reply.Error(written.error());
  }
  mount.DropPages(handle, inode);
}
void Write(fuse_req_t request, fuse_ino_t node, const char* data, size_t size, off_t offset,
           fuse_file_info* file) {
  Mount& mount = MountOf(request);
  const bool kill_set_ids = mount.OrdersKillSetIds();
  Begin(request, "write", WriteAsync, mount.ToInode(node), HandleOf(file),
        static_cast<uint64_t>(offset), mount.KeepRequest(data, size), kill_set_ids,
        file->writepage != 0);
}

asio::awaitable<void> FlushAsync(Mount& mount, Reply reply, HandleId handle, uint64_t owner) {
  auto result = co_await mount.filesystem.Flush(handle, owner);
  reply.Done(result);
}
void Flush(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  Begin(request, "flush", FlushAsync, HandleOf(file), file->lock_owner);
}

asio::awaitable<void> ReleaseAsync(Mount& mount, Reply reply, HandleId handle,
                                   std::optional<uint64_t> flock_owner) {
  auto result = co_await mount.filesystem.Release(handle, flock_owner);
  reply.Done(result);
}
void Release(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  std::optional<uint64_t> owner;
  if (file->flock_release != 0) owner = file->lock_owner;
  Begin(request, "release", ReleaseAsync, HandleOf(file), owner);
}

asio::awaitable<void> FsyncAsync(Mount& mount, Reply reply, InodeId inode, HandleId handle,
                                 bool data_only) {
  auto result = co_await mount.filesystem.Fsync(inode, handle, data_only);
  if (result) result = co_await ConfirmedBy(mount, handle, std::move(result));
  reply.Done(result);
}
void Fsync(fuse_req_t request, fuse_ino_t node, int data_only, fuse_file_info* file) {
  Begin(request, "fsync", FsyncAsync, MountOf(request).ToInode(node), HandleOf(file),
        data_only != 0);
}

asio::awaitable<void> FallocateAsync(Mount& mount, Reply reply, HandleId handle, int mode,
                                     uint64_t offset, uint64_t length) {
  auto result = co_await mount.filesystem.Fallocate(handle, mode, offset, length);
  reply.Done(result);
}
void Fallocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t length,
               fuse_file_info* file) {
  Begin(request, "fallocate", FallocateAsync, HandleOf(file), mode, static_cast<uint64_t>(offset),
        static_cast<uint64_t>(length));
}

asio::awaitable<void> SeekAsync(Mount& mount, Reply reply, HandleId handle, uint64_t offset,
                                bool data) {
  auto result = co_await mount.filesystem.Seek(handle, offset, data);
  if (result) {
    reply.Offset(static_cast<int64_t>(*result));
  } else {
    reply.Error(result.error());
  }
}
void Seek(fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* file) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  Begin(request, "lseek", SeekAsync, HandleOf(file), static_cast<uint64_t>(offset),
        whence == SEEK_DATA);
}

asio::awaitable<void> CopyAsync(Mount& mount, Reply reply, HandleId from, uint64_t from_offset,
                                HandleId to, uint64_t to_offset, uint64_t length) {
  auto copied = co_await mount.filesystem.CopyRange(from, from_offset, to, to_offset, length);
  if (copied) {
    reply.Written(*copied);
  } else {
    reply.Error(copied.error());
  }
}
void Copy(fuse_req_t request, fuse_ino_t, off_t from_offset, fuse_file_info* from, fuse_ino_t,
          off_t to_offset, fuse_file_info* to, size_t length, int flags) {
  if (flags != 0) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  Begin(request, "copy_file_range", CopyAsync, HandleOf(from), static_cast<uint64_t>(from_offset),
        HandleOf(to), static_cast<uint64_t>(to_offset), static_cast<uint64_t>(length));
}

void Ioctl(fuse_req_t request, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned, const void*,
           size_t, size_t) {
  fuse_reply_err(request, ENOTTY);
}

}  // namespace

void AddFiles(fuse_lowlevel_ops& operations) {
  operations.open = &Open;
  operations.create = &Create;
  operations.read = &Read;
  operations.write = &Write;
  operations.flush = &Flush;
  operations.release = &Release;
  operations.fsync = &Fsync;
  operations.fallocate = &Fallocate;
  operations.lseek = &Seek;
  operations.copy_file_range = &Copy;
  operations.ioctl = &Ioctl;
}

}  // namespace ringfs::fuse
