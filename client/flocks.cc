#include "client/flocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "common/log.h"

namespace ringfs::client {
namespace {

constexpr int64_t kFlockTimeoutMs = 30'000;
constexpr int64_t kFlockPauseMs = 100;
// The master is told of what has not changed for so long, and gets back what somebody waits for.
constexpr int64_t kTellAfterMs = 100;
constexpr int64_t kStayMs = 1000;
// More waits are not worth fetching.
constexpr size_t kMostWaitsFetched = 64;

}  // namespace

Flocks::Hold::Hold(Flocks& flocks, InodeId inode, bool answering)
    : flocks_(flocks),
      inode_(inode),
      state_(flocks.StateOf(inode)),
      count_(answering ? state_->answering : state_->holding) {
  ++count_;
}

Flocks::Hold::~Hold() {
  --count_;
  state_->changed.NotifyAll();
  flocks_.ForgetIfIdle(inode_);
}

Flocks::Flocks(asio::any_io_executor executor, const Clock& clock, MasterLink& link,
               LockCalls& calls, LockWaits& waits, Background& background, FlockHooks hooks)
    : executor_(std::move(executor)),
      clock_(clock),
      link_(link),
      calls_(calls),
      waits_(waits),
      background_(background),
      hooks_(std::move(hooks)) {}

std::shared_ptr<Flocks::Inode> Flocks::StateOf(InodeId inode) {
  std::shared_ptr<Inode>& state = inodes_[inode];
  if (!state) state = std::make_shared<Inode>(executor_);
  return state;
}

std::shared_ptr<Flocks::Inode> Flocks::Find(InodeId inode) const {
  const auto found = inodes_.find(inode);
  return found == inodes_.end() ? nullptr : found->second;
}

bool Flocks::Stands(InodeId inode, const std::shared_ptr<Inode>& state) const {
  return Find(inode) == state;
}

void Flocks::ForgetIfIdle(InodeId inode) {
  const auto found = inodes_.find(inode);
  if (found == inodes_.end()) return;
  const Inode& state = *found->second;
  const bool busy = state.answering + state.holding > 0 || !state.told.empty();
  const bool stays = state.stays_until_ns > clock_.MonotonicNs();
  if (state.place == Place::kMaster && !busy && !stays) inodes_.erase(found);
}

bool Flocks::IsHere(InodeId inode) const {
  const auto state = Find(inode);
  return state && state->place != Place::kMaster;
}

std::vector<InodeId> Flocks::Here() const {
  std::vector<InodeId> here;
  for (const auto& [inode, state] : inodes_) {
    if (state->place != Place::kMaster) here.push_back(inode);
  }
  return here;
}

void Flocks::SessionLost() {
  for (const auto& [inode, state] : inodes_) state->changed.NotifyAll();
  inodes_.clear();
  watched_.clear();
  here_ = LockTable();
}

asio::awaitable<Result<bool>> Flocks::AreHere(InodeId inode, SessionId session,
                                              Deadline deadline) {
  for (;;) {
    if (session != link_.session()) {
      co_return Fail(Errc::kFenced, fmt::format("session {} has expired", Raw(session)));
    }
    if (!Find(inode) && !hooks_.leased(inode)) co_return false;
    const auto state = StateOf(inode);
    if (state->place == Place::kHere) co_return true;
    if (state->place == Place::kMaster) {
      if (state->holding > 0 || !hooks_.leased(inode)) co_return false;
      if (state->answering == 0) Come(inode, state);
      if (state->place != Place::kMaster) continue;
    }
    if (!co_await state->changed.WaitFor(deadline.left_ms())) {
      co_return Fail(Errc::kTimedOut, "the locks of the file are on their way");
    }
  }
}

// --- under the lease

Result<wire::SetLockReply> Flocks::Set(LockWait& wait) {
  const InodeId inode = wait.request.inode;
  LockChanges changes;
  const SetLockAnswer answer = here_.Set(link_.session(), MessageOf(wait.request, wait.number),
                                         link_.MasterNowNs(), changes);
  if (answer.queued) {
    waits_.Queue(wait, LockWait::Queue::kHere);
    wait.since_ns = clock_.MonotonicNs();
  } else {
    wait.queue = LockWait::Queue::kNone;
  }
  Changed(inode, *StateOf(inode), changes);
  if (answer.error != Errc::kOk) return Fail(answer.error, "the lock is not granted");
  wire::SetLockReply reply;
  reply.set_queued(answer.queued);
  return reply;
}

void Flocks::Withdraw(LockWait& wait) {
  const InodeId inode = wait.request.inode;
  LockChanges changes;
  here_.Cancel(link_.session(), inode, wait.number, link_.MasterNowNs(), changes);
  wait.queue = LockWait::Queue::kNone;
  Changed(inode, *StateOf(inode), changes);
}

void Flocks::Changed(InodeId inode, Inode& state, const LockChanges& changes) {
  for (const wire::GrantPush& grant : changes.granted) {
    const auto wait = waits_.Find(grant.waiter());
    if (!wait) continue;
    wait->granted = true;
    wait->changed.NotifyAll();
  }
  state.changed_ns = clock_.MonotonicNs();
  watched_.insert(inode);
  if (!std::exchange(watching_, true)) background_.Start(Watch(), "flocks under lease");
}

asio::awaitable<void> Flocks::Watch() {
  while (!watched_.empty() && !background_.stopping()) {
    co_await background_.SleepMs(kTellAfterMs);
    const std::vector<InodeId> inodes(watched_.begin(), watched_.end());
    for (const InodeId inode : inodes) LookAt(inode);
  }
  watching_ = false;
}

void Flocks::LookAt(InodeId inode) {
  const auto state = Find(inode);
  const int64_t now_ns = clock_.MonotonicNs();
  const int64_t old_ns = now_ns - kTellAfterMs * kNsPerMs;
  if (!state || state->place != Place::kHere) {
    if (state && state->stays_until_ns > now_ns) return;
    ForgetIfIdle(inode);
    watched_.erase(inode);
    return;
  }
  const Waits waits = waits_.Flocks(inode, LockWait::Queue::kHere);
  if (!waits.empty() && waits.front()->since_ns <= old_ns) {
    state->stays_until_ns = now_ns + kStayMs * kNsPerMs;
    hooks_.give_back(inode);
    background_.Start(HandOver(inode), "flocks that are waited for");
  } else if (state->changed_ns <= old_ns && !state->telling) {
    if (state->told.Next(inode, here_.List(inode))) {
      state->telling = true;
      background_.Start(TellLater(inode, state), "flocks to be seen");
    } else if (waits.empty()) {
      watched_.erase(inode);
    }
  }
}

asio::awaitable<void> Flocks::TellLater(InodeId inode, std::shared_ptr<Inode> state) {
  co_await TellHeld(inode, state);
  state->telling = false;
}

// True: the master's flocks are those that are held here. While they stay here, what changes meanwhile
// is left for later.
asio::awaitable<bool> Flocks::TellHeld(InodeId inode, std::shared_ptr<Inode> state) {
  std::optional<Limiter::Hold> turn;
  while (!turn && Stands(inode, state)) turn = co_await state->order.Take(1, kFlockTimeoutMs);
  const int64_t as_of_ns = state->changed_ns;
  while (!background_.stopping() && Stands(inode, state)) {
    if (state->place == Place::kHere && state->changed_ns != as_of_ns) co_return false;
    const auto next = state->told.Next(inode, here_.List(inode));
    if (!next) co_return true;
    auto reply = co_await calls_.Set(*next, 0, LockCalls::Lease::kHandOver,
                                     Deadline(clock_, kFlockTimeoutMs));
    state->told.Answered(*next, reply);
    if (reply) continue;
    spdlog::warn("inode {}: the master is still to be told of a lock: {}", Raw(inode),
                 reply.error().ToString());
    co_await background_.SleepMs(kFlockPauseMs);
  }
  co_return false;
}

// --- at the master

bool Flocks::WantsLease(InodeId inode) {
  const auto state = Find(inode);
  return (!state || clock_.MonotonicNs() >= state->stays_until_ns) &&
         waits_.Flocks(inode, LockWait::Queue::kMaster).size() <= kMostWaitsFetched;
}

void Flocks::Answered(const LockRequest& request, const Result<wire::SetLockReply>& reply) {
  StateOf(request.inode)->told.Answered(request, reply);
}

void Flocks::GrantedAtMaster(LockWait& wait) {
  wait.granted = true;
  StateOf(wait.request.inode)->told.Granted(wait.request);
  wait.changed.NotifyAll();
}

asio::awaitable<bool> Flocks::Close(InodeId inode, HandleId handle, bool had_locks) {
  if (!Find(inode)) co_return had_locks;
  const SessionId session = link_.session();
  auto here = co_await AreHere(inode, session, Deadline(clock_, kFlockTimeoutMs));
  // Nobody waits for this, and it may not be left out.
  while (!here && here.code() == Errc::kTimedOut && !background_.stopping()) {
    here = co_await AreHere(inode, session, Deadline(clock_, kFlockTimeoutMs));
  }
  const auto state = Find(inode);
  if (!state || session != link_.session()) co_return had_locks;
  if (here && *here) {
    wire::ReleaseLocks release;
    release.set_inode(Raw(inode));
    release.set_handle(Raw(handle));
    LockChanges changes;
    here_.Release(session, release, link_.MasterNowNs(), changes);
    if (!changes.records.empty()) Changed(inode, *state, changes);
  }
  co_return had_locks || state->told.Through(handle);
}

void Flocks::Closed(InodeId inode, HandleId handle, bool sure) {
  if (const auto state = Find(inode)) state->told.Closed(handle, sure);
}

// --- from the master to here

void Flocks::Come(InodeId inode, std::shared_ptr<Inode> state) {
  Waits waits = waits_.Flocks(inode, LockWait::Queue::kMaster);
  if (waits.empty()) return Arrive(inode, *state, waits);
  state->place = Place::kComing;
  for (const auto& wait : waits) wait->moving = true;
  background_.Start(FetchWaits(inode, std::move(state), std::move(waits)), "waits for flocks");
}

asio::awaitable<void> Flocks::FetchWaits(InodeId inode, std::shared_ptr<Inode> state, Waits waits) {
  // From the last on: one that is taken out of the queue lets none behind it pass.
  Waits fetched;
  for (const auto& wait : std::views::reverse(waits)) {
    const auto withdrawn = co_await FetchWait(inode, state, wait);
    if (!Stands(inode, state)) break;
    if (!withdrawn) {
      wait->failed = withdrawn.error();
    } else if (*withdrawn) {
      fetched.push_back(wait);
    } else {
      GrantedAtMaster(*wait);
    }
  }
  std::ranges::reverse(fetched);
  if (Stands(inode, state)) Arrive(inode, *state, fetched);
  EndMove(waits);
}

// Whether it was withdrawn there, and not granted before.
asio::awaitable<Result<bool>> Flocks::FetchWait(InodeId inode, std::shared_ptr<Inode> state,
                                                std::shared_ptr<LockWait> wait) {
  for (;;) {
    auto granted = co_await calls_.Cancel(inode, wait->number, Deadline(clock_, kFlockTimeoutMs));
    if (granted) co_return !*granted;
    if (!MayRetry(granted.code()) || background_.stopping() || !Stands(inode, state)) {
      co_return Fail(granted.error());
    }
    co_await background_.SleepMs(kFlockPauseMs);
  }
}

void Flocks::Arrive(InodeId inode, Inode& state, const Waits& waits) {
  LockChanges changes;
  for (const LockRequest& held : state.told.Held(inode)) {
    const SetLockAnswer answer =
        here_.Set(link_.session(), MessageOf(held, 0), link_.MasterNowNs(), changes);
    if (answer.error != Errc::kOk) {
      spdlog::error("inode {}: the master has granted locks that exclude each other", Raw(inode));
    }
  }
  state.place = Place::kHere;
  Changed(inode, state, changes);
  for (const auto& wait : waits) {
    const auto set = Set(*wait);
    if (!set) wait->failed = set.error();
    if (set && !set->queued()) wait->granted = true;
  }
  state.changed.NotifyAll();
}

void Flocks::EndMove(const Waits& waits) {
  for (const auto& wait : waits) {
    wait->moving = false;
    wait->changed.NotifyAll();
  }
}

// --- from here to the master

asio::awaitable<void> Flocks::HandOver(InodeId inode) {
  const auto state = Find(inode);
  if (!state) co_return;
  while (Stands(inode, state) && !background_.stopping() &&
         (state->place == Place::kComing || state->place == Place::kGoing)) {
    co_await state->changed.Wait();
  }
  if (!Stands(inode, state) || state->place != Place::kHere) co_return;
  state->place = Place::kGoing;
  const Waits waits = waits_.Flocks(inode, LockWait::Queue::kHere);
  for (const auto& wait : waits) wait->moving = true;
  const bool told = co_await TellHeld(inode, state);
  for (const auto& wait : waits) {
    if (told && Stands(inode, state)) co_await MoveToMaster(inode, state, wait);
  }
  EndMove(waits);
  state->changed.NotifyAll();
  if (!told || !Stands(inode, state)) co_return;
  LockChanges changes;
  here_.ReleaseAll(link_.session(), inode, link_.MasterNowNs(), changes);
  state->place = Place::kMaster;
  state->changed.NotifyAll();
  ForgetIfIdle(inode);
}

asio::awaitable<void> Flocks::MoveToMaster(InodeId inode, std::shared_ptr<Inode> state,
                                           std::shared_ptr<LockWait> wait) {
  for (;;) {
    wait->connects = link_.connects();
    auto reply = co_await calls_.Set(wait->request, wait->number, LockCalls::Lease::kHandOver,
                                     Deadline(clock_, kFlockTimeoutMs));
    if (!Stands(inode, state)) co_return;
    state->told.Answered(wait->request, reply);
    if (wait->granted) {
      state->told.Granted(wait->request);  // the push has overtaken the answer
    } else if (reply && reply->queued()) {
      waits_.Queue(*wait, LockWait::Queue::kMaster);
    } else if (reply) {
      wait->granted = true;
    } else if (MayRetry(reply.code()) && !background_.stopping()) {
      co_await background_.SleepMs(kFlockPauseMs);
      continue;
    } else if (reply.code() == Errc::kInvalid) {
      // It has come there by an earlier try, and waits.
      waits_.Queue(*wait, LockWait::Queue::kMaster);
      wait->connects = 0;
    } else {
      wait->failed = reply.error();
    }
    co_return;
  }
}

}  // namespace ringfs::client
