#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/message.h"

namespace ringfs::rpc {

struct ChannelOptions {
  int64_t connect_timeout_ms = 3000;
  int64_t backoff_min_ms = 20;
  int64_t backoff_max_ms = 1000;
  int64_t keepalive_ms = 1000;
  int64_t dead_after_ms = 10000;
};

// A good answer as it arrived.
struct Answer {
  std::string body;
  Buffer payload;
};

// The caller's end: one connection to one of several addresses, made when first needed and again
// after it broke, with growing pauses. It never repeats a call: a call in flight on a connection
// that breaks fails with kUnavailable (it may have been applied), one that finds no connection
// before its deadline too.
//
// Threads: only from `executor`, which one thread (or a strand) runs.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  // `addresses`: "HOST:PORT", tried in turn.
  static std::shared_ptr<Channel> Make(asio::any_io_executor executor,
                                       std::vector<std::string> addresses,
                                       ChannelOptions options = {});
  virtual ~Channel() = default;

  // Sends and waits for the answer, for at most `timeout_ms` (kTimedOut). Calls leave in the order
  // in which Call() was entered, provided the connection stands. Borrows nothing after its first
  // suspension. An error that the server answered comes back as it was sent. The caller resumes in
  // the read loop, in the place of the answer among the pushes: it has run up to its next
  // suspension before what came after the answer is looked at. kUnavailable also when 64 MiB wait
  // to be sent; kTooBig: over the bounds of a frame; kCancelled: Close() was called, or the
  // coroutine was cancelled.
  virtual asio::awaitable<Result<Answer>> Call(uint32_t method, std::string body,
                                               std::vector<Buffer> payload, int64_t timeout_ms) = 0;

  // Called for each push, in order of arrival and between the answers as they were sent, in the
  // read loop: it must not wait. Set before the first call.
  virtual void OnPush(std::function<void(uint32_t method, std::string body)> handler) = 0;

  // Called after each connect, before any waiting call is sent; calls that it makes itself with
  // `CallNow` go first. When it fails the connection is closed and tried again later. Set before
  // the first call.
  virtual void OnConnect(std::function<asio::awaitable<Result<void>>()> handler) = 0;
  // As Call(), for use inside the OnConnect handler only.
  virtual asio::awaitable<Result<Answer>> CallNow(uint32_t method, std::string body,
                                                  int64_t timeout_ms) = 0;
  // Called after each attempt to connect that failed, with the address and the reason ("Connection
  // refused"). Set before the first call.
  virtual void OnUnreachable(
      std::function<void(const std::string& address, const std::string& why)> handler) = 0;
  // Called when a connection that stood is lost, before its calls fail; not after Close().
  virtual void OnDisconnect(std::function<void()> handler) = 0;

  virtual bool connected() const = 0;
  // Starts connecting, and keeps a connection also while there are no calls.
  virtual void KeepConnected() = 0;
  // Ends the connection; the next call makes a new one.
  virtual void Disconnect() = 0;
  // Ends it for good: calls in flight and later ones fail with kCancelled.
  virtual void Close() = 0;
};

// Call() with messages. kProtocol when the answer does not parse.
template <typename ResponseMessage>
asio::awaitable<Result<ResponseMessage>> CallFor(std::shared_ptr<Channel> channel, uint32_t method,
                                                 std::string body, int64_t timeout_ms) {
  std::vector<Buffer> no_payload;
  auto answer = co_await channel->Call(method, std::move(body), std::move(no_payload), timeout_ms);
  if (!answer) co_return Fail(answer.error());
  co_return Parse<ResponseMessage>(answer->body);
}

}  // namespace ringfs::rpc
