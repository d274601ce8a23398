#include "master/leases/lease_table.h"

#include <algorithm>

#include "common/check.h"

namespace ringfs::master {
namespace {

// Conflicts in short succession after which nobody gets a lease for a while.
constexpr uint32_t kConflictsTolerated = 2;

bool StandsAgainst(wire::LeaseKind kind, LeaseNeed need) {
  if (need == LeaseNeed::kReturned) return false;
  return need == LeaseNeed::kChange ? kind != wire::LEASE_NONE : kind == wire::LEASE_WRITE;
}

wire::LeaseKind Compatible(LeaseNeed need) {
  if (need == LeaseNeed::kReturned) return wire::LEASE_WRITE;
  return need == LeaseNeed::kChange ? wire::LEASE_NONE : wire::LEASE_READ;
}

}  // namespace

void LeaseWants::Add(InodeId inode, LeaseNeed need) {
  for (size_t i = 0; i < size_; ++i) {
    if (wants_[i].inode != inode) continue;
    wants_[i].need = std::max(wants_[i].need, need);
    return;
  }
  RINGFS_CHECK(size_ < wants_.size());
  wants_[size_++] = LeaseWant{inode, need};
}

// --- sessions

void LeaseTable::AddSession(SessionId session, int64_t ttl_ns) {
  sessions_[session].ttl_ns = ttl_ns;
}

void LeaseTable::AddFormer(SessionId session, int64_t ttl_ns) {
  AddSession(session, ttl_ns);
  sessions_[session].former = Former::kAway;
  ++former_;
}

void LeaseTable::EndSession(SessionId session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  DropFormer(session);
  const std::list<InodeId> inodes = found->second.by_age;
  for (const InodeId inode : inodes) Remove(inodes_.find(inode), session);
  sessions_.erase(found);
}

void LeaseTable::Return(SessionId session, const std::vector<InodeId>& writing, int64_t now_ns) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.former != Former::kAway) return;
  for (const InodeId inode : writing) {
    const auto place = inodes_.find(inode);
    // Only a session that lies can find another one there.
    if (place != inodes_.end() && !place->second.holders.empty()) continue;
    Add(found->second, session, inode, wire::LEASE_WRITE);
  }
  found->second.former = Former::kBack;
  found->second.drop_by_ns = now_ns + found->second.ttl_ns;
  // Some of them were waited for already.
  for (const auto& [ticket, request] : requests_) {
    RecallFor(request.session, request.wants, now_ns);
  }
  LookAtAll();
}

void LeaseTable::DropFormer(SessionId session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.former == Former::kNo) return;
  found->second.former = Former::kNo;
  --former_;
  LookAtAll();
}

// --- who is in the way

LeaseTable::Holder* LeaseTable::HolderIn(Entry& entry, SessionId session) {
  const auto found = std::find_if(entry.holders.begin(), entry.holders.end(),
                                  [session](const Holder& one) { return one.session == session; });
  return found == entry.holders.end() ? nullptr : &*found;
}

LeaseTable::Holder* LeaseTable::FindHolder(SessionId session, InodeId inode) {
  const auto place = inodes_.find(inode);
  return place == inodes_.end() ? nullptr : HolderIn(place->second, session);
}

const LeaseTable::Holder* LeaseTable::FindHolder(SessionId session, InodeId inode) const {
  return const_cast<LeaseTable*>(this)->FindHolder(session, inode);
}

bool LeaseTable::FormerInTheWay(SessionId session, const LeaseWants& wants) const {
  bool reads = false;
  bool changes = false;
  for (const LeaseWant& want : wants) {
    const Holder* own = FindHolder(session, want.inode);
    const bool owned = own != nullptr && own->kind == wire::LEASE_WRITE;
    if (owned && want.need != LeaseNeed::kReturned) continue;
    reads = true;
    changes = changes || want.need == LeaseNeed::kChange;
  }
  return reads && std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& one) {
    if (one.first == session) return false;
    return one.second.former == Former::kAway || (changes && one.second.former == Former::kBack);
  });
}

bool LeaseTable::IsFree(SessionId session) const {
  if (leases_ == 0 && former_ == 0) return true;
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return false;
  const size_t own = found->second.former == Former::kNo ? 0 : 1;
  return found->second.by_age.size() == leases_ && former_ == own;
}

bool LeaseTable::IsFree(SessionId session, const LeaseWants& wants) const {
  if (former_ > 0 && FormerInTheWay(session, wants)) return false;
  for (const LeaseWant& want : wants) {
    const auto place = inodes_.find(want.inode);
    if (place == inodes_.end()) continue;
    for (const Holder& holder : place->second.holders) {
      if (holder.session != session && StandsAgainst(holder.kind, want.need)) return false;
    }
  }
  return true;
}

// --- waits

uint64_t LeaseTable::Wait(SessionId session, const LeaseWants& wants, int64_t now_ns) {
  const uint64_t ticket = ++last_ticket_;
  const Request& request = requests_[ticket] = Request{session, wants};
  Enqueue(ticket, request);
  RecallFor(session, wants, now_ns);
  return ticket;
}

uint64_t LeaseTable::WaitBehind(SessionId session, InodeId inode, int64_t now_ns) {
  LeaseWants wants;
  wants.Add(inode, LeaseNeed::kRead);
  const uint64_t ticket = Wait(session, wants, now_ns);
  requests_.at(ticket).behind = true;
  return ticket;
}

void LeaseTable::WaitAgain(uint64_t ticket, const LeaseWants& wants, int64_t now_ns) {
  Request& request = requests_.at(ticket);
  const LeaseWants before = std::exchange(request.wants, wants);
  Dequeue(ticket, Request{request.session, before});
  Enqueue(ticket, request);
  request.told = false;
  RecallFor(request.session, wants, now_ns);
  for (const LeaseWant& want : before) LookAt(want.inode);
}

bool LeaseTable::IsBehindChange(uint64_t ticket, const Request& request) const {
  for (const LeaseWant& want : request.wants) {
    for (const uint64_t earlier : inodes_.at(want.inode).waits) {
      if (earlier >= ticket) break;
      const Request& other = requests_.at(earlier);
      if (other.session == request.session) continue;
      for (const LeaseWant& theirs : other.wants) {
        if (theirs.inode == want.inode && theirs.need == LeaseNeed::kChange) return true;
      }
    }
  }
  return false;
}

bool LeaseTable::IsReady(uint64_t ticket, const Request& request) const {
  if (!IsFree(request.session, request.wants)) return false;
  return !request.behind || !IsBehindChange(ticket, request);
}

bool LeaseTable::IsReady(uint64_t ticket) const { return IsReady(ticket, requests_.at(ticket)); }

void LeaseTable::EndWait(uint64_t ticket) {
  const auto found = requests_.find(ticket);
  RINGFS_CHECK(found != requests_.end());
  const Request request = found->second;
  Dequeue(ticket, request);
  requests_.erase(found);
  for (const LeaseWant& want : request.wants) LookAt(want.inode);
}

void LeaseTable::Enqueue(uint64_t ticket, const Request& request) {
  for (const LeaseWant& want : request.wants) {
    std::vector<uint64_t>& waits = inodes_[want.inode].waits;
    waits.insert(std::upper_bound(waits.begin(), waits.end(), ticket), ticket);
  }
}

void LeaseTable::Dequeue(uint64_t ticket, const Request& request) {
  for (const LeaseWant& want : request.wants) {
    const auto place = inodes_.find(want.inode);
    std::erase(place->second.waits, ticket);
    if (place->second.waits.empty() && place->second.holders.empty()) inodes_.erase(place);
  }
}

void LeaseTable::LookAtRequest(uint64_t ticket) {
  Request& request = requests_.at(ticket);
  if (request.told || !IsReady(ticket, request)) return;
  request.told = true;
  became_ready_.push_back(ticket);
}

void LeaseTable::LookAt(InodeId inode) {
  const auto place = inodes_.find(inode);
  if (place == inodes_.end()) return;
  for (const uint64_t ticket : place->second.waits) LookAtRequest(ticket);
}

void LeaseTable::LookAtAll() {
  for (const auto& [ticket, request] : requests_) LookAtRequest(ticket);
}

// --- grants

wire::LeaseKind LeaseTable::AllowedByConflicts(InodeId inode, int64_t now_ns) const {
  const auto found = conflicts_.find(inode);
  if (found == conflicts_.end() || now_ns - found->second.newest_ns >= limits_.quiet_ns) {
    return wire::LEASE_WRITE;
  }
  return found->second.count < kConflictsTolerated ? wire::LEASE_READ : wire::LEASE_NONE;
}

wire::LeaseKind LeaseTable::Allowed(SessionId session, InodeId inode, int64_t now_ns,
                                    bool for_pages) const {
  wire::LeaseKind allowed = AllowedByConflicts(inode, now_ns);
  if (for_pages) allowed = std::max(allowed, wire::LEASE_READ);
  if (former_ > 0) {
    for (const auto& [other, state] : sessions_) {
      if (other == session || state.former == Former::kNo) continue;
      const bool away = state.former == Former::kAway;
      allowed = std::min(allowed, away ? wire::LEASE_NONE : wire::LEASE_READ);
    }
  }
  const auto place = inodes_.find(inode);
  if (place == inodes_.end()) return allowed;
  for (const Holder& holder : place->second.holders) {
    if (holder.session == session) continue;
    const bool writes = holder.kind == wire::LEASE_WRITE;
    allowed = std::min(allowed, writes ? wire::LEASE_NONE : wire::LEASE_READ);
  }
  for (const uint64_t ticket : place->second.waits) {
    const Request& other = requests_.at(ticket);
    if (other.session == session) continue;
    for (const LeaseWant& want : other.wants) {
      if (want.inode == inode) allowed = std::min(allowed, Compatible(want.need));
    }
  }
  return allowed;
}

LeaseTable::Holder& LeaseTable::Add(Session& owner, SessionId session, InodeId inode,
                                    wire::LeaseKind kind) {
  Holder& holder = inodes_[inode].holders.emplace_back();
  holder.session = session;
  holder.kind = kind;
  holder.number = ++last_number_;
  holder.age = owner.by_age.insert(owner.by_age.end(), inode);
  ++leases_;
  return holder;
}

std::optional<wire::LeaseGrant> LeaseTable::Grant(SessionId session, InodeId inode,
                                                  wire::LeaseKind kind, int64_t now_ns,
                                                  bool for_pages) {
  const auto owner = sessions_.find(session);
  if (owner == sessions_.end()) return {};
  Holder* holder = FindHolder(session, inode);
  if (holder != nullptr && (holder->recalled || holder->kind >= kind)) return Find(session, inode);
  const wire::LeaseKind allowed = std::min(kind, Allowed(session, inode, now_ns, for_pages));
  if (holder != nullptr) {
    if (allowed <= holder->kind) return Find(session, inode);
    holder->kind = allowed;
  } else {
    const size_t held = owner->second.by_age.size();
    const size_t most = limits_.max_per_session;
    if (allowed == wire::LEASE_NONE || held > most + most / 4) return {};
    Add(owner->second, session, inode, allowed);
    if (held >= most) RecallOldest(owner->second, session, now_ns);
  }
  return Find(session, inode);
}

std::optional<wire::LeaseGrant> LeaseTable::Find(SessionId session, InodeId inode) const {
  const Holder* holder = FindHolder(session, inode);
  if (holder == nullptr || holder->recalled) return {};
  return Describe(inode, *holder);
}

wire::LeaseGrant LeaseTable::Describe(InodeId inode, const Holder& holder) {
  wire::LeaseGrant grant;
  grant.set_inode(Raw(inode));
  grant.set_kind(holder.kind);
  grant.set_number(holder.number);
  return grant;
}

bool LeaseTable::IsLeased(InodeId inode) const {
  const auto place = inodes_.find(inode);
  return place != inodes_.end() && !place->second.holders.empty();
}

std::vector<wire::LeaseGrant> LeaseTable::Writing(SessionId session) const {
  std::vector<wire::LeaseGrant> writing;
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return writing;
  for (const InodeId inode : found->second.by_age) {
    const Holder* holder = FindHolder(session, inode);
    if (holder->kind == wire::LEASE_WRITE) writing.push_back(Describe(inode, *holder));
  }
  return writing;
}

// --- recalls

void LeaseTable::RecallFor(SessionId session, const LeaseWants& wants, int64_t now_ns) {
  for (const LeaseWant& want : wants) {
    const auto place = inodes_.find(want.inode);
    if (place == inodes_.end()) continue;
    bool conflict = false;
    for (Holder& holder : place->second.holders) {
      if (holder.session == session || !StandsAgainst(holder.kind, want.need)) continue;
      conflict = conflict || !holder.recalled;
      Recall(want.inode, holder, Compatible(want.need), now_ns);
    }
    if (conflict) NoteConflict(want.inode, now_ns);
  }
}

void LeaseTable::Recall(InodeId inode, Holder& holder, wire::LeaseKind keep, int64_t now_ns) {
  if (holder.recalled && holder.keep <= keep) return;
  Session& owner = sessions_.at(holder.session);
  holder.recalled = true;
  holder.keep = keep;
  holder.deadline_ns = now_ns + owner.ttl_ns;
  owner.by_age.splice(owner.by_age.end(), owner.by_age, holder.age);
  recalled_.emplace(inode, holder.session);
  ++recalls_;
  recalls_made_.push_back(LeaseRecall{holder.session, inode, holder.number, keep});
}

void LeaseTable::RecallOldest(Session& owner, SessionId session, int64_t now_ns) {
  const InodeId oldest = owner.by_age.front();
  Holder* holder = FindHolder(session, oldest);
  if (!holder->recalled) Recall(oldest, *holder, wire::LEASE_NONE, now_ns);
}

void LeaseTable::RecallAll(InodeId inode, int64_t now_ns) {
  const auto place = inodes_.find(inode);
  if (place == inodes_.end()) return;
  for (Holder& holder : place->second.holders) Recall(inode, holder, wire::LEASE_NONE, now_ns);
}

void LeaseTable::NoteConflict(InodeId inode, int64_t now_ns) {
  while (!conflicts_by_age_.empty() &&
         now_ns - conflicts_by_age_.front().first >= limits_.quiet_ns) {
    const auto [when_ns, old] = conflicts_by_age_.front();
    conflicts_by_age_.pop_front();
    const auto found = conflicts_.find(old);
    if (found != conflicts_.end() && found->second.newest_ns == when_ns) conflicts_.erase(found);
  }
  Conflict& conflict = conflicts_[inode];
  ++conflict.count;
  conflict.newest_ns = now_ns;
  conflicts_by_age_.emplace_back(now_ns, inode);
}

void LeaseTable::Answer(SessionId session, InodeId inode, uint64_t number, wire::LeaseKind kept,
                        int64_t now_ns) {
  Holder* holder = FindHolder(session, inode);
  if (holder == nullptr || holder->number != number) return;
  if (kept <= wire::LEASE_NONE) return Remove(inodes_.find(inode), session);
  holder->kind = std::min(holder->kind, kept);
  if (holder->recalled && holder->kind <= holder->keep) {
    holder->recalled = false;
    recalled_.erase({inode, session});
  }
  Progress(session, inode, now_ns);
  LookAt(inode);
}

void LeaseTable::Remove(Inodes::iterator place, SessionId session) {
  const InodeId inode = place->first;
  std::vector<Holder>& holders = place->second.holders;
  const auto holder = std::find_if(holders.begin(), holders.end(),
                                   [session](const Holder& one) { return one.session == session; });
  sessions_.at(session).by_age.erase(holder->age);
  if (holder->recalled) recalled_.erase({inode, session});
  holders.erase(holder);
  --leases_;
  if (holders.empty() && place->second.waits.empty()) {
    inodes_.erase(place);
  } else {
    LookAt(inode);
  }
}

void LeaseTable::Progress(SessionId session, InodeId inode, int64_t now_ns) {
  if (recalled_.empty()) return;
  Holder* holder = FindHolder(session, inode);
  if (holder == nullptr || !holder->recalled) return;
  holder->deadline_ns = std::max(holder->deadline_ns, now_ns + sessions_.at(session).ttl_ns);
}

std::vector<LeaseRecall> LeaseTable::RecallAgain(SessionId session, int64_t now_ns) {
  std::vector<LeaseRecall> recalls;
  for (const auto& [inode, holder_session] : recalled_) {
    if (holder_session != session) continue;
    Progress(session, inode, now_ns);
    const Holder* holder = FindHolder(session, inode);
    recalls.push_back(LeaseRecall{session, inode, holder->number, holder->keep});
  }
  return recalls;
}

std::vector<SessionId> LeaseTable::TakeOverdue(int64_t now_ns) {
  std::vector<SessionId> overdue;
  for (const auto& [inode, session] : recalled_) {
    Holder* holder = FindHolder(session, inode);
    if (holder->deadline_ns > now_ns) continue;
    holder->deadline_ns = INT64_MAX;
    overdue.push_back(session);
    ++timed_out_;
  }
  if (former_ == 0) return overdue;
  for (auto& [session, state] : sessions_) {
    if (state.former != Former::kBack || state.drop_by_ns > now_ns) continue;
    state.drop_by_ns = INT64_MAX;
    overdue.push_back(session);
    ++timed_out_;
  }
  return overdue;
}

void LeaseTable::Postpone(int64_t by_ns) {
  for (const auto& [inode, session] : recalled_) {
    Holder* holder = FindHolder(session, inode);
    if (holder->deadline_ns != INT64_MAX) holder->deadline_ns += by_ns;
  }
  for (auto& [session, state] : sessions_) {
    if (state.drop_by_ns != INT64_MAX) state.drop_by_ns += by_ns;
  }
}

LeaseTable::Statistics LeaseTable::statistics() const {
  return Statistics{leases_, last_number_, recalls_, timed_out_};
}

}  // namespace ringfs::master
