#pragma once

#include <sys/stat.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/filesystem.h"
#include "common/buffer.h"
#include "common/result.h"
#include "proto/namespace.pb.h"

struct fuse_req;
struct fuse_entry_param;
struct fuse_file_info;
struct flock;

namespace ringfs::fuse {

class Mount;

// The one answer to a request of the kernel. Each of the functions answers and may be called once;
// an object that dies without an answer answers EIO and logs it.
//
// While the answer is outstanding the caller may be killed; then EINTR is answered in its place, so
// that the process can end, and the real answer goes nowhere (docs/posix.md, "Signals").
//
// Threads: the thread of the session.
class Reply {
 public:
  // `name` of the operation, a literal, for the log. `entry`: the name that it is about in the folder
  // that the request names, or of the attribute; empty: it is about the inode. Made while the request
  // is being handed out. `mount` is borrowed: it runs the watch for killed callers, learns the paths
  // of what is found, and keeps the story of an error.
  Reply(Mount& mount, fuse_req* request, const char* name, std::string entry);
  Reply(Reply&&) = default;
  Reply& operator=(Reply&&) = delete;
  ~Reply();

  // Any signal to the caller raises `interrupt` (F_SETLKW, flock).
  void InterruptWith(client::Interrupt interrupt);

  void Ok();
  void Error(const ringfs::Error& error);
  void Errno(int number);
  // Ok, or the error of `result`.
  void Done(const Result<void>& result);
  // False: the caller has gone, and the kernel does not count the inode as named.
  bool Entry(const fuse_entry_param& entry);
  // A lookup or creation that also opens. False: the caller has gone, the handle is to be released.
  bool Created(const fuse_entry_param& entry, const fuse_file_info& file);
  bool Opened(const fuse_file_info& file);
  void Attributes(const struct stat& stat, double timeout_s);
  void Link(const std::string& target);
  void Bytes(std::span<const char> bytes);
  void Pieces(const std::vector<Buffer>& pieces);
  void Written(size_t size);
  void XattrSize(size_t size);
  void StatFs(const wire::StatFsReply& stat);
  void Lock(const struct ::flock& lock);
  void Offset(int64_t offset);

 private:
  struct State;
  // The request, if it still waits for its answer; from here on it does not.
  fuse_req* Take(bool failed = false, size_t bytes = 0);
  // The inode under the name of the request was found or made.
  void Found(uint64_t inode);
  void Remember(const ringfs::Error& error);

  std::shared_ptr<State> state_;
};

}  // namespace ringfs::fuse
