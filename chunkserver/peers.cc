#include "chunkserver/peers.h"

#include <utility>

#include "chunkserver/wire.h"
#include "common/async.h"
#include "proto/chunk.pb.h"

namespace ringfs::chunkserver {
namespace {

constexpr int64_t kHelloMs = 2000;

// Makes sure that the address belongs to the server that it is taken for: a port may be in use by
// another one by now.
asio::awaitable<Result<void>> SayHello(std::weak_ptr<rpc::Channel> weak, std::string body) {
  const std::shared_ptr<rpc::Channel> channel = weak.lock();
  if (!channel) co_return Fail(Errc::kCancelled);
  const auto answer = co_await channel->CallNow(wire::CHUNK_HELLO, std::move(body), kHelloMs);
  if (!answer) co_return Fail(answer.error());
  co_return Result<void>();
}

}  // namespace

Result<std::shared_ptr<rpc::Channel>> Peers::ChannelTo(ServerId to) {
  if (closed_) return Fail(Errc::kCancelled, "the server is ending");
  const std::optional<std::string> address = address_of_(to);
  if (!address) {
    return Fail(Errc::kUnavailable, "no address of server " + std::to_string(Raw(to)));
  }
  Connection& connection = connections_[to];
  if (connection.channel && connection.address == *address) return connection.channel;
  if (connection.channel) connection.channel->Close();
  connection.address = *address;
  connection.channel = rpc::Channel::Make(executor_, {*address});
  wire::HelloRequest hello;
  hello.set_cluster_id(cluster_id_);
  hello.set_server(Raw(to));
  const std::weak_ptr<rpc::Channel> weak = connection.channel;
  connection.channel->OnConnect(
      [weak, body = hello.SerializeAsString()] { return SayHello(weak, body); });
  return connection.channel;
}

void Peers::CountIn(Metrics& metrics) {
  failures_ = &metrics.AddCounter("ringfs_replication_failures_total",
                                  "Changes that did not reach another member at the first try.");
}

asio::awaitable<Result<void>> Peers::Replicate(ServerId to, Replication message,
                                               int64_t timeout_ms) {
  const auto channel = ChannelTo(to);
  if (!channel) co_return Fail(channel.error());
  std::string body = ToWire(message).SerializeAsString();
  const auto answer = co_await (*channel)->Call(wire::CHUNK_REPLICATE, std::move(body),
                                                std::move(message.change.data), timeout_ms);
  if (!answer && failures_ != nullptr) failures_->Add();
  if (!answer) co_return Fail(answer.error());
  co_return Result<void>();
}

asio::awaitable<Result<BlockPage>> Peers::List(ServerId to, Listing listing, int64_t timeout_ms) {
  const auto channel = ChannelTo(to);
  if (!channel) co_return Fail(channel.error());
  std::string body = ToWire(listing).SerializeAsString();
  const auto reply = co_await rpc::CallFor<wire::ListBucketReply>(*channel, wire::CHUNK_LIST,
                                                                  std::move(body), timeout_ms);
  if (!reply) co_return Fail(reply.error());
  co_return FromWire(*reply);
}

asio::awaitable<Result<BlockCopy>> Peers::Fetch(ServerId to, BlockKey key, int64_t timeout_ms) {
  const auto channel = ChannelTo(to);
  if (!channel) co_return Fail(channel.error());
  wire::FetchRequest request;
  ToWire(key, *request.mutable_block());
  std::vector<Buffer> no_payload;
  std::string body = request.SerializeAsString();
  auto answer = co_await (*channel)->Call(wire::CHUNK_FETCH, std::move(body), std::move(no_payload),
                                          timeout_ms);
  if (!answer) co_return Fail(answer.error());
  const auto reply = rpc::Parse<wire::FetchReply>(answer->body);
  if (!reply) co_return Fail(reply.error());
  co_return FromWire(*reply, std::move(answer->payload));
}

void Peers::Close() {
  closed_ = true;
  for (const auto& [server, connection] : connections_) connection.channel->Close();
}

}  // namespace ringfs::chunkserver
