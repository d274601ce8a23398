#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/thread_pool.hpp>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "common/ids.h"

namespace ringfs::fuse {

// What the kernel was told to keep, and how it is made to forget it.
//
// Names are forgotten all at once, by a new epoch (FUSE_NOTIFY_INC_EPOCH): to forget a single one
// the kernel waits for the lock of its directory, which a request of this very mount may hold while
// it waits for us. Attributes and pages are forgotten by threads that serve no requests: the kernel
// waits there until requests that use those pages are answered.
//
// Threads: the thread of the executor.
class KernelCache {
 public:
  explicit KernelCache(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // The device of the mount; `with_epoch`: the kernel knows epochs. Without them no names may be
  // kept. Until this is called the kernel keeps nothing.
  void Attach(int device, uint64_t root, bool with_epoch);
  // It is unmounted: nothing is kept any more, and who waits for Forget() goes on.
  void Detach() { device_ = -1; }

  // An inode is about to be named in a reply: the kernel counts each time.
  void Named(uint64_t inode);
  // The kernel takes `times` of them back (FORGET), or the reply did not reach it.
  void Forgot(uint64_t inode, uint64_t times);

  bool may_keep_names() const { return with_epoch_; }
  // A name in the directory `parent` was told to be kept.
  void NameKept(InodeId parent) { with_names_.insert(parent); }
  // The kernel forgets all names, at once.
  void ForgetNames() {
    if (device_ >= 0 && with_epoch_) BeginEpoch();
  }

  // Returns when the kernel has no attributes, and with `pages` no pages and names either, of the
  // inode from before this call. Pages that programs have changed through mappings are written
  // first: those requests must be served meanwhile.
  asio::awaitable<void> Forget(InodeId inode, bool pages);

 private:
  void BeginEpoch();

  asio::any_io_executor executor_;
  int device_ = -1;
  uint64_t root_ = 1;
  bool with_epoch_ = false;
  std::unordered_map<uint64_t, uint64_t> named_;  // inodes that the kernel knows, how often named
  std::unordered_set<InodeId> with_names_;        // directories of which it keeps names
  asio::thread_pool notifiers_{8};
};

}  // namespace ringfs::fuse
