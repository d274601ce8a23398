#include "client/leases.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

namespace ringfs::client {
namespace {

// Of the bound: given back together when it is passed.
constexpr size_t kGivenBackShare = 64;
// Leases of what was removed go back together: so many, or after so long.
constexpr size_t kAnswersAtOnce = 2048;
constexpr int64_t kSendLaterMs = 300;

}  // namespace

Leases::Leases(asio::any_io_executor executor, Background& background, size_t max_leases,
               LeaseHooks hooks)
    : executor_(executor),
      background_(background),
      max_leases_(max_leases),
      hooks_(std::move(hooks)),
      changed_(executor) {}

uint64_t Leases::Number(InodeId inode) const {
  const auto found = leases_.find(inode);
  return found == leases_.end() || found->second.going ? 0 : found->second.number;
}

bool Leases::HoldsWrite(InodeId inode) const {
  const auto found = leases_.find(inode);
  return found != leases_.end() && !found->second.going &&
         found->second.kind == wire::LEASE_WRITE;
}

bool Leases::IsStillThere(InodeId inode, uint64_t number) const {
  const auto found = leases_.find(inode);
  return found != leases_.end() && found->second.number == number;
}

bool Leases::IsGoing(InodeId inode) const {
  const auto found = leases_.find(inode);
  return found != leases_.end() && found->second.going;
}

asio::awaitable<void> Leases::WaitWhileGoing(InodeId inode, int64_t timeout_ms) {
  while (IsGoing(inode)) {
    if (!co_await changed_.WaitFor(timeout_ms)) co_return;
  }
}

Leases::Lease* Leases::Find(InodeId inode, uint64_t number) {
  const auto found = leases_.find(inode);
  return found == leases_.end() || found->second.number != number ? nullptr : &found->second;
}

bool Leases::Take(const wire::LeaseGrant& grant) {
  const InodeId inode{grant.inode()};
  const auto recalled = void_.find(inode);
  if (recalled != void_.end()) {
    if (grant.number() <= recalled->second) return false;
    void_.erase(recalled);
  }
  const auto given = given_back_.find(inode);
  if (given != given_back_.end() && grant.number() <= given->second) return false;
  // What the kernel still has of earlier leases would come to life again. The master finds out that
  // the lease was not taken when it recalls it.
  if (forgetting_ > 0) return false;
  if (grant.kind() == wire::LEASE_READ && !hooks_.wants_read(inode)) {
    GiveBackRead(inode);
    return false;
  }
  const auto [place, added] = leases_.try_emplace(inode);
  Lease& lease = place->second;
  if (added) {
    lease.age = by_age_.insert(by_age_.end(), inode);
  } else if (grant.number() == lease.number) {
    // A write lease that was a read lease, or had become one since.
    if (!lease.going && grant.kind() > lease.kind) lease.kind = grant.kind();
    return !lease.going;
  } else if (grant.number() < lease.number || lease.going) {
    return false;
  }
  lease.number = grant.number();
  lease.kind = grant.kind();
  if (leases_.size() > max_leases_) GiveBackOldest();
  return true;
}

void Leases::Recall(const wire::RecallPush& push) {
  const InodeId inode{push.inode()};
  const auto found = leases_.find(inode);
  if (found == leases_.end() || found->second.number < push.number()) {
    uint64_t& until = void_[inode];
    until = std::max(until, push.number());
    return Answer(inode, push.number(), wire::LEASE_NONE);
  }
  Lease& lease = found->second;
  if (lease.number > push.number()) return;  // of a lease that was given back meanwhile
  const bool no_read = push.keep() == wire::LEASE_READ && !hooks_.wants_read(inode);
  const wire::LeaseKind keep = no_read ? wire::LEASE_NONE : push.keep();
  if (lease.going) {
    lease.keep = std::min(lease.keep, keep);
  } else if (lease.kind <= keep) {
    Answer(inode, push.number(), lease.kind);
  } else {
    Begin(inode, lease, keep);
  }
}

void Leases::GiveBack(InodeId inode) {
  const auto found = leases_.find(inode);
  if (found == leases_.end() || found->second.going) return;
  Begin(inode, found->second, wire::LEASE_NONE);
}

void Leases::GiveBackRead(InodeId inode) {
  const auto found = leases_.find(inode);
  if (found != leases_.end() && found->second.kind == wire::LEASE_READ) GiveBack(inode);
}

void Leases::GiveBackRemoved(InodeId inode) {
  const auto found = leases_.find(inode);
  if (found == leases_.end() || found->second.going) return;
  hooks_.dropped(inode);
  AddAnswer(inode, found->second.number, wire::LEASE_NONE);
  Remove(found);
  if (answers_.size() >= kAnswersAtOnce) return StartSending();
  if (!std::exchange(sending_later_, true)) background_.Start(SendLater(), "leases of what is gone");
}

asio::awaitable<void> Leases::SendLater() {
  co_await background_.SleepMs(kSendLaterMs);
  sending_later_ = false;
  StartSending();
}

void Leases::Begin(InodeId inode, Lease& lease, wire::LeaseKind keep) {
  if (!lease.going) hooks_.dropped(inode);
  lease.going = true;
  lease.keep = keep;
  background_.Start(GiveUp(inode, lease.number), "recall");
}

asio::awaitable<void> Leases::GiveUp(InodeId inode, uint64_t number) {
  const bool writing = leases_.at(inode).kind == wire::LEASE_WRITE;
  bool pages_gone = false;
  for (;;) {
    Lease* lease = Find(inode, number);
    if (lease == nullptr) co_return;  // dropped at once
    const wire::LeaseKind keep = lease->keep;
    if (keep == wire::LEASE_NONE && !pages_gone) {
      co_await hooks_.forget_in_kernel(inode, true);
      pages_gone = true;
    }
    if (writing) co_await hooks_.flush_for_recall(inode);
    if (keep != wire::LEASE_NONE) {
      co_await hooks_.forget_in_kernel(inode, false);
    } else {
      co_await hooks_.reads_settled(inode);
    }
    lease = Find(inode, number);
    if (lease == nullptr) co_return;
    if (lease->keep != keep) continue;  // more of it was wanted meanwhile
    Answer(inode, number, keep);
    if (keep == wire::LEASE_NONE) {
      Remove(leases_.find(inode));
    } else {
      lease->kind = keep;
      lease->going = false;
    }
    changed_.NotifyAll();
    co_return;
  }
}

void Leases::Remove(Table::iterator lease) {
  by_age_.erase(lease->second.age);
  leases_.erase(lease);
}

void Leases::GiveBackOldest() {
  const size_t most = std::max<size_t>(max_leases_ / kGivenBackShare, 1);
  std::vector<InodeId> oldest;
  for (const InodeId inode : by_age_) {
    if (oldest.size() == most) break;
    if (!leases_.at(inode).going) oldest.push_back(inode);
  }
  // One that has nothing to do for it is gone when this returns.
  for (const InodeId inode : oldest) GiveBack(inode);
}

// --- what ends all at once

void Leases::Reconnected() {
  ++connections_;
  void_.clear();
  answers_.clear();
  given_back_.clear();
  StartSending();
}

void Leases::MasterRestarted(const std::vector<wire::LeaseGrant>& kept) {
  ++connections_;
  void_.clear();
  answers_.clear();
  given_back_.clear();
  owes_all_dropped_ = true;
  std::vector<InodeId> gone;
  for (auto place = leases_.begin(); place != leases_.end();) {
    const auto current = place++;
    auto& [inode, lease] = *current;
    const auto grant = std::find_if(kept.begin(), kept.end(), [&inode](const auto& one) {
      return InodeId{one.inode()} == inode;
    });
    if (lease.kind == wire::LEASE_WRITE) {
      lease.number = grant != kept.end() ? grant->number() : 0;
      // What is going is answered under the new number.
      if (lease.going || lease.number == 0) Begin(inode, lease, wire::LEASE_NONE);
    } else {
      gone.push_back(inode);
      if (!lease.going) hooks_.dropped(inode);
      Remove(current);
    }
  }
  changed_.NotifyAll();
  background_.Start(ForgetInKernel(std::move(gone)), "leases of an earlier master");
}

void Leases::DropAll() {
  if (leases_.empty()) return;
  std::vector<InodeId> gone;
  gone.reserve(leases_.size());
  for (const auto& [inode, lease] : leases_) {
    gone.push_back(inode);
    if (!lease.going) hooks_.dropped(inode);
  }
  leases_.clear();
  by_age_.clear();
  changed_.NotifyAll();
  background_.Start(ForgetInKernel(std::move(gone)), "leases of an earlier session");
}

asio::awaitable<void> Leases::ForgetInKernel(std::vector<InodeId> inodes) {
  ++forgetting_;
  for (const InodeId inode : inodes) co_await hooks_.forget_in_kernel(inode, true);
  --forgetting_;
  StartSending();
}

std::vector<InodeId> Leases::Writing() const {
  std::vector<InodeId> writing;
  for (const auto& [inode, lease] : leases_) {
    if (lease.kind == wire::LEASE_WRITE) writing.push_back(inode);
  }
  return writing;
}

// --- answers

void Leases::Answer(InodeId inode, uint64_t number, wire::LeaseKind kept) {
  AddAnswer(inode, number, kept);
  StartSending();
}

void Leases::AddAnswer(InodeId inode, uint64_t number, wire::LeaseKind kept) {
  wire::LeaseAnswer& answer = answers_.emplace_back();
  answer.set_inode(Raw(inode));
  answer.set_number(number);
  answer.set_kept(kept);
  if (kept == wire::LEASE_NONE) {
    uint64_t& until = given_back_[inode];
    until = std::max(until, number);
  }
  if (kept != wire::LEASE_WRITE) hooks_.tell_opens(answer);
}

void Leases::StartSending() {
  if (std::exchange(sending_, true)) return;
  background_.Start(SendAnswers(), "answers to recalls");
}

// What is lost with a connection is not sent again: the master recalls again what it still wants.
asio::awaitable<void> Leases::SendAnswers() {
  // Not at once: a connection takes nothing before the session is registered on it, and this may
  // have been called on the way there.
  co_await asio::post(executor_, asio::use_awaitable);
  while ((!answers_.empty() || HasToTellAllDropped()) && !background_.stopping()) {
    wire::LeaseAnswersRequest request;
    const std::vector<wire::LeaseAnswer> answers = std::exchange(answers_, {});
    for (const wire::LeaseAnswer& answer : answers) *request.add_answers() = answer;
    request.set_all_dropped(HasToTellAllDropped());
    const bool all_dropped = request.all_dropped();
    const uint64_t connection = connections_;
    const bool sent = co_await hooks_.send(std::move(request));
    if (connection != connections_) continue;
    if (!sent) break;  // Reconnected() goes on
    for (const wire::LeaseAnswer& answer : answers) {
      const auto given = given_back_.find(InodeId{answer.inode()});
      if (given != given_back_.end() && given->second <= answer.number()) given_back_.erase(given);
    }
    if (all_dropped) owes_all_dropped_ = false;
  }
  sending_ = false;
}

}  // namespace ringfs::client
