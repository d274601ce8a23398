#pragma once

#include <asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/rpc/address.h"
#include "common/rpc/call_table.h"
#include "common/rpc/channel.h"
#include "common/rpc/connection.h"

namespace ringfs::rpc {

// The Channel over TCP. What the user holds is a handle whose end calls Close(); this object lives
// until its coroutines have ended too.
//
// Invariant: while there is a call that has not ended, Run() runs. It owns whatever belongs to the
//            io_context, and lets go of all of it when the io_context is destroyed.
class TcpChannel final : public Channel, public FrameSink {
 public:
  TcpChannel(asio::any_io_executor executor, std::vector<std::string> addresses,
             ChannelOptions options);

  asio::awaitable<Result<Answer>> Call(uint32_t method, std::string body,
                                       std::vector<Buffer> payload, int64_t timeout_ms) override;
  asio::awaitable<Result<Answer>> CallNow(uint32_t method, std::string body,
                                          int64_t timeout_ms) override;
  void OnPush(std::function<void(uint32_t, std::string)> handler) override;
  void OnConnect(std::function<asio::awaitable<Result<void>>()> handler) override;
  void OnUnreachable(std::function<void(const std::string&, const std::string&)> handler) override;
  void OnDisconnect(std::function<void()> handler) override;
  bool connected() const override { return ready_; }
  void KeepConnected() override;
  void Disconnect() override;
  void Close() override;

  void OnFrame(Frame frame) override;
  void OnFault(const Error& fault) override;
  void OnEnd(const Error& why) override;

 private:
  using Time = CallTable::Time;
  enum class Lane { kOrdinary, kNow };  // kNow: also before the connection is ready
  struct Request {
    uint32_t method = 0;
    std::string body;
    std::vector<Buffer> payload;
    Time deadline;
    size_t bytes = 0;
  };
  template <typename Handler>
  class HandlerWaiter;
  class RunScope;
  class TimerScope;

  static asio::awaitable<Result<Answer>> Exchange(std::shared_ptr<TcpChannel> self, Request request,
                                                  int64_t timeout_ms, Lane lane);
  std::shared_ptr<TcpChannel> Self();
  Result<void> Admit(const Request& request, int64_t timeout_ms, Lane lane) const;
  uint64_t Enter(std::unique_ptr<Waiter> waiter, Request request, Lane lane);
  void SendCall(uint64_t id, Request request);
  void SendWaiting();
  void Cancel(uint64_t id);

  void EnsureRunning();
  static asio::awaitable<void> Run(std::unique_ptr<RunScope> scope);
  asio::awaitable<bool> Establish(asio::steady_timer& wake);
  asio::awaitable<void> WaitForEnd(asio::steady_timer& wake);
  void WakeRun();
  void PauseAfterFailure(const Error& error);
  bool wanted() const { return keep_ || !waiting_.empty(); }

  void WatchDeadline(Time deadline);
  static asio::awaitable<void> ExpireCalls(std::shared_ptr<TcpChannel> self);
  void FailExpired();
  void FailAll();
  void Abandon();
  void DropHandlers();

  const asio::any_io_executor executor_;
  const std::vector<std::string> addresses_;
  const ChannelOptions options_;
  std::function<void(uint32_t, std::string)> on_push_;
  std::function<asio::awaitable<Result<void>>()> on_connect_;
  std::function<void(const std::string&, const std::string&)> on_unreachable_;
  std::function<void()> on_disconnect_;

  CallTable calls_;
  std::map<uint64_t, Request> waiting_;  // those of calls_ that were not sent yet
  size_t waiting_bytes_ = 0;

  bool closed_ = false;
  bool keep_ = false;
  bool running_ = false;  // Run() runs
  bool ready_ = false;    // connected, and the OnConnect handler was content
  bool stood_ = false;    // ready_ was true for the connection that is there
  bool proven_ = false;   // the peer has answered on it
  std::shared_ptr<ConnectAttempt> attempt_;
  std::shared_ptr<Connection> connection_;
  asio::steady_timer* wake_ = nullptr;            // of Run()
  asio::steady_timer* deadline_timer_ = nullptr;  // of ExpireCalls()

  size_t address_index_;  // modulo their number: the one in use, or tried last
  int64_t backoff_ms_ = 0;
  Time not_before_{};  // of the next attempt
  Error last_failure_{Errc::kUnavailable, "not connected yet"};
  std::minstd_rand jitter_;
};

}  // namespace ringfs::rpc
