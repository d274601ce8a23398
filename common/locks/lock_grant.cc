// How the lock table changes: records, counts, and who is granted next.

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/locks/lock_table.h"

namespace ringfs {
namespace {

wire::LockRecord RecordOf(InodeId inode, uint64_t id, const LockClaim& claim, int64_t since_ns) {
  wire::LockRecord record;
  record.set_inode(Raw(inode));
  record.set_id(id);
  record.set_kind(claim.owner.kind);
  record.set_type(claim.type);
  record.set_session(Raw(claim.owner.session));
  record.set_owner(claim.owner.number);
  record.set_start(claim.range.start);
  record.set_last(claim.range.last);
  record.set_pid(claim.pid);
  record.set_handle(claim.handle);
  record.set_since_ns(since_ns);
  return record;
}

wire::LockRecord RecordOf(InodeId inode, const HeldLock& lock) {
  wire::LockRecord record = RecordOf(inode, lock.id, lock.claim, lock.since_ns);
  record.set_grant(lock.grant);
  return record;
}

wire::LockRecord RecordOf(InodeId inode, const WaitingLock& wait) {
  wire::LockRecord record = RecordOf(inode, wait.id, wait.claim, wait.since_ns);
  record.set_waiting(true);
  record.set_waiter(wait.waiter);
  return record;
}

}  // namespace

void LockTable::Add(const HeldLock& lock, InodeId inode, LockChanges& changes) {
  SpaceKey key{inode, lock.claim.owner.kind};
  spaces_[key].Add(lock);
  CountHeld(owners_[lock.claim.owner], 1);
  if (lock.claim.pid != 0) CountHeld(processes_[ProcessOf(lock.claim)], 1);
  Count(lock.claim.owner.session, key, 1);
  changes.records.push_back({inode, lock.id, RecordOf(inode, lock)});
}

void LockTable::Remove(const HeldLock& lock, InodeId inode, LockChanges& changes) {
  SpaceKey key{inode, lock.claim.owner.kind};
  auto space = spaces_.find(key);
  space->second.Remove(lock);
  if (space->second.empty()) spaces_.erase(space);
  auto owner = owners_.find(lock.claim.owner);
  CountHeld(owner->second, -1);
  if (owner->second.empty()) owners_.erase(owner);
  if (lock.claim.pid != 0) {
    auto process = processes_.find(ProcessOf(lock.claim));
    CountHeld(process->second, -1);
    if (process->second.empty()) processes_.erase(process);
  }
  Count(lock.claim.owner.session, key, -1);
  changes.records.push_back({inode, lock.id, std::nullopt});
}

void LockTable::Push(const WaitingLock& wait, InodeId inode, LockChanges& changes) {
  SpaceKey key{inode, wait.claim.owner.kind};
  spaces_[key].Push(wait);
  owners_[wait.claim.owner].waits.emplace(key, wait.id);
  if (wait.claim.pid != 0) processes_[ProcessOf(wait.claim)].waits.emplace(key, wait.id);
  Count(wait.claim.owner.session, key, 1);
  changes.records.push_back({inode, wait.id, RecordOf(inode, wait)});
}

void LockTable::Erase(const WaitingLock& wait, InodeId inode, LockChanges& changes) {
  SpaceKey key{inode, wait.claim.owner.kind};
  auto space = spaces_.find(key);
  space->second.Erase(wait.id);
  if (space->second.empty()) spaces_.erase(space);
  auto owner = owners_.find(wait.claim.owner);
  owner->second.waits.erase({key, wait.id});
  if (owner->second.empty()) owners_.erase(owner);
  if (wait.claim.pid != 0) {
    auto process = processes_.find(ProcessOf(wait.claim));
    process->second.waits.erase({key, wait.id});
    if (process->second.empty()) processes_.erase(process);
  }
  Count(wait.claim.owner.session, key, -1);
  changes.records.push_back({inode, wait.id, std::nullopt});
}

void LockTable::Withdraw(WaitingLock wait, InodeId inode, LockChanges& changes) {
  Erase(wait, inode, changes);
  Freed({inode, wait.claim.owner.kind}, wait.claim.range);  // for those that came after it
}

void LockTable::Count(SessionId session, SpaceKey key, int change) {
  size_ += static_cast<uint64_t>(change);
  auto& spaces = sessions_[session];
  uint64_t& count = spaces[key];
  count += static_cast<uint64_t>(change);
  if (count == 0) spaces.erase(key);
  if (spaces.empty()) sessions_.erase(session);
}

// With its first lock a party leaves the order of the queues, with its last it enters it.
void LockTable::CountHeld(Party& party, int change) {
  bool held_before = party.held != 0;
  party.held += static_cast<uint64_t>(change);
  if (held_before == (party.held != 0)) return;
  for (const auto& [key, id] : party.waits) {
    LockSpace& space = spaces_.at(key);
    const WaitingLock* wait = space.Wait(id);
    bool exempt = HoldsAnything(wait->claim);
    if (exempt && !wait->exempt) Freed(key, wait->claim.range);
    space.SetExempt(id, exempt);
  }
}

bool LockTable::HoldsAnything(const LockClaim& claim) const {
  auto owner = owners_.find(claim.owner);
  if (owner != owners_.end() && owner->second.held != 0) return true;
  if (claim.pid == 0) return false;
  auto process = processes_.find(ProcessOf(claim));
  return process != processes_.end() && process->second.held != 0;
}

uint64_t LockTable::Grant(const LockClaim& claim, InodeId inode, int64_t time_ns,
                          LockChanges& changes) {
  HeldLock granted{0, claim, time_ns, ++counter_};
  SpaceKey key{inode, claim.owner.kind};
  std::vector<HeldLock> own;
  if (const LockSpace* space = Find(key)) own = space->Touching(claim.owner, claim.range);
  for (const HeldLock& lock : own) {
    if (lock.claim.type == claim.type && lock.claim.handle == claim.handle) {
      granted.claim.range = Hull(granted.claim.range, lock.claim.range);
      Remove(lock, inode, changes);
    } else if (lock.claim.range.Overlaps(claim.range)) {
      Cut(lock, claim.range, inode, changes);
    }
  }
  granted.id = ++counter_;
  Add(granted, inode, changes);
  return granted.grant;
}

void LockTable::Cut(const HeldLock& lock, LockRange range, InodeId inode, LockChanges& changes) {
  const LockRange whole = lock.claim.range;
  Remove(lock, inode, changes);
  HeldLock rest = lock;
  if (whole.start < range.start) {
    rest.claim.range = LockRange{whole.start, range.start - 1};
    Add(rest, inode, changes);
    rest.id = 0;
  }
  if (range.last < whole.last) {
    if (rest.id == 0) rest.id = ++counter_;
    rest.claim.range = LockRange{range.last + 1, whole.last};
    Add(rest, inode, changes);
  }
  Freed({inode, lock.claim.owner.kind},
        LockRange{std::max(whole.start, range.start), std::min(whole.last, range.last)});
}

bool LockTable::ClosesCycle(const LockClaim& claim, InodeId inode) const {
  auto self = owners_.find(claim.owner);
  if (self == owners_.end() || self->second.held == 0) return false;  // nobody waits for it
  bool closes = false;
  std::set<LockOwner> seen;
  std::vector<std::pair<SpaceKey, LockClaim>> open{{{inode, claim.owner.kind}, claim}};
  while (!open.empty() && !closes) {
    auto [key, waiting] = open.back();
    open.pop_back();
    const LockSpace* space = Find(key);
    if (space == nullptr) continue;
    space->ForEachConflict(waiting, [&](const LockOwner& holder) {
      closes = holder == claim.owner;
      if (closes || !seen.insert(holder).second) return !closes;
      for (const auto& [at, id] : owners_.at(holder).waits) {
        open.emplace_back(at, Find(at)->Wait(id)->claim);
      }
      return true;
    });
  }
  return closes;
}

void LockTable::Freed(SpaceKey key, LockRange range) {
  auto [it, added] = freed_.emplace(key, range);
  if (!added) it->second = Hull(it->second, range);
}

void LockTable::Settle(int64_t time_ns, LockChanges& changes) {
  while (!freed_.empty()) {
    auto [key, range] = *freed_.begin();
    freed_.erase(freed_.begin());
    SettleRange(key, range, time_ns, changes);
  }
}

void LockTable::SettleRange(SpaceKey key, LockRange range, int64_t time_ns, LockChanges& changes) {
  const LockSpace* space = Find(key);
  // Behind a wait for the whole range, granted or not, only what is exempt from the order can be
  // granted, and what is of the same owner.
  bool shut = false;
  uint64_t at = 0;
  while (space != nullptr) {
    const WaitingLock* next = space->After(at, shut);
    if (next == nullptr) return;
    at = next->id;
    if (!next->claim.range.Overlaps(range)) continue;
    const WaitingLock wait = *next;
    shut = shut || (wait.claim.type == wire::LOCK_EXCLUSIVE && wait.claim.range.Covers(range) &&
                    owners_.at(wait.claim.owner).waits.size() == 1);
    if (space->Conflict(wait.claim) != nullptr) continue;
    if (!wait.exempt && space->ConflictsBefore(wait.id, wait.claim)) continue;
    Erase(wait, key.inode, changes);
    uint64_t grant = Grant(wait.claim, key.inode, time_ns, changes);
    wire::GrantPush& push = changes.granted.emplace_back();
    push.set_session(Raw(wait.claim.owner.session));
    push.set_inode(Raw(key.inode));
    push.set_waiter(wait.waiter);
    push.set_grant(grant);
    space = Find(key);
  }
}

}  // namespace ringfs
