#include "common/rpc/server.h"

#include <asio/ip/tcp.hpp>
#include <optional>
#include <unordered_set>
#include <utility>

#include "common/async.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/rpc/address.h"
#include "common/rpc/connection.h"

namespace ringfs::rpc {

using asio::ip::tcp;

namespace {

// A peer whose answers wait in such an amount is not read from until it has taken them.
constexpr size_t kPauseReadingBytes = 8u << 20;
constexpr int64_t kAcceptPauseMs = 100;

// Counts one call from here to its end, whatever that is.
class CallCount {
 public:
  CallCount(CallMetrics* metrics, uint32_t method, size_t bytes_in)
      : metrics_(metrics), method_(method), bytes_in_(bytes_in) {
    if (metrics_ == nullptr) return;
    metrics_->Begun();
    began_ns_ = SystemClock().MonotonicNs();
  }
  CallCount(const CallCount&) = delete;
  CallCount& operator=(const CallCount&) = delete;
  ~CallCount() {
    if (metrics_ == nullptr) return;
    metrics_->Ended(method_, failed_, bytes_in_, bytes_out_,
                    SystemClock().MonotonicNs() - began_ns_);
  }

  void Answered(const Result<Reply>& reply) {
    failed_ = !reply;
    if (!reply) return;
    bytes_out_ = reply->body.size();
    for (const Buffer& piece : reply->payload) bytes_out_ += piece.size();
  }

 private:
  CallMetrics* metrics_;
  uint32_t method_;
  size_t bytes_in_;
  size_t bytes_out_ = 0;
  bool failed_ = true;
  int64_t began_ns_ = 0;
};

}  // namespace

// What outlives the Server object while coroutines still refer to it.
class Server::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(asio::any_io_executor executor, Service& service, ServerOptions options)
      : executor_(std::move(executor)), service_(&service), options_(options) {}

  Result<std::string> Listen(const std::string& address);
  void Stop();
  void Forget(const std::shared_ptr<Accepted>& peer);

  // Null once stopped.
  Service* service() const { return service_; }
  const ServerOptions& options() const { return options_; }
  const asio::any_io_executor& executor() const { return executor_; }

 private:
  static asio::awaitable<void> Accept(std::shared_ptr<Core> self);
  void Adopt(tcp::socket socket);

  asio::any_io_executor executor_;
  Service* service_;
  const ServerOptions options_;
  std::optional<tcp::acceptor> acceptor_;
  std::unordered_set<std::shared_ptr<Accepted>> peers_;
};

// One connection that was accepted.
class Server::Accepted final : public Peer,
                               public FrameSink,
                               public std::enable_shared_from_this<Accepted> {
 public:
  Accepted(std::shared_ptr<Core> core, tcp::socket socket, std::string address)
      : core_(std::move(core)),
        connection_(std::make_shared<Connection>(
            std::move(socket),
            ConnectionOptions{core_->options().keepalive_ms, core_->options().dead_after_ms,
                              kPauseReadingBytes})),
        address_(std::move(address)) {}

  void Start() { connection_->Start(shared_from_this()); }

  void Push(uint32_t method, const google::protobuf::MessageLite& message) override;
  void Close() override { connection_->Close({Errc::kUnavailable, "closed by the service"}); }
  bool closed() const override { return !connection_->open(); }
  const std::string& address() const override { return address_; }

  void OnFrame(Frame frame) override;
  void OnFault(const Error& fault) override;
  void OnEnd(const Error& why) override;

 private:
  static asio::awaitable<void> Serve(std::shared_ptr<Accepted> self, uint64_t correlation,
                                     Call call, size_t bytes);
  void Answer(uint64_t correlation, Result<Reply> reply);

  const std::shared_ptr<Core> core_;
  const std::shared_ptr<Connection> connection_;
  const std::string address_;
  uint32_t running_ = 0;  // calls
};

void Server::Accepted::Push(uint32_t method, const google::protobuf::MessageLite& message) {
  if (closed()) return;
  if (connection_->queued_bytes() + message.ByteSizeLong() > kMaxQueuedBytes) {
    spdlog::warn("rpc: {} is cut off: it does not read its messages", address_);
    return connection_->Close({Errc::kUnavailable, "the peer does not read its messages"});
  }
  FrameHeader header;
  header.kind = FrameKind::kPush;
  header.method = method;
  Result<OutFrame> frame = MakeFrame(header, message.SerializeAsString(), {});
  if (!frame) {
    spdlog::error("rpc: push {} to {}: {}", method, address_, frame.error().ToString());
    return connection_->Close(frame.error());
  }
  connection_->Send(*std::move(frame));
}

void Server::Accepted::OnFrame(Frame frame) {
  if (frame.header.kind != FrameKind::kCall || frame.header.correlation == 0) {
    return OnFault({Errc::kProtocol, "a server takes nothing but numbered calls"});
  }
  const size_t bytes = frame.body.size() + frame.payload.size();
  if (++running_ >= core_->options().max_calls_per_peer) connection_->PauseReading();
  Call call{frame.header.method, std::move(frame.body), std::move(frame.payload),
            frame.header.timeout_ms};
  Spawn(core_->executor(), Serve(shared_from_this(), frame.header.correlation, std::move(call), bytes),
        "rpc call");
}

asio::awaitable<void> Server::Accepted::Serve(std::shared_ptr<Accepted> self, uint64_t correlation,
                                              Call call, size_t bytes) {
  // Off the executor's own thread the coroutine starts later, and the server may be stopped by
  // then.
  Service* const service = self->core_->service();
  if (service != nullptr) {
    CallCount count(self->core_->options().metrics, call.method, bytes);
    Result<Reply> reply = co_await service->Handle(self, std::move(call));
    count.Answered(reply);
    self->Answer(correlation, std::move(reply));
  }
  --self->running_;
  self->connection_->ResumeReading();
}

void Server::Accepted::Answer(uint64_t correlation, Result<Reply> reply) {
  if (!reply) {
    connection_->Send(MakeErrorFrame(correlation, reply.error()));
    if (reply.code() == Errc::kProtocol) {
      spdlog::warn("rpc: {} is cut off: {}", address_, reply.error().ToString());
      connection_->Finish(reply.error());
    }
    return;
  }
  FrameHeader header;
  header.kind = FrameKind::kAnswer;
  header.correlation = correlation;
  Result<OutFrame> frame = MakeFrame(header, std::move(reply->body), std::move(reply->payload));
  if (!frame) spdlog::error("rpc: answer to {}: {}", address_, frame.error().ToString());
  connection_->Send(frame ? *std::move(frame) : MakeErrorFrame(correlation, frame.error()));
}

void Server::Accepted::OnFault(const Error& fault) {
  spdlog::warn("rpc: {} is cut off: {}", address_, fault.ToString());
  connection_->Send(MakeErrorFrame(0, fault));
  connection_->Finish(fault);
}

void Server::Accepted::OnEnd(const Error& why) {
  spdlog::debug("rpc: {} is gone: {}", address_, why.detail);
  const std::shared_ptr<Accepted> self = shared_from_this();
  core_->Forget(self);
  if (Service* const service = core_->service()) service->Gone(self);
}

Result<std::string> Server::Core::Listen(const std::string& address) {
  RINGFS_CHECK(!acceptor_);
  const Result<HostPort> parsed = ParseHostPort(address);
  if (!parsed) return Fail(parsed.error());
  asio::error_code error;
  tcp::resolver resolver(executor_);
  const auto found =
      resolver.resolve(parsed->host, std::to_string(parsed->port), tcp::resolver::passive, error);
  if (error || found.empty()) return Fail(Errc::kInvalid, address + ": " + error.message());
  const tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor acceptor(executor_);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error == asio::error::address_in_use) return Fail(Errc::kBusy, address + " is in use");
  if (error) return Fail(ErrcFromErrno(error.value()), address + ": " + error.message());
  const tcp::endpoint bound = acceptor.local_endpoint(error);
  if (error) return Fail(ErrcFromErrno(error.value()), address + ": " + error.message());
  acceptor_.emplace(std::move(acceptor));
  Spawn(executor_, Accept(shared_from_this()), "rpc accept");
  return ToString(bound);
}

asio::awaitable<void> Server::Core::Accept(std::shared_ptr<Core> self) {
  while (self->acceptor_) {
    auto [error, socket] = co_await self->acceptor_->async_accept(kNoThrow);
    if (!self->acceptor_) break;
    if (!error) {
      self->Adopt(std::move(socket));
    } else {
      // Out of descriptors, or the peer gave up early: others may still be served.
      spdlog::warn("rpc: accept: {}", error.message());
      co_await SleepMs(kAcceptPauseMs);
    }
  }
}

void Server::Core::Adopt(tcp::socket socket) {
  asio::error_code error;
  const tcp::endpoint remote = socket.remote_endpoint(error);
  if (error) return;  // it has gone again already
  auto peer = std::make_shared<Accepted>(shared_from_this(), std::move(socket), ToString(remote));
  peers_.insert(peer);
  spdlog::debug("rpc: {} connected", peer->address());
  peer->Start();
}

void Server::Core::Forget(const std::shared_ptr<Accepted>& peer) { peers_.erase(peer); }

void Server::Core::Stop() {
  Service* const service = std::exchange(service_, nullptr);
  acceptor_.reset();
  for (const std::shared_ptr<Accepted>& peer : std::exchange(peers_, {})) {
    peer->Close();
    service->Gone(peer);
  }
}

Server::Server(asio::any_io_executor executor, Service& service, ServerOptions options)
    : core_(std::make_shared<Core>(std::move(executor), service, options)) {}

Server::~Server() { Stop(); }

Result<std::string> Server::Listen(const std::string& address) { return core_->Listen(address); }

void Server::Stop() { core_->Stop(); }

}  // namespace ringfs::rpc
