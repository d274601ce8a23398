#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "client/background.h"
#include "client/filesystem.h"
#include "client/flocks.h"
#include "client/limiter.h"
#include "client/lock_calls.h"
#include "client/lock_waits.h"
#include "client/master_link.h"
#include "client/open_files.h"
#include "client/retry.h"
#include "common/result.h"
#include "proto/lock.pb.h"

namespace ringfs::client {

// Takes and frees locks, at the master or under a lease (Flocks), and waits for those that others
// hold.
//
// The requests of one owner for one inode take effect one after the other, in the order of the calls;
// a wait is not in the way of the next request.
//
// Threads: only from `executor`.
class Locks {
 public:
  Locks(asio::any_io_executor executor, const Clock& clock, MasterLink& link,
        Background& background, FlockHooks hooks);

  // As Filesystem::SetLock. `timeout_ms` is for what the master is to answer at once: a wait ends
  // with the lock or a signal. When the session expires, nobody has been told of the lock yet, and
  // it is asked for in the next session. kFenced: others that were taken through the handle are
  // lost.
  asio::awaitable<Result<void>> Set(std::shared_ptr<Handle> handle, LockRequest request,
                                    Interrupt interrupt, int64_t timeout_ms);
  asio::awaitable<Result<wire::TestLockReply>> Test(LockRequest request, Deadline deadline);
  // Frees the range locks of an owner on an inode: one of its descriptors was closed.
  asio::awaitable<Result<void>> FreeOwner(std::shared_ptr<Handle> handle, uint64_t owner,
                                          Deadline deadline);

  // The end of an open file that is not fenced: frees what is held through it under a lease, and has
  // `tell` called, true when the master is to free what it knows of. Returns what `tell` does.
  asio::awaitable<Result<void>> Close(
      std::shared_ptr<Handle> handle,
      std::function<asio::awaitable<Result<void>>(bool frees_locks)> tell);

  // The master says that a wait has ended.
  void Granted(const wire::GrantPush& push);
  // There was a reconnect: all waits look again how they stand.
  void WakeAll() { waits_.WakeAll(); }
  void SessionLost();

  // The lease of the flocks of an inode goes.
  asio::awaitable<void> HandOver(InodeId inode) { return flocks_.HandOver(inode); }
  const Flocks& flocks() const { return flocks_; }

 private:
  // How a wait ended.
  enum class End { kGranted, kForgotten };
  using OwnerKey = std::pair<InodeId, uint64_t>;

  std::shared_ptr<Limiter> OrderOf(const OwnerKey& key);
  void ForgetOrder(const OwnerKey& key);
  asio::awaitable<Result<End>> Ask(std::shared_ptr<Handle> handle, LockRequest request,
                                   Interrupt interrupt, SessionId session, Deadline deadline);
  asio::awaitable<Result<wire::SetLockReply>> Send(std::shared_ptr<Handle> handle,
                                                   std::shared_ptr<LockWait> wait,
                                                   SessionId session, Deadline deadline);
  asio::awaitable<Result<wire::SetLockReply>> SendFlock(std::shared_ptr<Handle> handle,
                                                        std::shared_ptr<LockWait> wait,
                                                        SessionId session, Deadline deadline);
  asio::awaitable<Result<End>> Await(std::shared_ptr<LockWait> wait, Interrupt interrupt,
                                     SessionId session);
  asio::awaitable<Result<std::optional<End>>> AskStatus(std::shared_ptr<LockWait> wait,
                                                        SessionId session);
  asio::awaitable<Result<End>> Withdraw(std::shared_ptr<LockWait> wait, SessionId session);
  asio::awaitable<void> WithdrawLater(std::shared_ptr<LockWait> wait, SessionId session);
  asio::awaitable<Result<void>> Undo(LockRequest request, uint64_t waiter, SessionId session,
                                     Deadline deadline);
  asio::awaitable<void> FinishUndo(LockRequest request, uint64_t waiter, SessionId session);

  asio::any_io_executor executor_;
  const Clock& clock_;
  MasterLink& link_;
  Background& background_;
  LockCalls calls_;
  LockWaits waits_;
  Flocks flocks_;
  std::map<OwnerKey, std::shared_ptr<Limiter>> orders_;
};

}  // namespace ringfs::client
