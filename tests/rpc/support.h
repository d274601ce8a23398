#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/async.h"
#include "common/rpc/channel.h"
#include "common/rpc/frame.h"
#include "common/rpc/server.h"

namespace ringfs::rpc {

// What the tests' service answers to.
enum Method : uint32_t {
  kEcho = 1,     // body and payload come back
  kHold = 2,     // as kEcho, but not before Release()
  kRefuse = 3,   // kNoSpace, with the body as detail
  kBadBody = 4,  // kProtocol
  kPushy = 5,    // push "1", then, after a suspension, push "2" and the answer
  kDrop = 6,     // closes the connection
  kTimeout = 7,  // the body of the answer is timeout_ms
};

class TestService final : public Service {
 public:
  explicit TestService(const asio::any_io_executor& executor) : released_(executor) {}

  asio::awaitable<Result<Reply>> Handle(std::shared_ptr<Peer> peer, Call call) override;
  void Gone(const std::shared_ptr<Peer>& peer) override;

  // Lets the calls of kHold go that wait now.
  void Release() { released_.NotifyAll(); }

  std::vector<std::string> arrived;  // the bodies, in order
  int holding = 0;                   // calls of kHold that wait
  int gone = 0;
  std::shared_ptr<Peer> last_peer;

 private:
  Event released_;
};

// A server, a channel to it, and an io_context for both, driven by the test.
class Cluster {
 public:
  explicit Cluster(ServerOptions server_options = {}, ChannelOptions channel_options = {});
  ~Cluster();

  // Runs `body` to its end; fails the test when that takes longer than ten seconds.
  void Run(asio::awaitable<void> body);
  // Runs the io_context until `condition` holds; fails the test after ten seconds.
  void RunUntil(const std::function<bool()>& condition);
  // A server on the same address again.
  void StartServer();
  void StopServer() { server.reset(); }

  asio::io_context io;
  TestService service;
  ServerOptions options;
  std::unique_ptr<Server> server;
  std::string address = "127.0.0.1:0";
  std::shared_ptr<Channel> channel;
};

// A peer that does not keep to the protocol.
class RawPeer {
 public:
  explicit RawPeer(asio::io_context& io) : socket_(io) {}

  void Connect(const std::string& address);
  asio::ip::tcp::socket& socket() { return socket_; }
  asio::awaitable<void> Send(std::string bytes);
  asio::awaitable<void> Send(OutFrame frame);
  // The next frame. kProtocol: none came before the end of the connection.
  asio::awaitable<Result<Frame>> Receive();
  // Reads and drops what comes until the connection ends.
  asio::awaitable<void> WaitForEnd();

 private:
  asio::ip::tcp::socket socket_;
};

inline constexpr int64_t kPlenty = 10'000;  // ms; longer than a test waits for anything

// A call without payload.
asio::awaitable<Result<Answer>> Ask(std::shared_ptr<Channel> channel, uint32_t method,
                                    std::string body, int64_t timeout_ms = kPlenty);
std::string BytesOf(const OutFrame& frame);
std::string_view TextOf(const Buffer& buffer);
Buffer BufferOf(std::string_view text);
// `size` bytes that depend on `seed`.
Buffer Noise(size_t size, uint32_t seed);
OutFrame CallFrame(uint32_t method, uint64_t correlation, std::string body);
// Lets everything run that is ready now.
asio::awaitable<void> Yield();

}  // namespace ringfs::rpc
