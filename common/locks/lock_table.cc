#include "common/locks/lock_table.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "common/check.h"

namespace ringfs {
namespace {

constexpr wire::LockKind kKinds[] = {wire::LOCK_RANGE, wire::LOCK_FLOCK};
constexpr uint64_t kBehindAll = std::numeric_limits<uint64_t>::max();

bool KnownKind(wire::LockKind kind) { return kind == wire::LOCK_RANGE || kind == wire::LOCK_FLOCK; }

bool KnownType(wire::LockType type) {
  return type == wire::LOCK_SHARED || type == wire::LOCK_EXCLUSIVE || type == wire::LOCK_UNLOCK;
}

bool Valid(LockRange range) { return range.start <= range.last && range.last <= kMaxLockOffset; }

// Null when the message makes no sense. TestLock has no pid and no handle.
template <typename Message>
std::optional<LockClaim> ClaimOf(SessionId session, const Message& ask) {
  if (!KnownKind(ask.kind()) || !KnownType(ask.type())) return std::nullopt;
  LockClaim claim;
  claim.owner = LockOwner{session, ask.kind(), ask.owner()};
  claim.type = ask.type();
  if (ask.kind() == wire::LOCK_RANGE) claim.range = LockRange{ask.start(), ask.last()};
  if (!Valid(claim.range)) return std::nullopt;
  return claim;
}

wire::LockInfo InfoOf(InodeId inode, const LockClaim& claim, int64_t since_ns) {
  wire::LockInfo info;
  info.set_inode(Raw(inode));
  info.set_kind(claim.owner.kind);
  info.set_type(claim.type);
  info.set_session(Raw(claim.owner.session));
  info.set_owner(claim.owner.number);
  info.set_start(claim.range.start);
  info.set_last(claim.range.last);
  info.set_pid(claim.pid);
  info.set_handle(claim.handle);
  info.set_since_ns(since_ns);
  return info;
}

SetLockAnswer Refuse(Errc error) { return SetLockAnswer{error, false, 0}; }

}  // namespace

SetLockAnswer LockTable::Set(SessionId session, const wire::SetLock& ask, int64_t time_ns,
                             LockChanges& changes) {
  std::optional<LockClaim> claim = ClaimOf(session, ask);
  if (!claim) return Refuse(Errc::kInvalid);
  claim->pid = ask.pid();
  claim->handle = ask.handle();
  InodeId inode{ask.inode()};
  SetLockAnswer answer;
  if (ask.type() == wire::LOCK_UNLOCK) {
    answer = Unlock(*claim, inode, changes);
  } else {
    std::optional<uint64_t> waiter;
    if (ask.wait()) waiter = ask.waiter();
    if (waiter && Waits(session, inode, *waiter)) return Refuse(Errc::kInvalid);
    answer = Take(*claim, inode, waiter, time_ns, changes);
  }
  Settle(time_ns, changes);
  return answer;
}

SetLockAnswer LockTable::Unlock(const LockClaim& claim, InodeId inode, LockChanges& changes) {
  const LockSpace* space = Find({inode, claim.owner.kind});
  if (space == nullptr) return {};
  for (const HeldLock& lock : space->Touching(claim.owner, claim.range)) {
    if (lock.claim.range.Overlaps(claim.range)) Cut(lock, claim.range, inode, changes);
  }
  return {};
}

SetLockAnswer LockTable::Take(const LockClaim& claim, InodeId inode, std::optional<uint64_t> waiter,
                              int64_t time_ns, LockChanges& changes) {
  if (size_ >= max_records_) return Refuse(Errc::kNoLocks);
  SpaceKey key{inode, claim.owner.kind};
  const LockSpace* space = Find(key);
  bool held = space != nullptr && space->Conflict(claim) != nullptr;
  bool in_turn = held || space == nullptr || !waiter || HoldsAnything(claim) ||
                 !space->ConflictsBefore(kBehindAll, claim);
  if (!held && in_turn) {
    return SetLockAnswer{Errc::kOk, false, Grant(claim, inode, time_ns, changes)};
  }
  if (held && waiter && key.kind == wire::LOCK_RANGE && ClosesCycle(claim, inode)) {
    return Refuse(Errc::kDeadlock);
  }
  if (key.kind == wire::LOCK_FLOCK) Unlock(claim, inode, changes);  // not converted: lost
  if (!waiter) return Refuse(Errc::kWouldBlock);
  Push(WaitingLock{++counter_, claim, time_ns, *waiter, HoldsAnything(claim)}, inode, changes);
  return SetLockAnswer{Errc::kOk, true, 0};
}

Result<wire::TestLockReply> LockTable::Test(SessionId session, const wire::TestLock& ask) const {
  std::optional<LockClaim> claim = ClaimOf(session, ask);
  if (!claim || ask.type() == wire::LOCK_UNLOCK) {
    return Fail(Errc::kInvalid, "no lock can be asked for in this way");
  }
  wire::TestLockReply reply;
  const LockSpace* space = Find({InodeId{ask.inode()}, ask.kind()});
  const HeldLock* found = space == nullptr ? nullptr : space->FirstConflict(*claim);
  if (found == nullptr) return reply;
  reply.set_blocked(true);
  reply.set_type(found->claim.type);
  reply.set_start(found->claim.range.start);
  reply.set_last(found->claim.range.last);
  reply.set_pid(found->claim.pid);
  reply.set_session(Raw(found->claim.owner.session));
  return reply;
}

bool LockTable::Cancel(SessionId session, InodeId inode, uint64_t waiter, int64_t time_ns,
                       LockChanges& changes) {
  for (wire::LockKind kind : kKinds) {
    const LockSpace* space = Find({inode, kind});
    const WaitingLock* wait = space == nullptr ? nullptr : space->Wait(session, waiter);
    if (wait == nullptr) continue;
    Withdraw(*wait, inode, changes);
    Settle(time_ns, changes);
    return true;
  }
  return false;
}

bool LockTable::OnlyOf(SessionId session, InodeId inode, wire::LockKind kind) const {
  const LockSpace* space = Find({inode, kind});
  return space == nullptr || space->OnlyOf(session);
}

bool LockTable::Waits(SessionId session, InodeId inode, uint64_t waiter) const {
  return std::any_of(std::begin(kKinds), std::end(kKinds), [&](wire::LockKind kind) {
    const LockSpace* space = Find({inode, kind});
    return space != nullptr && space->Wait(session, waiter) != nullptr;
  });
}

void LockTable::Release(SessionId session, const wire::ReleaseLocks& ask, int64_t time_ns,
                        LockChanges& changes) {
  InodeId inode{ask.inode()};
  if (ask.handle() == 0) {
    LockClaim all;
    all.owner = LockOwner{session, wire::LOCK_RANGE, ask.owner()};
    Unlock(all, inode, changes);
  } else {
    for (wire::LockKind kind : kKinds) {
      ReleaseThrough({inode, kind}, session, ask.handle(), changes);
    }
  }
  Settle(time_ns, changes);
}

void LockTable::ReleaseAll(SessionId session, InodeId inode, int64_t time_ns,
                           LockChanges& changes) {
  for (wire::LockKind kind : kKinds) ReleaseThrough({inode, kind}, session, std::nullopt, changes);
  Settle(time_ns, changes);
}

void LockTable::EndSession(SessionId session, int64_t time_ns, LockChanges& changes) {
  auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  const std::map<SpaceKey, uint64_t> spaces = found->second;
  for (const auto& [key, count] : spaces) ReleaseThrough(key, session, std::nullopt, changes);
  Settle(time_ns, changes);
}

void LockTable::ReleaseThrough(SpaceKey key, SessionId session, std::optional<uint64_t> handle,
                               LockChanges& changes) {
  const LockSpace* space = Find(key);
  if (space == nullptr) return;
  const std::vector<uint64_t> waits = space->WaitsOf(session, handle);
  const std::vector<HeldLock> held = space->HeldBy(session, handle);
  for (uint64_t id : waits) Withdraw(*space->Wait(id), key.inode, changes);
  for (const HeldLock& lock : held) Cut(lock, lock.claim.range, key.inode, changes);
}

Result<void> LockTable::Load(const wire::LockRecord& record) {
  std::string name = "lock " + std::to_string(record.inode()) + "/" + std::to_string(record.id());
  LockClaim claim;
  claim.owner = LockOwner{SessionId{record.session()}, record.kind(), record.owner()};
  claim.type = record.type();
  claim.range = LockRange{record.start(), record.last()};
  claim.pid = record.pid();
  claim.handle = record.handle();
  if (!KnownKind(record.kind()) || !KnownType(record.type()) || record.id() == 0 ||
      record.type() == wire::LOCK_UNLOCK || !Valid(claim.range)) {
    return Fail(Errc::kCorrupted, name + " makes no sense");
  }
  InodeId inode{record.inode()};
  const LockSpace* space = Find({inode, record.kind()});
  LockChanges loaded;
  if (record.waiting()) {
    if (Waits(claim.owner.session, inode, record.waiter()) ||
        (space != nullptr && space->Wait(record.id()) != nullptr)) {
      return Fail(Errc::kCorrupted, name + " waits twice");
    }
    Push(WaitingLock{record.id(), claim, record.since_ns(), record.waiter(), HoldsAnything(claim)},
         inode, loaded);
  } else {
    bool stands = true;
    if (space != nullptr) {
      for (const HeldLock& own : space->Touching(claim.owner, claim.range)) {
        stands = stands && !own.claim.range.Overlaps(claim.range);
      }
      stands = stands && space->Conflict(claim) == nullptr;
    }
    if (!stands) return Fail(Errc::kCorrupted, name + " conflicts with another");
    Add(HeldLock{record.id(), claim, record.since_ns(), record.grant()}, inode, loaded);
  }
  RaiseCounter(std::max(record.id(), record.grant()));
  freed_.clear();  // what was persisted is settled
  return {};
}

std::vector<wire::LockInfo> LockTable::List(std::optional<InodeId> inode) const {
  std::vector<wire::LockInfo> list;
  auto it = inode ? spaces_.lower_bound({*inode, wire::LOCK_RANGE}) : spaces_.begin();
  for (; it != spaces_.end() && (!inode || it->first.inode == *inode); ++it) {
    const auto& [key, space] = *it;
    for (const HeldLock& lock : space.Held()) {
      list.push_back(InfoOf(key.inode, lock.claim, lock.since_ns));
      list.back().set_grant(lock.grant);
    }
    for (auto* wait = space.After(0, false); wait != nullptr; wait = space.After(wait->id, false)) {
      list.push_back(InfoOf(key.inode, wait->claim, wait->since_ns));
      list.back().set_waiting(true);
    }
  }
  return list;
}

uint64_t LockTable::SizeOf(SessionId session) const {
  auto found = sessions_.find(session);
  uint64_t total = 0;
  if (found == sessions_.end()) return total;
  for (const auto& [key, count] : found->second) total += count;
  return total;
}

const LockSpace* LockTable::Find(SpaceKey key) const {
  auto it = spaces_.find(key);
  return it == spaces_.end() ? nullptr : &it->second;
}

}  // namespace ringfs
