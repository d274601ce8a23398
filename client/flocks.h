#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "client/background.h"
#include "client/filesystem.h"
#include "client/limiter.h"
#include "client/lock_calls.h"
#include "client/lock_waits.h"
#include "client/master_link.h"
#include "client/retry.h"
#include "client/told_flocks.h"
#include "common/async.h"
#include "common/locks/lock_table.h"
#include "common/result.h"

namespace ringfs::client {

// The lease of the flocks of an inode.
struct FlockHooks {
  std::function<bool(InodeId)> leased;  // it is held, and not going
  // It is to go. HandOver() is called on its way, if it is there.
  std::function<void(InodeId)> give_back;
};

// Where the flocks of each inode are kept: at the master, or, under a lease that the master gives when
// no other session has any on the inode, here. Those that are here are taken and freed without asking
// the master. It is told of what has not changed for a while, so that people see it; and of all, the
// waits too and in their order, when the lease goes: because another session wants a lock, or a wait
// here takes long (then the master is to see whether others are held up in turn).
//
// What is held under a lease ends with the session, as what the master knows of does: nobody else is
// given a lock before the session has handed over, or has been fenced at all chunkservers.
//
// Threads:   only from the executor.
// Invariant: while the flocks of an inode are here, no request for one is under way to the master, but
//            from here; while they are there, the lock table here has none of the inode.
class Flocks {
 private:
  struct Inode;

 public:
  // Keeps the flocks of an inode where they are, from its making to its end.
  class Hold {
   public:
    // `answering`: it ends with an answer of the master, which others can wait for.
    Hold(Flocks& flocks, InodeId inode, bool answering);
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold();

   private:
    Flocks& flocks_;
    InodeId inode_;
    std::shared_ptr<Inode> state_;
    uint32_t& count_;
  };

  // Borrows all.
  Flocks(asio::any_io_executor executor, const Clock& clock, MasterLink& link, LockCalls& calls,
         LockWaits& waits, Background& background, FlockHooks hooks);

  // Whether they are here; returns when they are not on the way from one place to the other.
  // kTimedOut, kFenced.
  asio::awaitable<Result<bool>> AreHere(InodeId inode, SessionId session, Deadline deadline);

  // Of an inode whose flocks are here. Errors as of LockTable::Set().
  Result<wire::SetLockReply> Set(LockWait& wait);
  void Withdraw(LockWait& wait);

  // Of an inode whose flocks are at the master: a request, that the answer may bring them, and what
  // became of it.
  bool WantsLease(InodeId inode);
  void Answered(const LockRequest& request, const Result<wire::SetLockReply>& reply);
  void GrantedAtMaster(LockWait& wait);

  // An open file ends: frees what is held here through it. `had_locks`: the master was asked for locks
  // through it. True: it is to be told of the end, and Closed() is to be called with what came of it.
  asio::awaitable<bool> Close(InodeId inode, HandleId handle, bool had_locks);
  void Closed(InodeId inode, HandleId handle, bool sure);

  // The lease goes: returns when the master knows all, or the session is lost.
  asio::awaitable<void> HandOver(InodeId inode);
  void SessionLost();
  bool IsHere(InodeId inode) const;
  std::vector<InodeId> Here() const;

 private:
  enum class Place { kMaster, kComing, kHere, kGoing };
  struct Inode {
    explicit Inode(const asio::any_io_executor& executor) : changed(executor), order(executor, 1) {}
    Event changed;  // its place, or a hold has ended
    Limiter order;  // of what the master is told
    ToldFlocks told;
    Place place = Place::kMaster;
    uint32_t answering = 0;  // holds
    uint32_t holding = 0;
    int64_t changed_ns = 0;
    int64_t stays_until_ns = 0;  // at the master
    bool telling = false;
  };
  using Waits = std::vector<std::shared_ptr<LockWait>>;

  std::shared_ptr<Inode> StateOf(InodeId inode);
  std::shared_ptr<Inode> Find(InodeId inode) const;
  // It was not lost with its session.
  bool Stands(InodeId inode, const std::shared_ptr<Inode>& state) const;
  void ForgetIfIdle(InodeId inode);

  void Come(InodeId inode, std::shared_ptr<Inode> state);
  asio::awaitable<void> FetchWaits(InodeId inode, std::shared_ptr<Inode> state, Waits waits);
  asio::awaitable<Result<bool>> FetchWait(InodeId inode, std::shared_ptr<Inode> state,
                                          std::shared_ptr<LockWait> wait);
  void Arrive(InodeId inode, Inode& state, const Waits& waits);
  asio::awaitable<bool> TellHeld(InodeId inode, std::shared_ptr<Inode> state);
  asio::awaitable<void> TellLater(InodeId inode, std::shared_ptr<Inode> state);
  asio::awaitable<void> MoveToMaster(InodeId inode, std::shared_ptr<Inode> state,
                                     std::shared_ptr<LockWait> wait);
  static void EndMove(const Waits& waits);

  // The lock table has changed for the inode.
  void Changed(InodeId inode, Inode& state, const LockChanges& changes);
  asio::awaitable<void> Watch();
  void LookAt(InodeId inode);

  asio::any_io_executor executor_;
  const Clock& clock_;
  MasterLink& link_;
  LockCalls& calls_;
  LockWaits& waits_;
  Background& background_;
  FlockHooks hooks_;
  LockTable here_;
  std::unordered_map<InodeId, std::shared_ptr<Inode>> inodes_;
  std::unordered_set<InodeId> watched_;  // changed here, and maybe to be told
  bool watching_ = false;
};

}  // namespace ringfs::client
