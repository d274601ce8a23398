#include "common/rpc/address.h"

#include <charconv>
#include <chrono>
#include <utility>
#include <vector>

#include "common/async.h"

namespace ringfs::rpc {

using asio::ip::tcp;

Result<HostPort> ParseHostPort(const std::string& address) {
  const Failure bad = Fail(Errc::kInvalid, "'" + address + "' is not HOST:PORT");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return bad;
  HostPort parsed;
  parsed.host = address.substr(0, colon);
  if (parsed.host.front() == '[') {
    if (parsed.host.size() < 3 || parsed.host.back() != ']') return bad;
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  } else if (parsed.host.find(':') != std::string::npos) {
    return bad;
  }
  const char* const end = address.data() + address.size();
  const auto [stop, error] = std::from_chars(address.data() + colon + 1, end, parsed.port);
  if (error != std::errc() || stop != end) return bad;
  return parsed;
}

std::string ToString(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
         std::to_string(endpoint.port());
}

asio::awaitable<Result<std::vector<tcp::endpoint>>> ConnectAttempt::Resolve(std::string address) {
  const Result<HostPort> parsed = ParseHostPort(address);
  if (!parsed) co_return Fail(parsed.error());
  std::vector<tcp::endpoint> endpoints;
  asio::error_code not_numeric;
  const asio::ip::address numeric = asio::ip::make_address(parsed->host, not_numeric);
  if (!not_numeric) {
    endpoints.emplace_back(numeric, parsed->port);
    co_return endpoints;
  }
  const std::string port = std::to_string(parsed->port);
  const auto [error, found] = co_await resolver_.async_resolve(parsed->host, port, kNoThrow);
  if (error) co_return Fail(Errc::kUnavailable, error.message());
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  co_return endpoints;
}

asio::awaitable<Result<tcp::socket>> ConnectAttempt::Run(std::shared_ptr<ConnectAttempt> self,
                                                         std::string address, int64_t timeout_ms) {
  Spawn(self->limit_.get_executor(), Limit(self, timeout_ms), "rpc connect limit");
  const auto endpoints = co_await self->Resolve(std::move(address));
  Error failure{Errc::kUnavailable, "no address"};
  if (!endpoints) failure = endpoints.error();
  for (size_t i = 0; endpoints && i < endpoints->size() && !self->cancelled_; ++i) {
    const tcp::endpoint& endpoint = (*endpoints)[i];
    const auto [error] = co_await self->socket_.async_connect(endpoint, kNoThrow);
    if (self->cancelled_) break;
    asio::error_code unknown;
    // A free local port may be connected to itself when nobody listens on it.
    const bool to_itself = !error && self->socket_.local_endpoint(unknown) == endpoint;
    if (!error && !to_itself) {
      self->done_ = true;
      self->limit_.cancel();
      co_return std::move(self->socket_);
    }
    failure.detail = to_itself ? "connection refused" : error.message();
    asio::error_code ignored;  // the socket is given up in any case
    self->socket_.close(ignored);
  }
  self->done_ = true;
  self->limit_.cancel();
  if (self->cancelled_) {
    co_return Fail(Errc::kUnavailable,
                   "not connected within " + std::to_string(timeout_ms) + " ms");
  }
  co_return Fail(failure);
}

asio::awaitable<void> ConnectAttempt::Limit(std::shared_ptr<ConnectAttempt> self,
                                            int64_t timeout_ms) {
  self->limit_.expires_after(std::chrono::milliseconds(timeout_ms));
  co_await self->limit_.async_wait(kNoThrow);
  if (!self->done_) self->Cancel();
}

void ConnectAttempt::Cancel() {
  cancelled_ = true;
  resolver_.cancel();
  limit_.cancel();
  asio::error_code ignored;  // the socket is given up in any case
  socket_.close(ignored);
}

}  // namespace ringfs::rpc
