#include "common/locks/lock_space.h"

#include <algorithm>

#include "common/check.h"

namespace ringfs {
namespace {

uint64_t EndOf(const HeldLock& lock) { return lock.claim.range.last; }
uint64_t EndOf(const HeldLock* lock) { return lock->claim.range.last; }

// The first of the ranges, which do not overlap and are keyed by start, that ends at `start` or
// behind it.
template <typename Ranges>
auto FirstEndingFrom(const Ranges& ranges, uint64_t start) {
  auto it = ranges.upper_bound(start);
  if (it != ranges.begin() && EndOf(std::prev(it)->second) >= start) --it;
  return it;
}

}  // namespace

LockRange Hull(LockRange a, LockRange b) {
  return LockRange{std::min(a.start, b.start), std::max(a.last, b.last)};
}

bool LockSpace::OnlyOf(SessionId session) const {
  const bool held = held_.empty() || (held_.begin()->first.session == session &&
                                      held_.rbegin()->first.session == session);
  const bool waits = waiters_.empty() || (waiters_.begin()->first.first == session &&
                                          waiters_.rbegin()->first.first == session);
  return held && waits;
}

const HeldLock* LockSpace::Conflict(const LockClaim& claim) const {
  auto it = FirstEndingFrom(exclusive_, claim.range.start);
  for (; it != exclusive_.end() && it->first <= claim.range.last; ++it) {
    if (it->second->claim.owner != claim.owner) return it->second;
  }
  if (claim.type != wire::LOCK_EXCLUSIVE) return nullptr;
  for (const auto& [owner, ranges] : shared_) {
    if (owner == claim.owner) continue;
    auto first = FirstEndingFrom(ranges, claim.range.start);
    if (first != ranges.end() && first->first <= claim.range.last) return first->second;
  }
  return nullptr;
}

const HeldLock* LockSpace::FirstConflict(const LockClaim& claim) const {
  auto it = FirstEndingFrom(exclusive_, claim.range.start);
  const HeldLock* found = nullptr;
  for (; found == nullptr && it != exclusive_.end() && it->first <= claim.range.last; ++it) {
    if (it->second->claim.owner != claim.owner) found = it->second;
  }
  if (claim.type != wire::LOCK_EXCLUSIVE) return found;
  for (const auto& [owner, ranges] : shared_) {
    if (owner == claim.owner) continue;
    auto first = FirstEndingFrom(ranges, claim.range.start);
    if (first == ranges.end() || first->first > claim.range.last) continue;
    if (found == nullptr || first->first < found->claim.range.start) found = first->second;
  }
  return found;
}

void LockSpace::ForEachConflict(const LockClaim& claim,
                                const std::function<bool(const LockOwner&)>& visit) const {
  auto it = FirstEndingFrom(exclusive_, claim.range.start);
  for (; it != exclusive_.end() && it->first <= claim.range.last; ++it) {
    const LockOwner& owner = it->second->claim.owner;
    if (owner != claim.owner && !visit(owner)) return;
  }
  if (claim.type != wire::LOCK_EXCLUSIVE) return;
  for (const auto& [owner, ranges] : shared_) {
    if (owner == claim.owner) continue;
    auto first = FirstEndingFrom(ranges, claim.range.start);
    if (first != ranges.end() && first->first <= claim.range.last && !visit(owner)) return;
  }
}

std::vector<HeldLock> LockSpace::Touching(const LockOwner& owner, LockRange range) const {
  std::vector<HeldLock> found;
  auto ranges = held_.find(owner);
  if (ranges == held_.end()) return found;
  uint64_t start = range.start == 0 ? 0 : range.start - 1;
  auto it = FirstEndingFrom(ranges->second, start);
  for (; it != ranges->second.end() && it->first <= range.last + 1; ++it) {
    found.push_back(it->second);
  }
  return found;
}

void LockSpace::Add(const HeldLock& lock) {
  const LockClaim& claim = lock.claim;
  auto [it, added] = held_[claim.owner].emplace(claim.range.start, lock);
  RINGFS_CHECK(added);
  if (claim.type == wire::LOCK_EXCLUSIVE) {
    RINGFS_CHECK(exclusive_.emplace(claim.range.start, &it->second).second);
  } else {
    shared_[claim.owner].emplace(claim.range.start, &it->second);
  }
  held_through_.emplace(claim.owner.session, claim.handle, claim.owner, claim.range.start);
}

void LockSpace::Remove(const HeldLock& lock) {
  const LockClaim claim = lock.claim;  // a copy: `lock` may be the one that goes
  held_through_.erase({claim.owner.session, claim.handle, claim.owner, claim.range.start});
  if (claim.type == wire::LOCK_EXCLUSIVE) {
    exclusive_.erase(claim.range.start);
  } else {
    auto shared = shared_.find(claim.owner);
    shared->second.erase(claim.range.start);
    if (shared->second.empty()) shared_.erase(shared);
  }
  auto ranges = held_.find(claim.owner);
  RINGFS_CHECK(ranges != held_.end());
  RINGFS_CHECK(ranges->second.erase(claim.range.start) == 1);
  if (ranges->second.empty()) held_.erase(ranges);
}

std::vector<HeldLock> LockSpace::HeldBy(SessionId session, std::optional<uint64_t> handle) const {
  std::vector<HeldLock> found;
  auto it = held_through_.lower_bound({session, handle.value_or(0), LockOwner{}, 0});
  for (; it != held_through_.end() && std::get<0>(*it) == session; ++it) {
    if (handle && std::get<1>(*it) != *handle) break;
    found.push_back(held_.at(std::get<2>(*it)).at(std::get<3>(*it)));
  }
  return found;
}

std::vector<HeldLock> LockSpace::Held() const {
  std::vector<HeldLock> all;
  for (const auto& [owner, ranges] : held_) {
    for (const auto& [start, lock] : ranges) all.push_back(lock);
  }
  std::stable_sort(all.begin(), all.end(), [](const HeldLock& a, const HeldLock& b) {
    return a.claim.range.start < b.claim.range.start;
  });
  return all;
}

void LockSpace::Push(const WaitingLock& wait) {
  SessionId session = wait.claim.owner.session;
  RINGFS_CHECK(queue_.emplace(wait.id, wait).second);
  RINGFS_CHECK(waiters_.emplace(std::pair(session, wait.waiter), wait.id).second);
  waits_through_.emplace(session, wait.claim.handle, wait.id);
  if (wait.exempt) exempt_.insert(wait.id);
}

void LockSpace::Erase(uint64_t id) {
  auto it = queue_.find(id);
  RINGFS_CHECK(it != queue_.end());
  SessionId session = it->second.claim.owner.session;
  waiters_.erase({session, it->second.waiter});
  waits_through_.erase({session, it->second.claim.handle, id});
  exempt_.erase(id);
  queue_.erase(it);
}

const WaitingLock* LockSpace::Wait(uint64_t id) const {
  auto it = queue_.find(id);
  return it == queue_.end() ? nullptr : &it->second;
}

const WaitingLock* LockSpace::Wait(SessionId session, uint64_t waiter) const {
  auto it = waiters_.find({session, waiter});
  return it == waiters_.end() ? nullptr : Wait(it->second);
}

const WaitingLock* LockSpace::After(uint64_t id, bool exempt_only) const {
  if (exempt_only) {
    auto next = exempt_.upper_bound(id);
    return next == exempt_.end() ? nullptr : Wait(*next);
  }
  auto next = queue_.upper_bound(id);
  return next == queue_.end() ? nullptr : &next->second;
}

bool LockSpace::ConflictsBefore(uint64_t id, const LockClaim& claim) const {
  for (auto it = queue_.begin(); it != queue_.end() && it->first < id; ++it) {
    if (it->second.claim.ConflictsWith(claim)) return true;
  }
  return false;
}

void LockSpace::SetExempt(uint64_t id, bool exempt) {
  queue_.at(id).exempt = exempt;
  if (exempt) {
    exempt_.insert(id);
  } else {
    exempt_.erase(id);
  }
}

std::vector<uint64_t> LockSpace::WaitsOf(SessionId session, std::optional<uint64_t> handle) const {
  std::vector<uint64_t> found;
  auto it = waits_through_.lower_bound({session, handle.value_or(0), 0});
  for (; it != waits_through_.end() && std::get<0>(*it) == session; ++it) {
    if (handle && std::get<1>(*it) != *handle) break;
    found.push_back(std::get<2>(*it));
  }
  return found;
}

}  // namespace ringfs
