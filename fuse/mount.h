#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "client/filesystem.h"
#include "common/buffer.h"

struct fuse_req;

namespace ringfs::fuse {

class Session;

enum class Atime { kRelatime, kNoatime, kStrict };

// What the operations work on; libfuse's user data.
//
// Threads: the thread of `executor`.
class Mount {
 public:
  Mount(asio::any_io_executor runs_on, client::Filesystem& mounted)
      : executor(std::move(runs_on)), filesystem(mounted) {}

  asio::any_io_executor executor;
  client::Filesystem& filesystem;  // borrowed
  Session* session = nullptr;      // set by Session::Start
  Atime atime = Atime::kRelatime;
  bool read_only = false;

  // The kernel's number 1 is the root of the mount, whatever inode that is.
  InodeId ToInode(uint64_t node) const {
    return node == 1 ? filesystem.root() : static_cast<InodeId>(node);
  }

  // `bytes` lie in the request that is being handed out: a buffer that shares its memory.
  Buffer KeepRequest(const char* bytes, size_t size);
  // Whether KeepRequest() was called since the last time.
  bool TakeRequestKept() { return std::exchange(request_kept_, false); }
  // Whether the request that is being handed out orders set-id bits to be cleared.
  bool OrdersKillSetIds() const;

  // After a read: brings the access time up to date as the mount's rule says, in the background.
  void Touch(const wire::Attributes& attributes);

 private:
  bool request_kept_ = false;
};

}  // namespace ringfs::fuse
