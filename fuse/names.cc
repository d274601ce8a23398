// Operations on names and attributes.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <string>

#include "common/clock.h"
#include "fuse/handlers.h"

namespace ringfs::fuse {
namespace {

using client::Caller;
using client::HandleId;

// `name` is empty when it may not be kept.
void Answer(Mount& mount, Reply& reply, const Result<wire::Attributes>& result, InodeId parent,
            const std::string& name) {
  if (result) {
    mount.AnswerEntry(reply, *result, parent, name);
  } else {
    reply.Error(result.error());
  }
}

asio::awaitable<void> LookupAsync(Mount& mount, Reply reply, InodeId parent, std::string name,
                                  Caller caller) {
  auto result = co_await mount.filesystem.Lookup(parent, name, caller);
  if (result.code() == Errc::kNotFound) {
    mount.AnswerAbsent(reply, parent, name);
  } else {
    Answer(mount, reply, result, parent, name);
  }
}
void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Begin(request, "lookup", LookupAsync, MountOf(request).ToInode(parent), std::string(name),
        CallerOf(request));
}

void Forget(fuse_req_t request, fuse_ino_t node, uint64_t times) {
  MountOf(request).kernel.Forgot(node, times);
  fuse_reply_none(request);
}
void ForgetMulti(fuse_req_t request, size_t count, fuse_forget_data* forgets) {
  Mount& mount = MountOf(request);
  for (size_t i = 0; i < count; ++i) mount.kernel.Forgot(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(request);
}

asio::awaitable<void> GetAttributesAsync(Mount& mount, Reply reply, InodeId inode,
                                         HandleId handle) {
  auto result = co_await mount.filesystem.GetAttributes(inode);
  if (result) result = co_await ConfirmedBy(mount, handle, std::move(result));
  if (result) {
    mount.AnswerAttributes(reply, *result);
  } else {
    reply.Error(result.error());
  }
}
void GetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Begin(request, "getattr", GetAttributesAsync, MountOf(request).ToInode(node), HandleOf(file));
}

int64_t ToNs(const timespec& time) { return time.tv_sec * kNsPerSecond + time.tv_nsec; }

asio::awaitable<void> SetAttributesAsync(Mount& mount, Reply reply, InodeId inode, HandleId handle,
                                         client::AttributeChange change, Caller caller) {
  Result<wire::Attributes> result = wire::Attributes();
  result = co_await ConfirmedBy(mount, handle, std::move(result));
  if (result) result = co_await mount.filesystem.SetAttributes(inode, change, caller);
  if (result) result = co_await ConfirmedBy(mount, handle, std::move(result));
  if (result) {
    mount.AnswerAttributes(reply, *result);
  } else {
    reply.Error(result.error());
  }
}
void SetAttributes(fuse_req_t request, fuse_ino_t node, struct stat* stat, int valid,
                   fuse_file_info* file) {
  client::AttributeChange change;
  if ((valid & FUSE_SET_ATTR_MODE) != 0) change.mode = stat->st_mode & 07777;
  if ((valid & FUSE_SET_ATTR_UID) != 0) change.uid = stat->st_uid;
  if ((valid & FUSE_SET_ATTR_GID) != 0) change.gid = stat->st_gid;
  if ((valid & FUSE_SET_ATTR_SIZE) != 0) change.size = static_cast<uint64_t>(stat->st_size);
  if ((valid & FUSE_SET_ATTR_ATIME_NOW) != 0) {
    change.atime_now = true;
  } else if ((valid & FUSE_SET_ATTR_ATIME) != 0) {
    change.atime_ns = ToNs(stat->st_atim);
  }
  if ((valid & FUSE_SET_ATTR_MTIME_NOW) != 0) {
    change.mtime_now = true;
  } else if ((valid & FUSE_SET_ATTR_MTIME) != 0) {
    change.mtime_ns = ToNs(stat->st_mtim);
  }
  change.kill_set_ids = MountOf(request).OrdersKillSetIds();
  Begin(request, "setattr", SetAttributesAsync, MountOf(request).ToInode(node), HandleOf(file),
        change, CallerOf(request));
}

asio::awaitable<void> ReadLinkAsync(Mount& mount, Reply reply, InodeId inode) {
  auto result = co_await mount.filesystem.ReadLink(inode);
  if (result) {
    reply.Link(*result);
  } else {
    reply.Error(result.error());
  }
}
void ReadLink(fuse_req_t request, fuse_ino_t node) {
  Begin(request, "readlink", ReadLinkAsync, MountOf(request).ToInode(node));
}

asio::awaitable<void> MakeNodeAsync(Mount& mount, Reply reply, InodeId parent, std::string name,
                                    uint32_t mode, uint32_t device, Caller caller) {
  auto result = co_await mount.filesystem.MakeNode(parent, name, mode, device, caller);
  Answer(mount, reply, result, parent, name);
}
void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  Begin(request, "mknod", MakeNodeAsync, MountOf(request).ToInode(parent), std::string(name), mode,
        static_cast<uint32_t>(device), CallerOf(request));
}
void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  const uint32_t directory = S_IFDIR | (mode & 07777);
  Begin(request, "mkdir", MakeNodeAsync, MountOf(request).ToInode(parent), std::string(name),
        directory, 0u, CallerOf(request));
}

asio::awaitable<void> SymlinkAsync(Mount& mount, Reply reply, InodeId parent, std::string name,
                                   std::string target, Caller caller) {
  auto result =
      co_await mount.filesystem.Symlink(parent, name, std::move(target), caller);
  Answer(mount, reply, result, parent, name);
}
void Symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  Begin(request, "symlink", SymlinkAsync, MountOf(request).ToInode(parent), std::string(name),
        std::string(target), CallerOf(request));
}

asio::awaitable<void> LinkAsync(Mount& mount, Reply reply, InodeId inode, InodeId parent,
                                std::string name, Caller caller) {
  auto result = co_await mount.filesystem.Link(inode, parent, std::move(name), caller);
  Answer(mount, reply, result, parent, "");
}
void Link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  Begin(request, "link", LinkAsync, MountOf(request).ToInode(node),
        MountOf(request).ToInode(parent), std::string(name), CallerOf(request));
}

asio::awaitable<void> UnlinkAsync(Mount& mount, Reply reply, InodeId parent, std::string name,
                                  Caller caller) {
  auto result = co_await mount.filesystem.Unlink(parent, std::move(name), caller);
  reply.Done(result);
}
void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Begin(request, "unlink", UnlinkAsync, MountOf(request).ToInode(parent), std::string(name),
        CallerOf(request));
}

asio::awaitable<void> RemoveDirectoryAsync(Mount& mount, Reply reply, InodeId parent,
                                           std::string name, Caller caller) {
  auto result = co_await mount.filesystem.RemoveDirectory(parent, std::move(name), caller);
  reply.Done(result);
}
void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Begin(request, "rmdir", RemoveDirectoryAsync, MountOf(request).ToInode(parent), std::string(name),
        CallerOf(request));
}

asio::awaitable<void> RenameAsync(Mount& mount, Reply reply, InodeId parent, std::string name,
                                  InodeId new_parent, std::string new_name, uint32_t flags,
                                  Caller caller) {
  auto result =
      co_await mount.filesystem.Rename(parent, name, new_parent, new_name, flags, caller);
  if (result) mount.NameMoved(new_parent, new_name);
  if (result && (flags & RENAME_EXCHANGE) != 0) {
    mount.NameMoved(parent, name);
    mount.paths.Exchanged(mount.ToNode(parent), name, mount.ToNode(new_parent), new_name);
  } else if (result) {
    mount.paths.Moved(mount.ToNode(parent), name, mount.ToNode(new_parent), new_name);
  }
  reply.Done(result);
}
void Rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned int flags) {
  Begin(request, "rename", RenameAsync, MountOf(request).ToInode(parent), std::string(name),
        MountOf(request).ToInode(new_parent), std::string(new_name), flags, CallerOf(request));
}

asio::awaitable<void> StatFsAsync(Mount& mount, Reply reply, InodeId inode) {
  auto result = co_await mount.filesystem.StatFs(inode);
  if (result) {
    reply.StatFs(*result);
  } else {
    reply.Error(result.error());
  }
}
void StatFs(fuse_req_t request, fuse_ino_t node) {
  Begin(request, "statfs", StatFsAsync, MountOf(request).ToInode(node));
}

}  // namespace

void AddNames(fuse_lowlevel_ops& operations) {
  operations.lookup = &Lookup;
  operations.forget = &Forget;
  operations.forget_multi = &ForgetMulti;
  operations.getattr = &GetAttributes;
  operations.setattr = &SetAttributes;
  operations.readlink = &ReadLink;
  operations.mknod = &MakeNode;
  operations.mkdir = &MakeDirectory;
  operations.symlink = &Symlink;
  operations.link = &Link;
  operations.unlink = &Unlink;
  operations.rmdir = &RemoveDirectory;
  operations.rename = &Rename;
  operations.statfs = &StatFs;
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops operations{};
  AddNames(operations);
  AddFiles(operations);
  AddDirectories(operations);
  AddXattrs(operations);
  AddLocks(operations);
  return operations;
}

}  // namespace ringfs::fuse
