#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/errc.h"
#include "common/ids.h"
#include "common/result.h"
#include "common/locks/lock_space.h"
#include "proto/lock.pb.h"

namespace ringfs {

// A record to write, or (no value) to delete.
struct LockRecordChange {
  InodeId inode{0};
  uint64_t id = 0;
  std::optional<wire::LockRecord> record;
};

// What a call changed. Calls append, so that several calls may share one.
struct LockChanges {
  // To be applied in this order, with counter(), in one batch.
  std::vector<LockRecordChange> records;
  // Waits that ended, in the order of their grants.
  std::vector<wire::GrantPush> granted;
};

struct SetLockAnswer {
  // kWouldBlock: others hold it. kDeadlock: waiting would close a cycle. kNoLocks: the table is
  // full. kInvalid: the request makes no sense.
  Errc error = Errc::kOk;
  bool queued = false;  // a GrantPush follows
  uint64_t grant = 0;   // when granted
};

// The flock and fcntl locks of all inodes, and who waits for them.
//
// A request is judged against what others hold, as on Linux. Beyond that, a request that may wait
// goes behind the earlier waits that it conflicts with, so that writers are not starved; but not
// when its owner, or another owner of its process, holds any lock: somebody may be waiting for
// that one, and would then wait for the request too. So order never makes a deadlock.
//
// A range lock replaces what its owner held there in place; while it waits, the old stays. An flock
// that cannot be converted at once is lost first, as on Linux: with kWouldBlock it is gone, with
// `queued` it waits behind all others. Locks of an owner merge when type and handle are the same.
//
// What order cannot see: a process that holds a shared lock and waits for another process that asks
// for the same, while a writer's wait stands between. On Linux that one is granted.
//
// Owns:      nothing outside its memory.
// Threads:   none of its own and no locks; reads no clock: the same calls give the same results.
// Invariant: no two owners hold what conflicts; no wait is left that could be granted.
class LockTable {
 public:
  static constexpr uint64_t kDefaultMaxRecords = 4 << 20;

  // `max_records`: locks and waits in total, beyond which new ones get kNoLocks.
  explicit LockTable(uint64_t max_records = kDefaultMaxRecords) : max_records_(max_records) {}

  // Takes, converts or frees. There may be changes with an error, too (a lost flock): they are to
  // be persisted with the answer.
  SetLockAnswer Set(SessionId session, const wire::SetLock& ask, int64_t time_ns,
                    LockChanges& changes);

  // F_GETLK: the conflicting lock that starts first. kInvalid: the request makes no sense.
  Result<wire::TestLockReply> Test(SessionId session, const wire::TestLock& ask) const;

  // Gives a wait up. True: it is withdrawn. False: there is no such wait (any more); one that was
  // queued has then been granted, and its lock is held.
  bool Cancel(SessionId session, InodeId inode, uint64_t waiter, int64_t time_ns,
              LockChanges& changes);

  // False: as for Cancel().
  bool Waits(SessionId session, InodeId inode, uint64_t waiter) const;

  // A close (handle 0): frees the owner's range locks; its waits stay, as on Linux. The end of an
  // open file (handle not 0): frees every lock and withdraws every wait made through the handle.
  void Release(SessionId session, const wire::ReleaseLocks& ask, int64_t time_ns,
               LockChanges& changes);

  // Nobody but the session has locks of this kind on the inode, or waits for one.
  bool OnlyOf(SessionId session, InodeId inode, wire::LockKind kind) const;

  // Withdraws all waits and frees all locks of the session on the inode.
  void ReleaseAll(SessionId session, InodeId inode, int64_t time_ns, LockChanges& changes);
  // The same on all inodes.
  void EndSession(SessionId session, int64_t time_ns, LockChanges& changes);

  // Puts back what was persisted, in any order, before any other call.
  // kCorrupted: the record cannot stand, alone or beside those already loaded.
  Result<void> Load(const wire::LockRecord& record);

  // The source of grants and record ids: it only grows. The caller persists it with the records and
  // gives it back after a restart.
  uint64_t counter() const { return counter_; }
  void RaiseCounter(uint64_t counter) { counter_ = counter > counter_ ? counter : counter_; }

  // Of one inode, or of all: held by start, then waiting in order. Without path, host and expiry.
  std::vector<wire::LockInfo> List(std::optional<InodeId> inode) const;

  // Locks and waits, in total and of a session.
  uint64_t size() const { return size_; }
  uint64_t SizeOf(SessionId session) const;

 private:
  // What an owner, or a process, has in the table.
  struct Party {
    uint64_t held = 0;
    std::set<std::pair<SpaceKey, uint64_t>> waits;  // with the id
    bool empty() const { return held == 0 && waits.empty(); }
  };
  struct Process {
    SessionId session{0};
    int32_t pid = 0;
    auto operator<=>(const Process&) const = default;
  };

  static Process ProcessOf(const LockClaim& claim) {
    return Process{claim.owner.session, claim.pid};
  }
  const LockSpace* Find(SpaceKey key) const;

  // These keep the counts and the records beside the space.
  void Add(const HeldLock& lock, InodeId inode, LockChanges& changes);
  void Remove(const HeldLock& lock, InodeId inode, LockChanges& changes);
  void Push(const WaitingLock& wait, InodeId inode, LockChanges& changes);
  void Erase(const WaitingLock& wait, InodeId inode, LockChanges& changes);
  void Withdraw(WaitingLock wait, InodeId inode, LockChanges& changes);
  void Count(SessionId session, SpaceKey key, int change);
  void CountHeld(Party& party, int change);

  SetLockAnswer Unlock(const LockClaim& claim, InodeId inode, LockChanges& changes);
  SetLockAnswer Take(const LockClaim& claim, InodeId inode, std::optional<uint64_t> waiter,
                     int64_t time_ns, LockChanges& changes);
  // Replaces what the owner has in the range, merges; nobody else may hold what conflicts.
  uint64_t Grant(const LockClaim& claim, InodeId inode, int64_t time_ns, LockChanges& changes);
  // Takes the range out of the lock.
  void Cut(const HeldLock& lock, LockRange range, InodeId inode, LockChanges& changes);
  void ReleaseThrough(SpaceKey key, SessionId session, std::optional<uint64_t> handle,
                      LockChanges& changes);

  bool HoldsAnything(const LockClaim& claim) const;
  // Whether the claim would wait for an owner that waits, itself or by others, for the claim's.
  bool ClosesCycle(const LockClaim& claim, InodeId inode) const;

  void Freed(SpaceKey key, LockRange range);
  // Grants what can be granted since ranges were freed, and what that frees in turn.
  void Settle(int64_t time_ns, LockChanges& changes);
  void SettleRange(SpaceKey key, LockRange range, int64_t time_ns, LockChanges& changes);

  uint64_t max_records_;
  uint64_t counter_ = 0;
  uint64_t size_ = 0;
  std::map<SpaceKey, LockSpace> spaces_;
  std::map<LockOwner, Party> owners_;
  std::map<Process, Party> processes_;
  std::map<SessionId, std::map<SpaceKey, uint64_t>> sessions_;  // locks and waits in each space
  std::map<SpaceKey, LockRange> freed_;                         // since Settle()
};

}  // namespace ringfs
