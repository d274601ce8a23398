#include "client/chunk_links.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "common/log.h"
#include "proto/chunk.pb.h"

namespace ringfs::client {
namespace {

constexpr int64_t kHelloTimeoutMs = 3000;

rpc::ChannelOptions ChunkChannelOptions() {
  rpc::ChannelOptions options;
  // Calls to a server that dies end when the map says so, within about one lease (3 s). This bound
  // is for one that only this client cannot reach.
  options.connect_timeout_ms = 1000;
  options.backoff_max_ms = 500;
  options.dead_after_ms = 6000;
  return options;
}

// Borrows nothing but `channel`, which is the one that awaits this.
asio::awaitable<Result<void>> SayHello(rpc::Channel* channel, ServerId server,
                                       std::string cluster_id) {
  wire::HelloRequest request;
  request.set_cluster_id(std::move(cluster_id));
  request.set_server(Raw(server));
  auto answer =
      co_await channel->CallNow(wire::CHUNK_HELLO, request.SerializeAsString(), kHelloTimeoutMs);
  if (!answer) {
    spdlog::warn("chunkserver {} does not know us: {}", Raw(server), answer.error().ToString());
    co_return Fail(answer.error());
  }
  auto reply = rpc::Parse<wire::HelloReply>(answer->body);
  if (!reply) co_return Fail(reply.error());
  if (reply->server() != Raw(server)) {
    spdlog::warn("server {} answers where {} was expected", reply->server(), Raw(server));
    co_return Fail(Errc::kWrongCluster, "another chunkserver answers at this address");
  }
  co_return Result<void>();
}

}  // namespace

Result<std::shared_ptr<rpc::Channel>> ChunkLinks::Get(ServerId server) {
  if (closed_) return Fail(Errc::kCancelled, "the filesystem is closing");
  const auto known = links_.find(server);
  if (known != links_.end()) return known->second.channel;
  const wire::Server* found = view_.FindServer(server);
  if (!found || found->address().empty()) {
    return Fail(Errc::kNotServing, fmt::format("chunkserver {} is not in the map", Raw(server)));
  }
  const std::vector<std::string> addresses{found->address()};
  auto channel = rpc::Channel::Make(executor_, addresses, ChunkChannelOptions());
  const std::string& cluster_id = view_.map().cluster_id();
  channel->OnConnect(
      [raw = channel.get(), server, cluster_id] { return SayHello(raw, server, cluster_id); });
  links_[server] = Link{found->address(), channel};
  return channel;
}

void ChunkLinks::Follow() {
  for (auto link = links_.begin(); link != links_.end();) {
    const wire::Server* server = view_.FindServer(link->first);
    const bool there = server && server->address() == link->second.address &&
                       server->state() != wire::SERVER_DOWN && server->state() != wire::SERVER_GONE;
    if (there) {
      ++link;
      continue;
    }
    spdlog::info("chunkserver {} at {} is gone", Raw(link->first), link->second.address);
    link->second.channel->Close();
    link = links_.erase(link);
  }
}

void ChunkLinks::Close() {
  closed_ = true;
  for (auto& [server, link] : links_) link.channel->Close();
  links_.clear();
}

std::string ChunkLinks::Describe(ServerId server) const {
  const wire::Server* found = view_.FindServer(server);
  return fmt::format("{} at {}", Raw(server), found ? found->address() : "an unknown address");
}

}  // namespace ringfs::client
