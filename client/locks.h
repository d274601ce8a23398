#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "client/background.h"
#include "client/filesystem.h"
#include "client/limiter.h"
#include "client/master_link.h"
#include "client/open_files.h"
#include "client/retry.h"
#include "common/async.h"
#include "common/result.h"
#include "proto/lock.pb.h"

namespace ringfs::client {

// Takes and frees locks at the master, and waits for those that others hold.
//
// The requests of one owner for one inode reach the master one after the other, in the order of the
// calls; a wait is not in the way of the next request.
//
// Threads: only from `executor`.
class Locks {
 public:
  Locks(asio::any_io_executor executor, const Clock& clock, MasterLink& link,
        Background& background)
      : executor_(std::move(executor)), clock_(clock), link_(link), background_(background) {}

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

  // The master says that a wait has ended.
  void Granted(const wire::GrantPush& push);
  // There was a reconnect, or the session has expired: all waits look again how they stand.
  void WakeAll();

 private:
  // A wait that was announced to the master.
  struct Wait {
    explicit Wait(const asio::any_io_executor& executor) : changed(executor) {}
    Event changed;
    bool granted = false;
  };
  // How a wait ended.
  enum class End { kGranted, kForgotten };
  using OwnerKey = std::pair<InodeId, uint64_t>;

  std::shared_ptr<Limiter> OrderOf(const OwnerKey& key);
  void ForgetOrder(const OwnerKey& key);
  asio::awaitable<Result<End>> Ask(std::shared_ptr<Handle> handle, LockRequest request,
                                   Interrupt interrupt, SessionId session, Deadline deadline);
  asio::awaitable<Result<wire::SetLockReply>> Send(LockRequest request, uint64_t waiter,
                                                   Deadline deadline);
  asio::awaitable<Result<End>> Await(std::shared_ptr<Wait> wait, LockRequest request,
                                     uint64_t waiter, Interrupt interrupt, SessionId session,
                                     uint64_t connects);
  asio::awaitable<Result<std::optional<End>>> AskStatus(LockRequest request, uint64_t waiter);
  asio::awaitable<Result<End>> Withdraw(LockRequest request, uint64_t waiter, SessionId session);
  asio::awaitable<Result<void>> Undo(LockRequest request, uint64_t waiter, Deadline deadline);
  asio::awaitable<void> FinishUndo(LockRequest request, uint64_t waiter, SessionId session);

  asio::any_io_executor executor_;
  const Clock& clock_;
  MasterLink& link_;
  Background& background_;
  std::map<OwnerKey, std::shared_ptr<Limiter>> orders_;
  std::unordered_map<uint64_t, std::weak_ptr<Wait>> waits_;
  uint64_t last_waiter_ = 0;
};

}  // namespace ringfs::client
