#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/thread_pool.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/buffer.h"
#include "common/result.h"

struct fuse_conn_info;
struct fuse_session;

namespace ringfs::fuse {

class Mount;

// A mounted FUSE connection: reads requests and hands them to the operations.
//
// Everything runs in the thread of `executor`: reading /dev/fuse, the start of each operation, its
// waiting for sockets, and its answer. No request changes threads, and nothing needs a lock.
//
// Owns: the mount. The destructor ends one that still stands: what is under way there gets
// ENOTCONN.
class Session {
 public:
  // Mounts `mount`'s filesystem at `mountpoint` with these mount options ("ro,allow_other,...").
  // kInvalid: libfuse refuses an option. kIo: the mount failed (libfuse has said why on stderr).
  static Result<std::unique_ptr<Session>> Start(asio::any_io_executor executor, Mount& mount,
                                                const std::string& mountpoint,
                                                const std::vector<std::string>& options);
  ~Session();

  // Reads requests until the filesystem is unmounted, by whomever.
  asio::awaitable<void> Serve();
  // Takes the mountpoint away at once; Serve() returns when the last open file is closed. Meanwhile
  // Serve() must run: the kernel first writes back what programs have mapped and changed.
  asio::awaitable<void> Unmount();

  // The kernel has said what it can.
  void Initialized(const fuse_conn_info& connection);

  // Of the request that is being handed out. The bytes stay valid while a copy of the Buffer lives.
  const Buffer& current_request() const { return request_; }

 private:
  explicit Session(asio::any_io_executor executor);
  // Hands out what there is, at most a few; false at the end of the mount.
  bool ServeSome(bool* more);
  static ssize_t Read(int fd, void* buffer, size_t size, void* data);
  static ssize_t Write(int fd, struct iovec* pieces, int count, void* data);

  asio::any_io_executor executor_;
  asio::posix::stream_descriptor device_;
  fuse_session* session_ = nullptr;
  Mount* mount_ = nullptr;
  std::string mountpoint_;
  asio::thread_pool helper_{1};  // for umount(2), which waits for answers of this thread
  Buffer receive_;               // what the next request is read into
  Buffer request_;               // the part of it that the request takes
  uint64_t offered_ = 0;
  bool mounted_ = false;
};

}  // namespace ringfs::fuse
