#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <memory>
#include <string>
#include <unordered_map>

#include "client/cluster_view.h"
#include "common/ids.h"
#include "common/result.h"
#include "common/rpc/channel.h"

namespace ringfs::client {

// The connections to the chunkservers, made when first needed. Each says whom it expects, so that a
// server that took over another's address is never given its writes.
//
// Owns:    the channels.
// Threads: only from `executor`.
class ChunkLinks {
 public:
  // `view` must outlive this.
  ChunkLinks(asio::any_io_executor executor, const ClusterView& view)
      : executor_(std::move(executor)), view_(view) {}

  // kNotServing: the server is not in the map.
  Result<std::shared_ptr<rpc::Channel>> Get(ServerId server);

  // The map has changed: ends the connections to servers that are down or elsewhere now, so that
  // calls that wait for them go on at once.
  void Follow();

  // Ends all, for good.
  void Close();
  bool closed() const { return closed_; }

  // "3 at 10.0.0.7:4711", for messages.
  std::string Describe(ServerId server) const;

 private:
  struct Link {
    std::string address;
    std::shared_ptr<rpc::Channel> channel;
  };

  asio::any_io_executor executor_;
  const ClusterView& view_;
  std::unordered_map<ServerId, Link> links_;
  bool closed_ = false;
};

}  // namespace ringfs::client
