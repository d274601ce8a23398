#pragma once

#include <any>
#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "common/call_metrics.h"
#include "common/rpc/message.h"

namespace ringfs::rpc {

// The server's end of one connection.
// Threads: only from the server's executor.
class Peer {
 public:
  virtual ~Peer() = default;
  // Sends a message that is no answer. Pushes and replies leave in the order in which they were
  // given. A peer that does not read (over 64 MiB queued) is cut off.
  virtual void Push(uint32_t method, const google::protobuf::MessageLite& message) = 0;
  // Ends the connection; what is queued is dropped.
  virtual void Close() = 0;
  virtual bool closed() const = 0;
  // "10.0.0.7:4711"
  virtual const std::string& address() const = 0;
  // Whatever the service wants to remember of this connection.
  std::any context;
};

// What a program answers. One object serves all connections.
class Service {
 public:
  virtual ~Service() = default;
  // Called for each call in the order of its arrival on its connection, in its read loop up to the
  // first suspension; many run at once. The service parses `call.body`. An Error of kProtocol also
  // ends the connection.
  virtual asio::awaitable<Result<Reply>> Handle(std::shared_ptr<Peer> peer, Call call) = 0;
  // The connection is gone; calls of it may still be running, their answers go nowhere.
  virtual void Gone(const std::shared_ptr<Peer>& peer) { static_cast<void>(peer); }
};

struct ServerOptions {
  int64_t keepalive_ms = 1000;         // an idle connection is asked for a sign of life this often
  int64_t dead_after_ms = 10000;       // and is closed when nothing at all was heard for so long
  uint32_t max_calls_per_peer = 1024;  // at more, the connection is not read from
  CallMetrics* metrics = nullptr;      // counts the calls; null: nobody does. Lives longer
};

// Accepts connections and gives their calls to a service.
//
// Owns:    its connections; borrows the service, which must live until Stop() or the destructor has
//          returned and its running calls have ended. To be destroyed before the io_context.
// Threads: everything happens on `executor`, which one thread (or a strand) runs.
class Server {
 public:
  Server(asio::any_io_executor executor, Service& service, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and listens on "HOST:PORT" (also "[v6]:PORT"); port 0 picks a free one. Returns the
  // address bound, with the port. kInvalid: not an address. kBusy: the port is in use. Once only.
  Result<std::string> Listen(const std::string& address);
  // No new connections; ends those that are there, each with its Gone() before this returns.
  void Stop();

 private:
  class Core;
  class Accepted;

  std::shared_ptr<Core> core_;
};

}  // namespace ringfs::rpc
