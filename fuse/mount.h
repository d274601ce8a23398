#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "client/filesystem.h"
#include "common/buffer.h"
#include "common/call_metrics.h"
#include "fuse/error_book.h"
#include "fuse/kernel_cache.h"
#include "fuse/known_paths.h"
#include "fuse/reply.h"
#include "fuse/request_kinds.h"

struct fuse_req;
struct fuse_entry_param;
struct fuse_file_info;

namespace ringfs::fuse {

class Session;

enum class Atime { kRelatime, kNoatime, kStrict };

// What a request of the kernel is about.
struct RequestSubject {
  uint64_t node = 0;  // the kernel's number of the inode, or of the folder
  uint32_t kind = 0;  // of RequestKinds()
  size_t bytes = 0;   // of all of it
};

// What the operations work on; libfuse's user data.
//
// Threads: the thread of `executor`.
class Mount {
 public:
  Mount(asio::any_io_executor runs_on, client::Filesystem& mounted);

  asio::any_io_executor executor;
  client::Filesystem& filesystem;  // borrowed
  Session* session = nullptr;      // set by Session::Start
  KernelCache kernel;
  bool caching = false;  // attributes, names and pages are kept in the kernel, as leases allow
  Atime atime = Atime::kRelatime;
  bool read_only = false;
  KnownPaths paths;
  ErrorBook errors;
  Metrics metrics;
  CallMetrics calls{metrics, RequestKinds()};

  // The kernel's number 1 is the root of the mount, whatever inode that is.
  InodeId ToInode(uint64_t node) const {
    return node == 1 ? filesystem.root() : static_cast<InodeId>(node);
  }

  uint64_t ToNode(InodeId inode) const { return inode == filesystem.root() ? 1 : Raw(inode); }

  // Answers with attributes, to be kept for as long as the lease on the inode allows; with newer
  // ones, if there are.
  void AnswerAttributes(Reply& reply, const wire::Attributes& attributes);
  // As AnswerAttributes(), with the inode as such; `name` in `parent`, unless it is empty, may be
  // kept as well.
  void AnswerEntry(Reply& reply, const wire::Attributes& attributes, InodeId parent,
                   const std::string& name);
  // False: the caller has gone, the handle is to be released.
  bool AnswerCreated(Reply& reply, const wire::Attributes& attributes, const fuse_file_info& file,
                     InodeId parent, const std::string& name);
  // A rename is about to be answered: the kernel moves what it keeps of the name to this one, as
  // fresh as it was. Without a lease of the directory it must not.
  void NameMoved(InodeId parent, const std::string& name);
  // There is no such name; that may be kept as well.
  void AnswerAbsent(Reply& reply, InodeId parent, const std::string& name);
  // After a read or write of the handle was answered: pages that may not stay go.
  void DropPages(client::HandleId handle, InodeId inode);

  // `bytes` lie in the request that is being handed out: a buffer that shares its memory.
  Buffer KeepRequest(const char* bytes, size_t size);
  // Whether KeepRequest() was called since the last time.
  bool TakeRequestKept() { return std::exchange(request_kept_, false); }
  // Of the request that is being handed out.
  RequestSubject Subject() const;
  // Whether the request that is being handed out orders set-id bits to be cleared.
  bool OrdersKillSetIds() const;

  // After a read: brings the access time up to date as the mount's rule says, in the background.
  void Touch(const wire::Attributes& attributes);

 private:
  fuse_entry_param EntryFor(const wire::Attributes& attributes, InodeId parent,
                            const std::string& name);

  bool request_kept_ = false;
};

}  // namespace ringfs::fuse
