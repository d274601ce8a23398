#include "client/told_flocks.h"

#include <limits>

#include "client/retry.h"

namespace ringfs::client {
namespace {

constexpr uint64_t kLastOffset = std::numeric_limits<int64_t>::max();

}  // namespace

void ToldFlocks::Answered(const LockRequest& request, const Result<wire::SetLockReply>& reply) {
  if (!reply && MayRetry(reply.code())) {
    told_[request.owner] = Flock{request.type, request.handle, request.pid, false};
  } else if (reply && !reply->queued() && request.type != wire::LOCK_UNLOCK) {
    Granted(request);
  } else if (reply || reply.code() == Errc::kWouldBlock) {
    told_.erase(request.owner);  // one that cannot be converted is lost
  }
}

void ToldFlocks::Granted(const LockRequest& request) {
  told_[request.owner] = Flock{request.type, request.handle, request.pid, true};
}

void ToldFlocks::Closed(HandleId handle, bool sure) {
  for (auto flock = told_.begin(); flock != told_.end();) {
    const auto current = flock++;
    if (current->second.handle != handle) continue;
    if (sure) {
      told_.erase(current);
    } else {
      current->second.sure = false;
    }
  }
}

bool ToldFlocks::Through(HandleId handle) const {
  for (const auto& [owner, flock] : told_) {
    if (flock.handle == handle) return true;
  }
  return false;
}

LockRequest ToldFlocks::RequestOf(InodeId inode, uint64_t owner, const Flock& flock) {
  LockRequest request;
  request.inode = inode;
  request.handle = flock.handle;
  request.kind = wire::LOCK_FLOCK;
  request.type = flock.type;
  request.owner = owner;
  request.last = kLastOffset;
  request.pid = flock.pid;
  return request;
}

std::vector<LockRequest> ToldFlocks::Held(InodeId inode) const {
  std::vector<LockRequest> held;
  for (const auto& [owner, flock] : told_) {
    if (flock.sure) held.push_back(RequestOf(inode, owner, flock));
  }
  return held;
}

// What goes, then what becomes less, then shared ones, then an exclusive one.
std::optional<LockRequest> ToldFlocks::Next(InodeId inode,
                                            const std::vector<wire::LockInfo>& held) const {
  std::map<uint64_t, Flock> wanted;
  for (const wire::LockInfo& lock : held) {
    if (lock.waiting() || lock.kind() != wire::LOCK_FLOCK) continue;
    wanted[lock.owner()] = Flock{lock.type(), HandleId{lock.handle()}, lock.pid(), true};
  }
  for (const auto& [owner, flock] : told_) {
    if (wanted.contains(owner)) continue;
    LockRequest unlock = RequestOf(inode, owner, flock);
    unlock.type = wire::LOCK_UNLOCK;
    return unlock;
  }
  std::optional<LockRequest> shared;
  std::optional<LockRequest> exclusive;
  for (const auto& [owner, flock] : wanted) {
    const auto told = told_.find(owner);
    const bool known = told != told_.end();
    const bool same = known && told->second.sure && told->second.type == flock.type &&
                      told->second.handle == flock.handle;
    if (same) continue;
    const LockRequest request = RequestOf(inode, owner, flock);
    if (flock.type == wire::LOCK_EXCLUSIVE) {
      exclusive = request;
    } else if (known) {
      return request;
    } else {
      shared = request;
    }
  }
  return shared ? shared : exclusive;
}

}  // namespace ringfs::client
