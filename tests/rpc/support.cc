#include "tests/rpc/support.h"

#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <chrono>
#include <random>
#include <utility>

#include "common/rpc/address.h"

namespace ringfs::rpc {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);

Reply Echo(Call call) {
  Reply reply;
  reply.body = std::move(call.body);
  if (!call.payload.empty()) reply.payload.push_back(std::move(call.payload));
  return reply;
}

void PushText(Peer& peer, const std::string& text) {
  google::protobuf::StringValue message;
  message.set_value(text);
  peer.Push(kPushy, message);
}

}  // namespace

asio::awaitable<Result<Reply>> TestService::Handle(std::shared_ptr<Peer> peer, Call call) {
  last_peer = peer;
  arrived.push_back(call.body);
  switch (call.method) {
    case kEcho:
      co_return Echo(std::move(call));
    case kHold:
      ++holding;
      co_await released_.Wait();
      --holding;
      co_return Echo(std::move(call));
    case kRefuse:
      co_return Fail(Errc::kNoSpace, call.body);
    case kBadBody:
      co_return Fail(Errc::kProtocol, "a body that does not parse");
    case kPushy:
      PushText(*peer, "1");
      co_await Yield();
      PushText(*peer, "2");
      co_return Echo(std::move(call));
    case kDrop:
      peer->Close();
      co_return Reply{};
    case kTimeout:
      call.body = std::to_string(call.timeout_ms);
      co_return Echo(std::move(call));
    default:
      co_return Fail(Errc::kNotSupported, "method " + std::to_string(call.method));
  }
}

void TestService::Gone(const std::shared_ptr<Peer>& peer) {
  ++gone;
  if (last_peer == peer) last_peer.reset();
}

Cluster::Cluster(ServerOptions server_options, ChannelOptions channel_options)
    : service(io.get_executor()), options(server_options) {
  StartServer();
  channel = Channel::Make(io.get_executor(), {address}, channel_options);
}

Cluster::~Cluster() {
  if (channel) channel->Close();
  server.reset();
}

void Cluster::StartServer() {
  server = std::make_unique<Server>(io.get_executor(), service, options);
  Result<std::string> bound = server->Listen(address);
  ASSERT_TRUE(bound) << bound.error().ToString();
  address = *bound;
}

void Cluster::Run(asio::awaitable<void> body) {
  bool done = false;
  auto all = [](asio::awaitable<void> inner, bool* finished) -> asio::awaitable<void> {
    co_await std::move(inner);
    *finished = true;
  };
  Spawn(io.get_executor(), all(std::move(body), &done), "test");
  RunUntil([&] { return done; });
}

void Cluster::RunUntil(const std::function<bool()>& condition) {
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  io.restart();
  while (!condition() && std::chrono::steady_clock::now() < limit) {
    io.run_one_for(std::chrono::milliseconds(100));
  }
  ASSERT_TRUE(condition()) << "it did not come to that in time";
}

void RawPeer::Connect(const std::string& address) {
  const Result<HostPort> parsed = ParseHostPort(address);
  ASSERT_TRUE(parsed);
  socket_.connect({asio::ip::make_address(parsed->host), parsed->port});
}

asio::awaitable<void> RawPeer::Send(std::string bytes) {
  // An error shows in what the test then receives.
  co_await asio::async_write(socket_, asio::buffer(bytes), kNoThrow);
}

asio::awaitable<void> RawPeer::Send(OutFrame frame) { return Send(BytesOf(frame)); }

asio::awaitable<Result<Frame>> RawPeer::Receive() {
  std::array<std::byte, kHeaderBytes> raw;
  auto [header_error, header_bytes] =
      co_await asio::async_read(socket_, asio::buffer(raw), kNoThrow);
  if (header_error) {
    co_return Fail(Errc::kProtocol, std::to_string(header_bytes) + ": " + header_error.message());
  }
  Result<FrameHeader> header = DecodeHeader(raw);
  if (!header) co_return Fail(header.error());
  Frame frame;
  frame.header = *header;
  frame.body.resize(header->body_bytes);
  frame.payload = Buffer::Allocate(header->payload_bytes);
  const std::array<asio::mutable_buffer, 2> rest{
      asio::buffer(frame.body), asio::mutable_buffer(frame.payload.data(), frame.payload.size())};
  auto [error, bytes] = co_await asio::async_read(socket_, rest, kNoThrow);
  if (error) co_return Fail(Errc::kProtocol, std::to_string(bytes) + ": " + error.message());
  Result<void> whole = VerifyFrame(raw, std::as_bytes(std::span(frame.body)));
  if (!whole) co_return Fail(whole.error());
  co_return frame;
}

asio::awaitable<void> RawPeer::WaitForEnd() {
  std::array<char, 4096> dropped;
  for (;;) {
    const auto [error, bytes] = co_await socket_.async_read_some(asio::buffer(dropped), kNoThrow);
    if (error) co_return;
  }
}

asio::awaitable<Result<Answer>> Ask(std::shared_ptr<Channel> channel, uint32_t method,
                                    std::string body, int64_t timeout_ms) {
  return channel->Call(method, std::move(body), {}, timeout_ms);
}

std::string BytesOf(const OutFrame& frame) {
  std::string bytes(reinterpret_cast<const char*>(frame.header.data()), frame.header.size());
  bytes += frame.body;
  for (const Buffer& part : frame.payload) bytes += TextOf(part);
  return bytes;
}

std::string_view TextOf(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

Buffer BufferOf(std::string_view text) {
  return Buffer::CopyOf(std::as_bytes(std::span(text.data(), text.size())));
}

Buffer Noise(size_t size, uint32_t seed) {
  Buffer noise = Buffer::Allocate(size);
  std::minstd_rand random(seed);
  for (std::byte& byte : noise.bytes()) byte = static_cast<std::byte>(random());
  return noise;
}

OutFrame CallFrame(uint32_t method, uint64_t correlation, std::string body) {
  FrameHeader header;
  header.kind = FrameKind::kCall;
  header.method = method;
  header.correlation = correlation;
  Result<OutFrame> frame = MakeFrame(header, std::move(body), {});
  return *std::move(frame);
}

asio::awaitable<void> Yield() {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  co_await asio::post(executor, asio::use_awaitable);
}

}  // namespace ringfs::rpc
