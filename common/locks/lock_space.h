#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "proto/lock.pb.h"

namespace ringfs {

inline constexpr uint64_t kMaxLockOffset = (uint64_t{1} << 63) - 1;

// Bytes from start to last, both inclusive.
struct LockRange {
  uint64_t start = 0;
  uint64_t last = kMaxLockOffset;

  bool Overlaps(LockRange other) const { return start <= other.last && other.start <= last; }
  bool Covers(LockRange other) const { return start <= other.start && other.last <= last; }
  bool operator==(const LockRange&) const = default;
};

// Both ranges, and what is between them.
LockRange Hull(LockRange a, LockRange b);

// Who is excluded by no lock of its own. The kernel's numbers of different kinds may be equal.
struct LockOwner {
  SessionId session{0};
  wire::LockKind kind = wire::LOCK_RANGE;
  uint64_t number = 0;

  auto operator<=>(const LockOwner&) const = default;
};

// The kinds do not exclude each other: each has its own space on an inode.
struct SpaceKey {
  InodeId inode{0};
  wire::LockKind kind = wire::LOCK_RANGE;

  auto operator<=>(const SpaceKey&) const = default;
};

// What is asked for, or held. `type` is not UNLOCK.
struct LockClaim {
  LockOwner owner;
  wire::LockType type = wire::LOCK_SHARED;
  LockRange range;
  int32_t pid = 0;
  uint64_t handle = 0;

  bool ConflictsWith(const LockClaim& other) const {
    return owner != other.owner && range.Overlaps(other.range) &&
           (type == wire::LOCK_EXCLUSIVE || other.type == wire::LOCK_EXCLUSIVE);
  }
};

struct HeldLock {
  uint64_t id = 0;
  LockClaim claim;
  int64_t since_ns = 0;
  uint64_t grant = 0;
};

struct WaitingLock {
  uint64_t id = 0;  // its place in the queue
  LockClaim claim;
  int64_t since_ns = 0;
  uint64_t waiter = 0;  // the client's number
  bool exempt = false;  // from the queue's order: its owner or process holds something
};

// The locks of one kind on one inode: what is held, and the queue of waits.
//
// Threads:   none of its own and no locks.
// Invariant: held locks of different owners do not conflict, those of one owner do not overlap;
//            the caller keeps it, by asking Conflict() and Touching() before Add().
class LockSpace {
 public:
  LockSpace() = default;
  LockSpace(const LockSpace&) = delete;  // it points into itself
  LockSpace& operator=(const LockSpace&) = delete;

  bool empty() const { return held_.empty() && queue_.empty(); }
  // Nobody but the session holds anything, or waits.
  bool OnlyOf(SessionId session) const;

  // A lock held by another owner that excludes the claim; null: none. Any one; it is found in the
  // logarithm of what is held, and for an exclusive claim one look at each owner of shared locks.
  const HeldLock* Conflict(const LockClaim& claim) const;
  // The one that starts first.
  const HeldLock* FirstConflict(const LockClaim& claim) const;
  // Calls `visit` with the owners of all such locks, perhaps repeatedly, until it says false.
  void ForEachConflict(const LockClaim& claim,
                       const std::function<bool(const LockOwner&)>& visit) const;

  // The owner's locks that overlap the range or are next to it, by start.
  std::vector<HeldLock> Touching(const LockOwner& owner, LockRange range) const;
  void Add(const HeldLock& lock);
  void Remove(const HeldLock& lock);
  // Of a session; through a handle if one is given.
  std::vector<HeldLock> HeldBy(SessionId session, std::optional<uint64_t> handle) const;
  std::vector<HeldLock> Held() const;  // by start, then owner

  void Push(const WaitingLock& wait);
  void Erase(uint64_t id);
  const WaitingLock* Wait(uint64_t id) const;
  const WaitingLock* Wait(SessionId session, uint64_t waiter) const;
  // The first wait behind `id`, of all or of those that are exempt; null: none.
  const WaitingLock* After(uint64_t id, bool exempt_only) const;
  // Whether a wait that is before `id` conflicts with the claim.
  bool ConflictsBefore(uint64_t id, const LockClaim& claim) const;
  void SetExempt(uint64_t id, bool exempt);
  std::vector<uint64_t> WaitsOf(SessionId session, std::optional<uint64_t> handle) const;

 private:
  using Ranges = std::map<uint64_t, HeldLock>;  // of one owner, by start

  std::map<LockOwner, Ranges> held_;
  // What held_ has, by type. The exclusive ones of all owners do not overlap.
  std::map<uint64_t, const HeldLock*> exclusive_;                                // by start
  std::map<LockOwner, std::map<uint64_t, const HeldLock*>> shared_;              // by start
  std::map<uint64_t, WaitingLock> queue_;                                        // by id
  std::set<uint64_t> exempt_;                                                    // ids in queue_
  std::map<std::pair<SessionId, uint64_t>, uint64_t> waiters_;                   // number -> id
  std::set<std::tuple<SessionId, uint64_t, LockOwner, uint64_t>> held_through_;  // handle; start
  std::set<std::tuple<SessionId, uint64_t, uint64_t>> waits_through_;            // handle; id
};

}  // namespace ringfs
