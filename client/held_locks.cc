#include "client/held_locks.h"

#include <algorithm>
#include <limits>

namespace ringfs::client {
namespace {

void CutOut(std::map<uint64_t, uint64_t>& ranges, uint64_t start, uint64_t last) {
  auto range = ranges.upper_bound(start);
  if (range != ranges.begin()) --range;
  while (range != ranges.end() && range->first <= last) {
    const auto [old_start, old_last] = *range;
    if (old_last < start) {
      ++range;
      continue;
    }
    range = ranges.erase(range);
    if (old_start < start) ranges.emplace(old_start, start - 1);
    if (old_last > last) ranges.emplace(last + 1, old_last);
  }
}

}  // namespace

void HeldLocks::Take(HandleId handle, wire::LockKind kind, uint64_t owner, uint64_t start,
                     uint64_t last) {
  Ranges& ranges = held_[Key{kind, owner, handle}];
  // With what it overlaps or touches it becomes one.
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  auto range = ranges.upper_bound(last == kMax ? last : last + 1);
  while (range != ranges.begin()) {
    --range;
    const bool touches = start == 0 || range->second >= start - 1;
    if (!touches) break;
    start = std::min(start, range->first);
    last = std::max(last, range->second);
    range = ranges.erase(range);
  }
  ranges.emplace(start, last);
}

void HeldLocks::Free(wire::LockKind kind, uint64_t owner, uint64_t start, uint64_t last) {
  auto held = held_.lower_bound(Key{kind, owner, HandleId{0}});
  while (held != held_.end() && std::get<0>(held->first) == kind &&
         std::get<1>(held->first) == owner) {
    CutOut(held->second, start, last);
    held = held->second.empty() ? held_.erase(held) : std::next(held);
  }
}

void HeldLocks::FreeOwner(wire::LockKind kind, uint64_t owner) {
  Free(kind, owner, 0, std::numeric_limits<uint64_t>::max());
}

void HeldLocks::FreeHandle(HandleId handle) {
  std::erase_if(held_, [handle](const auto& held) { return std::get<2>(held.first) == handle; });
}

bool HeldLocks::Through(HandleId handle) const {
  return std::any_of(held_.begin(), held_.end(), [handle](const auto& held) {
    return std::get<2>(held.first) == handle;
  });
}

}  // namespace ringfs::client
