#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunkserver/replication/replica.h"
#include "chunkserver/replication/seams.h"
#include "common/async.h"
#include "common/clock.h"
#include "common/rpc/channel.h"
#include "proto/session.pb.h"

namespace ringfs::chunkserver {

// What the link needs of the server that it belongs to.
class LinkedServer {
 public:
  virtual ~LinkedServer() = default;
  virtual wire::RegisterServerRequest Registration() = 0;
  virtual wire::ServerUsage Usage() = 0;
  // The master has accepted the registration: makes the replica, or gives the one it has the map.
  // kWrongCluster and others end the program.
  virtual Result<Replica*> Registered(const wire::RegisterServerReply& reply) = 0;
  // Null before.
  virtual Replica* replica() = 0;
  // Of what a failed disk held; called after each change of the map and each heartbeat.
  virtual void LookAtStores() = 0;
  virtual asio::awaitable<void> SessionEnded(SessionId session) = 0;
};

// The connection to the master: registers after each connect, keeps the lease, does what the master
// pushes, and asks it what the protocol wants to know.
//
// Threads: only from `executor`.
class MasterLink final : public MasterCalls {
 public:
  MasterLink(asio::any_io_executor executor, const Clock& clock, LinkedServer& server,
             std::vector<std::string> masters);

  // The cluster's map before anything is known here: tries until there is an answer, and says every
  // ten seconds that there is none.
  asio::awaitable<Result<wire::ClusterMap>> AskForCluster();
  // Registers and stays registered. Returns when that has succeeded for the first time, or cannot.
  asio::awaitable<Result<void>> Start();
  // Whether Start() failed because the master has removed this server.
  bool removed() const { return removed_; }
  // Registers anew, after Registration() has come to say something else.
  void RegisterAgain() { channel_->Disconnect(); }
  void Close();

  asio::awaitable<Result<bool>> IsLive(SessionId session) override;
  asio::awaitable<Result<void>> RefreshMap() override;
  asio::awaitable<Result<void>> ReportSynced(PoolId pool, BucketId bucket,
                                             uint64_t version) override;

 private:
  asio::awaitable<Result<void>> Register();
  asio::awaitable<void> KeepLease();
  void OnPush(uint32_t method, const std::string& body);
  asio::awaitable<void> CloseSessions(std::vector<SessionId> sessions);
  asio::awaitable<void> CollectGarbage(wire::GarbagePush push);
  asio::awaitable<void> FollowMap();
  asio::awaitable<Result<void>> FetchMap();
  void SayUnreachable(const Error& why);
  int64_t NowMs() const { return clock_.MonotonicNs() / kNsPerMs; }

  asio::any_io_executor executor_;
  const Clock& clock_;
  LinkedServer& server_;
  std::shared_ptr<rpc::Channel> channel_;
  std::optional<Error> fatal_;
  bool started_ = false;     // connecting means registering
  bool registered_ = false;  // at least once
  bool removed_ = false;
  bool closed_ = false;
  uint64_t refreshes_begun_ = 0;
  uint64_t refreshes_ended_ = 0;
  Result<void> refreshed_;
  int64_t said_ms_ = 0;
  Event changed_;
};

}  // namespace ringfs::chunkserver
