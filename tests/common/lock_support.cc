#include "tests/common/lock_support.h"

#include "common/errc.h"

namespace ringfs {

std::string LockBench::Set(Who who, wire::LockType type, uint64_t start, uint64_t last,
                           uint64_t waiter) {
  wire::SetLock ask;
  ask.set_inode(who.inode);
  ask.set_kind(who.kind);
  ask.set_type(type);
  ask.set_owner(who.owner);
  ask.set_start(start);
  ask.set_last(last);
  ask.set_wait(waiter != 0);
  ask.set_waiter(waiter);
  ask.set_pid(who.pid);
  ask.set_handle(who.handle);
  LockChanges changes;
  SetLockAnswer answer = table_.Set(SessionId{who.session}, ask, ++time_ns_, changes);
  if (answer.grant != 0) {
    EXPECT_GT(answer.grant, last_grant_);
    last_grant_ = answer.grant;
  }
  Persist(changes);
  if (answer.error != Errc::kOk) return std::string(Name(answer.error));
  return answer.queued ? "queued" : "granted";
}

bool LockBench::Cancel(Who who, uint64_t waiter) {
  LockChanges changes;
  bool withdrawn =
      table_.Cancel(SessionId{who.session}, InodeId{who.inode}, waiter, ++time_ns_, changes);
  Persist(changes);
  return withdrawn;
}

void LockBench::CloseOwner(Who who) {
  wire::ReleaseLocks ask;
  ask.set_inode(who.inode);
  ask.set_owner(who.owner);
  LockChanges changes;
  table_.Release(SessionId{who.session}, ask, ++time_ns_, changes);
  Persist(changes);
}

void LockBench::CloseHandle(Who who) {
  wire::ReleaseLocks ask;
  ask.set_inode(who.inode);
  ask.set_handle(who.handle);
  LockChanges changes;
  table_.Release(SessionId{who.session}, ask, ++time_ns_, changes);
  Persist(changes);
}

void LockBench::EndSession(uint64_t session) {
  LockChanges changes;
  table_.EndSession(SessionId{session}, ++time_ns_, changes);
  Persist(changes);
}

std::string LockBench::TakeGrants() {
  std::string text;
  for (const std::string& grant : grants_) text += (text.empty() ? "" : " ") + grant;
  grants_.clear();
  return text;
}

std::string LockBench::Listing(uint64_t inode) const {
  std::string text;
  for (const wire::LockInfo& info : table_.List(InodeId{inode})) {
    if (!text.empty()) text += ", ";
    text += info.type() == wire::LOCK_SHARED ? "S" : "X";
    if (info.waiting()) text += "?";
    text += " " + std::to_string(info.start()) + "-";
    text += info.last() == kMaxLockOffset ? "end" : std::to_string(info.last());
    text += " " + std::to_string(info.session()) + "/" + std::to_string(info.owner());
  }
  return text;
}

void LockBench::Restart() {
  table_ = LockTable();
  table_.RaiseCounter(stored_counter_);
  for (const auto& [key, record] : stored_) {
    Result<void> loaded = table_.Load(record);
    EXPECT_TRUE(loaded) << loaded.error().ToString();
  }
}

void LockBench::Persist(LockChanges& changes) {
  for (const LockRecordChange& change : changes.records) {
    std::pair<uint64_t, uint64_t> key{Raw(change.inode), change.id};
    if (change.record) {
      EXPECT_EQ(change.record->inode(), key.first);
      EXPECT_EQ(change.record->id(), key.second);
      stored_[key] = *change.record;
    } else {
      EXPECT_EQ(stored_.erase(key), 1u);
    }
  }
  for (const wire::GrantPush& push : changes.granted) {
    EXPECT_GT(push.grant(), 0u);
    last_grant_ = std::max(last_grant_, push.grant());
    grants_.push_back(std::to_string(push.session()) + "/" + std::to_string(push.waiter()));
  }
  stored_counter_ = table_.counter();
  EXPECT_EQ(stored_.size(), table_.size());
}

}  // namespace ringfs
