// Extended attributes; ACLs are two of them.
#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

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
void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t size) {
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
