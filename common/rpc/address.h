#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "common/result.h"

namespace ringfs::rpc {

struct HostPort {
  std::string host;  // a name or a number, IPv6 without its brackets
  uint16_t port = 0;
};

// Reads "HOST:PORT" or "[v6]:PORT". kInvalid: it is neither.
Result<HostPort> ParseHostPort(const std::string& address);

// "10.0.0.7:4711", "[::1]:4711"
std::string ToString(const asio::ip::tcp::endpoint& endpoint);

// Makes one TCP connection.
//
// Threads: only from its executor.
class ConnectAttempt {
 public:
  explicit ConnectAttempt(const asio::any_io_executor& executor)
      : resolver_(executor), socket_(executor), limit_(executor) {}

  // Connects to the first of the addresses of `address` that accepts. kInvalid: not an address.
  // kUnavailable: nobody accepted, or not within `timeout_ms`. Once only.
  static asio::awaitable<Result<asio::ip::tcp::socket>> Run(std::shared_ptr<ConnectAttempt> self,
                                                            std::string address,
                                                            int64_t timeout_ms);
  // Makes Run() fail soon.
  void Cancel();

 private:
  static asio::awaitable<void> Limit(std::shared_ptr<ConnectAttempt> self, int64_t timeout_ms);
  asio::awaitable<Result<std::vector<asio::ip::tcp::endpoint>>> Resolve(std::string address);

  asio::ip::tcp::resolver resolver_;
  asio::ip::tcp::socket socket_;
  asio::steady_timer limit_;
  bool done_ = false;
  bool cancelled_ = false;
};

}  // namespace ringfs::rpc
