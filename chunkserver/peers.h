#pragma once

#include <asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "chunkserver/replication/seams.h"
#include "common/rpc/channel.h"

namespace ringfs::chunkserver {

// The other chunkservers, over one connection to each, made when it is needed.
//
// Threads: only from `executor`.
class Peers final : public Members {
 public:
  // `address_of`: of a server, by the newest map.
  Peers(asio::any_io_executor executor,
        std::function<std::optional<std::string>(ServerId)> address_of)
      : executor_(std::move(executor)), address_of_(std::move(address_of)) {}

  asio::awaitable<Result<void>> Replicate(ServerId to, Replication message,
                                          int64_t timeout_ms) override;
  asio::awaitable<Result<BlockPage>> List(ServerId to, Listing listing,
                                          int64_t timeout_ms) override;
  asio::awaitable<Result<BlockCopy>> Fetch(ServerId to, BlockKey key, int64_t timeout_ms) override;

  void CountIn(Metrics& metrics);
  void SetIdentity(std::string cluster_id) { cluster_id_ = std::move(cluster_id); }
  // Calls in flight and later ones fail.
  void Close();

 private:
  struct Connection {
    std::string address;
    std::shared_ptr<rpc::Channel> channel;
  };
  Result<std::shared_ptr<rpc::Channel>> ChannelTo(ServerId to);

  asio::any_io_executor executor_;
  std::function<std::optional<std::string>(ServerId)> address_of_;
  std::string cluster_id_;
  std::unordered_map<ServerId, Connection> connections_;
  bool closed_ = false;
  Counter* failures_ = nullptr;  // null: nobody counts
};

}  // namespace ringfs::chunkserver
