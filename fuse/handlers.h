#pragma once

#include <asio/awaitable.hpp>
#include <string>
#include <type_traits>

#include "client/filesystem.h"
#include "common/async.h"
#include "fuse/lowlevel.h"
#include "fuse/mount.h"
#include "fuse/reply.h"

namespace ringfs::fuse {

// Each group of operations puts its functions in.
void AddNames(fuse_lowlevel_ops& operations);
void AddFiles(fuse_lowlevel_ops& operations);
void AddDirectories(fuse_lowlevel_ops& operations);
void AddXattrs(fuse_lowlevel_ops& operations);
void AddLocks(fuse_lowlevel_ops& operations);

fuse_lowlevel_ops Operations();

inline Mount& MountOf(fuse_req_t request) {
  return *static_cast<Mount*>(fuse_req_userdata(request));
}

inline client::Caller CallerOf(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  client::Caller caller;
  caller.uid = context->uid;
  caller.gid = context->gid;
  caller.umask = context->umask;
  caller.pid = context->pid;
  return caller;
}

inline client::HandleId HandleOf(const fuse_file_info* file) {
  return file == nullptr ? client::HandleId{0} : static_cast<client::HandleId>(file->fh);
}

// `result`, unless locks were taken through the handle that are lost. 0: the call had none.
template <typename T>
asio::awaitable<Result<T>> ConfirmedBy(Mount& mount, client::HandleId handle, Result<T> result) {
  if (handle == client::HandleId{0}) co_return result;
  auto confirmed = co_await mount.filesystem.Confirm(handle);
  if (!confirmed) co_return Fail(confirmed.error());
  co_return result;
}

// The name in its folder that an operation is about: the first of its arguments that is a text.
inline std::string NameIn() { return {}; }
template <typename First, typename... Rest>
std::string NameIn(const First& first, const Rest&... rest) {
  if constexpr (std::is_same_v<First, std::string>) {
    return first;
  } else {
    return NameIn(rest...);
  }
}

// Starts an operation: `work` is a coroutine function taking (Mount&, Reply, arguments...).
template <typename Work, typename... Arguments>
void Begin(fuse_req_t request, const char* name, Work work, Arguments... arguments) {
  Mount& mount = MountOf(request);
  Reply reply(mount, request, name, NameIn(arguments...));  // before the arguments move away
  Spawn(mount.executor, work(mount, std::move(reply), std::move(arguments)...), name);
}

}  // namespace ringfs::fuse
