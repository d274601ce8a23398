// flock and fcntl locks, carried to the master.
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <limits>

#include "fuse/handlers.h"

namespace ringfs::fuse {
namespace {

using client::Interrupt;
using client::LockRequest;

constexpr uint64_t kLastOffset = std::numeric_limits<int64_t>::max();

// libfuse hands the kernel's start and end on as l_start and l_len, with 0 for "to the end".
LockRequest ToRequest(Mount& mount, uint64_t node, const fuse_file_info* file,
                      const struct flock& lock) {
  LockRequest request;
  request.inode = mount.ToInode(node);
  request.handle = HandleOf(file);
  request.owner = file->lock_owner;
  request.start = static_cast<uint64_t>(lock.l_start);
  request.last =
      lock.l_len == 0 ? kLastOffset : static_cast<uint64_t>(lock.l_start + lock.l_len - 1);
  request.pid = lock.l_pid;
  switch (lock.l_type) {
    case F_RDLCK:
      request.type = wire::LOCK_SHARED;
      break;
    case F_WRLCK:
      request.type = wire::LOCK_EXCLUSIVE;
      break;
    default:
      request.type = wire::LOCK_UNLOCK;
  }
  return request;
}

asio::awaitable<void> SetLockAsync(Mount& mount, Reply reply, LockRequest request) {
  Interrupt interrupt;
  reply.InterruptWith(interrupt);
  auto result = co_await mount.filesystem.SetLock(request, interrupt);
  reply.Done(result);
}
void SetLock(fuse_req_t request, fuse_ino_t node, fuse_file_info* file, struct flock* lock,
             int sleep) {
  LockRequest wanted = ToRequest(MountOf(request), node, file, *lock);
  wanted.wait = sleep != 0;
  wanted.pid = fuse_req_ctx(request)->pid;
  Begin(request, "setlk", SetLockAsync, wanted);
}

asio::awaitable<void> GetLockAsync(Mount& mount, Reply reply, LockRequest request) {
  auto result = co_await mount.filesystem.TestLock(request);
  if (!result) {
    reply.Error(result.error());
    co_return;
  }
  struct flock lock {};
  lock.l_whence = SEEK_SET;
  if (!result->blocked()) {
    lock.l_type = F_UNLCK;
  } else {
    lock.l_type = result->type() == wire::LOCK_SHARED ? F_RDLCK : F_WRLCK;
    lock.l_start = static_cast<off_t>(result->start());
    lock.l_len = result->last() >= kLastOffset
                     ? 0
                     : static_cast<off_t>(result->last() - result->start() + 1);
    lock.l_pid = result->pid();
  }
  reply.Lock(lock);
}
void GetLock(fuse_req_t request, fuse_ino_t node, fuse_file_info* file, struct flock* lock) {
  Begin(request, "getlk", GetLockAsync, ToRequest(MountOf(request), node, file, *lock));
}

void Flock(fuse_req_t request, fuse_ino_t node, fuse_file_info* file, int operation) {
  LockRequest wanted;
  wanted.inode = MountOf(request).ToInode(node);
  wanted.handle = HandleOf(file);
  wanted.kind = wire::LOCK_FLOCK;
  wanted.owner = file->lock_owner;
  wanted.last = kLastOffset;
  wanted.pid = fuse_req_ctx(request)->pid;
  wanted.wait = (operation & LOCK_NB) == 0;
  switch (operation & ~LOCK_NB) {
    case LOCK_SH:
      wanted.type = wire::LOCK_SHARED;
      break;
    case LOCK_EX:
      wanted.type = wire::LOCK_EXCLUSIVE;
      break;
    case LOCK_UN:
      wanted.type = wire::LOCK_UNLOCK;
      break;
    default:
      fuse_reply_err(request, EINVAL);
      return;
  }
  Begin(request, "flock", SetLockAsync, wanted);
}

}  // namespace

void AddLocks(fuse_lowlevel_ops& operations) {
  operations.setlk = &SetLock;
  operations.getlk = &GetLock;
  operations.flock = &Flock;
}

}  // namespace ringfs::fuse
