#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "common/rpc/server.h"
#include "master/service/backup_handler.h"
#include "master/service/context.h"
#include "master/service/master_figures.h"
#include "master/service/orphan_collector.h"
#include "master/state/state_machine.h"

namespace ringfs::master {

// What a master answers to mounts, chunkservers and administrators, and what it does by itself:
// sessions and servers that are not heard of expire, content without a name is removed.
//
// Owns:    one thread, which writes to the disk; borrows the state machine, the clock and the
//          membership logic, which must outlive it.
// Threads: everything on `executor`, which one thread runs. Destroyed before the executor's
//          context, and when nothing runs on it.
class MasterService final : public rpc::Service, private CommandLog::Listener {
 public:
  // `membership` may be null: then nobody decides which servers hold which bucket.
  MasterService(asio::any_io_executor executor, StateMachine& state, const Clock& clock,
                Membership* membership, ServiceOptions options);
  ~MasterService() override;

  // Takes up the state's sessions, servers and fences, each with new time, and begins to look at
  // the time. `disk_failed` is called when nothing can be answered any more.
  void Start(std::function<void(const Error&)> disk_failed);
  // Answers nothing any more; returns when everything applied is on the disk.
  void Stop();
  // As if the program were killed: what is not on the disk is lost.
  void Abandon() { context_.log.Abandon(); }
  // Looks at the time now: what has expired, what can be collected. Happens by itself, too.
  void Tick();

  asio::awaitable<Result<rpc::Reply>> Handle(std::shared_ptr<rpc::Peer> peer,
                                             rpc::Call call) override;
  void Gone(const std::shared_ptr<rpc::Peer>& peer) override;

 private:
  asio::awaitable<Result<rpc::Reply>> Dispatch(std::shared_ptr<rpc::Peer> peer, rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> HandleClient(std::shared_ptr<rpc::Peer> peer, rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> HandleServer(std::shared_ptr<rpc::Peer> peer, rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> HandleAdmin(rpc::Call call);

  void Applied(const Events& events) override;
  void Granted(const std::vector<wire::GrantPush>& grants) override;
  void Durable(const Events& events) override;
  void DiskFailed(const Error& error) override;

  static asio::awaitable<void> WatchTime(MasterService* self,
                                         std::shared_ptr<asio::steady_timer> timer,
                                         std::shared_ptr<bool> running);
  void ForgiveStandstill(int64_t now_ns);
  void EndGraceWhenAllReturned();
  void SkipNumbers();

  Context context_;
  OrphanCollector orphans_;
  BackupHandler backups_;
  std::optional<MasterFigures> figures_;
  int64_t figures_ns_ = 0;  // when they were brought up to date
  std::function<void(const Error&)> disk_failed_;
  int64_t started_ns_ = 0;
  int64_t ticked_ns_ = 0;
  bool grace_ = true;  // sessions of an earlier run may still come back
  uint32_t requests_ = 0;
  std::shared_ptr<asio::steady_timer> timer_;
  std::shared_ptr<bool> running_ = std::make_shared<bool>(false);
};

}  // namespace ringfs::master
