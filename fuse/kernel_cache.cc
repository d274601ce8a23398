#include "fuse/kernel_cache.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/async.h"
#include "common/log.h"

namespace ringfs::fuse {
namespace {

constexpr int32_t kNotifyIncEpoch = 8;  // kernel 6.16; newer than Debian 12's header
// How often it is looked whether the kernel has got to know an inode that was named to it.
constexpr int64_t kUnknownPauseMs = 1;

// 0, or the negative error.
int Notify(int device, int32_t code, const void* body, size_t size) {
  fuse_out_header header{};
  header.len = static_cast<uint32_t>(sizeof(header) + size);
  header.error = code;
  const iovec pieces[] = {{&header, sizeof(header)}, {const_cast<void*>(body), size}};
  return writev(device, pieces, size == 0 ? 1 : 2) < 0 ? -errno : 0;
}

int InvalidateInode(int device, uint64_t node, bool pages) {
  fuse_notify_inval_inode_out out{};
  out.ino = node;
  out.off = pages ? 0 : -1;  // a negative offset: attributes only; a length of 0: to the end
  return Notify(device, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out));
}

}  // namespace

void KernelCache::Attach(int device, uint64_t root, bool with_epoch) {
  device_ = device;
  root_ = root;
  with_epoch_ = with_epoch;
}

void KernelCache::Named(uint64_t inode) { ++named_[inode]; }

void KernelCache::Forgot(uint64_t inode, uint64_t times) {
  const auto found = named_.find(inode);
  if (found == named_.end()) return;
  if (found->second > times) {
    found->second -= times;
  } else {
    named_.erase(found);
  }
}

void KernelCache::BeginEpoch() {
  with_names_.clear();
  const int error = Notify(device_, kNotifyIncEpoch, nullptr, 0);
  // Without a mount there is nothing that is kept.
  if (error != 0 && error != -ENOTCONN && error != -ENODEV) {
    spdlog::error("the kernel does not begin a new epoch: {}", std::strerror(-error));
  }
}

asio::awaitable<void> KernelCache::Forget(InodeId inode, bool pages) {
  if (device_ < 0) co_return;
  if (pages && with_names_.contains(inode)) BeginEpoch();
  const bool is_root = Raw(inode) == root_;
  const uint64_t node = is_root ? 1 : Raw(inode);
  // A reply that names an inode has been written before the kernel has made the inode of it.
  while (device_ >= 0 && (is_root || named_.contains(Raw(inode)))) {
    auto invalidate = [device = device_, node, pages] {
      return InvalidateInode(device, node, pages);
    };
    const int error = co_await RunOn(notifiers_, std::move(invalidate));
    if (error != -ENOENT || is_root) co_return;
    co_await SleepMs(kUnknownPauseMs);
  }
}

}  // namespace ringfs::fuse
