#pragma once

#include <asio/awaitable.hpp>
#include <memory>
#include <string>

#include "chunkserver/replication/replica.h"
#include "chunkserver/store_blocks.h"
#include "common/metrics.h"
#include "common/rpc/server.h"

namespace ringfs::chunkserver {

// What the service answers from. The pointers are null until the server has registered.
struct Answerer {
  Replica* replica = nullptr;
  StoreBlocks* blocks = nullptr;
  std::string cluster_id;
  std::string uuid;
  std::string address;
  const Metrics* metrics = nullptr;  // null: nobody counts
};

// The calls of proto/chunk.proto: from clients, other chunkservers and administrators.
//
// Threads: the protocol's.
class ChunkService final : public rpc::Service {
 public:
  // Borrows.
  explicit ChunkService(const Answerer& answerer) : answerer_(answerer) {}

  asio::awaitable<Result<rpc::Reply>> Handle(std::shared_ptr<rpc::Peer> peer,
                                             rpc::Call call) override;

 private:
  asio::awaitable<Result<rpc::Reply>> HandleClient(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> HandleServer(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> Write(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> Read(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> Sync(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> StatBlocks(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> Drop(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> Replicate(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> Fetch(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> List(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> Inspect(rpc::Call call);
  asio::awaitable<Result<rpc::Reply>> SyncAll();
  Result<rpc::Reply> Hello(const rpc::Call& call) const;
  Result<rpc::Reply> Status() const;
  int64_t Deadline(const rpc::Call& call) const;

  const Answerer& answerer_;
};

}  // namespace ringfs::chunkserver
