// Extended attributes; ACLs are two of them.
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "client/report.h"
#include "fuse/handlers.h"

namespace ringfs::fuse {
namespace {

using client::Caller;

// Answers a value or list in the two steps of the call: its size when the caller's buffer is 0.
void AnswerSized(Reply& reply, const std::string& value, size_t size) {
  if (size == 0) {
    reply.XattrSize(value.size());
  } else if (value.size() > size) {
    reply.Errno(ERANGE);
  } else {
    reply.Bytes(value);
  }
}

asio::awaitable<void> SetXattrAsync(Mount& mount, Reply reply, InodeId inode, std::string name,
                                    std::string value, uint32_t flags, Caller caller) {
  auto result = co_await mount.filesystem.SetXattr(inode, std::move(name), std::move(value), flags,
                                                   false, caller);
  reply.Done(result);
}
void SetXattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value, size_t size,
              int flags) {
  Begin(request, "setxattr", SetXattrAsync, MountOf(request).ToInode(node), std::string(name),
        std::string(value, size), static_cast<uint32_t>(flags), CallerOf(request));
}

asio::awaitable<void> GetXattrAsync(Mount& mount, Reply reply, InodeId inode, std::string name,
                                    size_t size) {
  auto result = co_await mount.filesystem.GetXattr(inode, std::move(name));
  if (result) {
    AnswerSized(reply, *result, size);
  } else {
    reply.Error(result.error());
  }
}

// The errors that applications got: not of the filesystem, but of this mount, and of paths of all its
// users.
void GetErrors(fuse_req_t request, std::string_view name, size_t size) {
  Mount& mount = MountOf(request);
  Reply reply(mount, request, "getxattr", std::string(name));
  const uint32_t uid = fuse_req_ctx(request)->uid;
  if (uid != 0 && uid != getuid()) return reply.Errno(EACCES);
  uint64_t known = 0;
  name.remove_prefix(client::kErrorsAttribute.size());
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), known);
  if (error != std::errc() || end != name.data() + name.size()) return reply.Errno(ENODATA);
  AnswerSized(reply, mount.errors.PageAfter(known).SerializeAsString(), size);
}

asio::awaitable<void> SyncAsync(Mount& mount, Reply reply, size_t size) {
  auto synced = co_await mount.filesystem.SyncAll();
  if (synced) {
    AnswerSized(reply, "", size);
  } else {
    reply.Error(synced.error());
  }
}

void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t size) {
  if (node == FUSE_ROOT_ID && std::string_view(name).starts_with(client::kErrorsAttribute)) {
    return GetErrors(request, name, size);
  }
  if (node == FUSE_ROOT_ID && name == client::kSyncAttribute) {
    return Begin(request, "sync", SyncAsync, size);
  }
  Begin(request, "getxattr", GetXattrAsync, MountOf(request).ToInode(node), std::string(name),
        size);
}

asio::awaitable<void> ListXattrsAsync(Mount& mount, Reply reply, InodeId inode, size_t size) {
  auto result = co_await mount.filesystem.ListXattrs(inode);
  if (!result) {
    reply.Error(result.error());
    co_return;
  }
  std::string joined;
  for (const std::string& name : *result) {
    joined += name;
    joined += '\0';
  }
  AnswerSized(reply, joined, size);
}
void ListXattrs(fuse_req_t request, fuse_ino_t node, size_t size) {
  Begin(request, "listxattr", ListXattrsAsync, MountOf(request).ToInode(node), size);
}

asio::awaitable<void> RemoveXattrAsync(Mount& mount, Reply reply, InodeId inode, std::string name,
                                       Caller caller) {
  auto result = co_await mount.filesystem.RemoveXattr(inode, std::move(name), caller);
  reply.Done(result);
}
void RemoveXattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  Begin(request, "removexattr", RemoveXattrAsync, MountOf(request).ToInode(node), std::string(name),
        CallerOf(request));
}

}  // namespace

void AddXattrs(fuse_lowlevel_ops& operations) {
  operations.setxattr = &SetXattr;
  operations.getxattr = &GetXattr;
  operations.listxattr = &ListXattrs;
  operations.removexattr = &RemoveXattr;
}

}  // namespace ringfs::fuse
