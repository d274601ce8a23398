#include "common/rpc/tcp_channel.h"

#include <algorithm>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/post.hpp>
#include <limits>
#include <utility>

#include "common/async.h"
#include "common/check.h"
#include "common/log.h"

namespace ringfs::rpc {
namespace {

CallTable::Time TimeNow() { return std::chrono::steady_clock::now(); }

std::string Joined(const std::vector<std::string>& addresses) {
  std::string text;
  for (const std::string& address : addresses) text += (text.empty() ? "" : ",") + address;
  return text;
}

}  // namespace

// A coroutine that Asio has suspended for us.
template <typename Handler>
class TcpChannel::HandlerWaiter final : public Waiter {
 public:
  explicit HandlerWaiter(Handler handler) : handler_(std::move(handler)) {}
  void Resume(Result<Answer> result) override {
    Handler handler = std::move(handler_);
    handler(std::move(result));
  }

 private:
  Handler handler_;
};

// Belongs to Run(), also before it has begun. When Run() does not come to its end because the
// io_context is destroyed, the channel lets go of all that belongs to that.
class TcpChannel::RunScope {
 public:
  explicit RunScope(std::shared_ptr<TcpChannel> channel) : channel_(std::move(channel)) {
    channel_->running_ = true;
  }
  RunScope(const RunScope&) = delete;
  RunScope& operator=(const RunScope&) = delete;
  ~RunScope() {
    channel_->running_ = false;
    if (!ended_) channel_->Abandon();
  }
  void End() {
    ended_ = true;
    channel_->running_ = false;
  }
  TcpChannel& channel() const { return *channel_; }

 private:
  const std::shared_ptr<TcpChannel> channel_;
  bool ended_ = false;
};

// While it exists, others find the timer of a coroutine in `place`.
class TcpChannel::TimerScope {
 public:
  TimerScope(asio::steady_timer*& place, asio::steady_timer& timer) : place_(place) {
    place_ = &timer;
  }
  TimerScope(const TimerScope&) = delete;
  TimerScope& operator=(const TimerScope&) = delete;
  ~TimerScope() { place_ = nullptr; }

 private:
  asio::steady_timer*& place_;
};

std::shared_ptr<Channel> Channel::Make(asio::any_io_executor executor,
                                       std::vector<std::string> addresses, ChannelOptions options) {
  RINGFS_CHECK(!addresses.empty());
  auto channel = std::make_shared<TcpChannel>(std::move(executor), std::move(addresses), options);
  Channel* const object = channel.get();
  return std::shared_ptr<Channel>(
      object, [channel = std::move(channel)](Channel* handle) { handle->Close(); });
}

TcpChannel::TcpChannel(asio::any_io_executor executor, std::vector<std::string> addresses,
                       ChannelOptions options)
    : executor_(std::move(executor)),
      addresses_(std::move(addresses)),
      options_(options),
      address_index_(addresses_.size() - 1),
      jitter_(std::random_device()()) {}

std::shared_ptr<TcpChannel> TcpChannel::Self() {
  return std::static_pointer_cast<TcpChannel>(shared_from_this());
}

void TcpChannel::OnPush(std::function<void(uint32_t, std::string)> handler) {
  on_push_ = std::move(handler);
}
void TcpChannel::OnConnect(std::function<asio::awaitable<Result<void>>()> handler) {
  on_connect_ = std::move(handler);
}
void TcpChannel::OnUnreachable(
    std::function<void(const std::string&, const std::string&)> handler) {
  on_unreachable_ = std::move(handler);
}
void TcpChannel::OnDisconnect(std::function<void()> handler) {
  on_disconnect_ = std::move(handler);
}

// --- calls

asio::awaitable<Result<Answer>> TcpChannel::Call(uint32_t method, std::string body,
                                                 std::vector<Buffer> payload, int64_t timeout_ms) {
  Request request{method, std::move(body), std::move(payload), {}, 0};
  return Exchange(Self(), std::move(request), timeout_ms, Lane::kOrdinary);
}

asio::awaitable<Result<Answer>> TcpChannel::CallNow(uint32_t method, std::string body,
                                                    int64_t timeout_ms) {
  Request request{method, std::move(body), {}, {}, 0};
  return Exchange(Self(), std::move(request), timeout_ms, Lane::kNow);
}

asio::awaitable<Result<Answer>> TcpChannel::Exchange(std::shared_ptr<TcpChannel> self,
                                                     Request request, int64_t timeout_ms,
                                                     Lane lane) {
  request.bytes = request.body.size();
  for (const Buffer& part : request.payload) request.bytes += part.size();
  if (Result<void> admitted = self->Admit(request, timeout_ms, lane); !admitted) {
    co_return Fail(admitted.error());
  }
  request.deadline = TimeNow() + std::chrono::milliseconds(timeout_ms);
  auto start = [&](auto handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    auto waiter = std::make_unique<HandlerWaiter<decltype(handler)>>(std::move(handler));
    const uint64_t id = self->Enter(std::move(waiter), std::move(request), lane);
    if (slot.is_connected()) {
      slot.assign([weak = self->weak_from_this(), id](asio::cancellation_type) {
        const std::shared_ptr<Channel> channel = weak.lock();
        if (channel) static_cast<TcpChannel&>(*channel).Cancel(id);
      });
    }
  };
  co_return co_await asio::async_initiate<decltype(asio::use_awaitable), void(Result<Answer>)>(
      start, asio::use_awaitable);
}

Result<void> TcpChannel::Admit(const Request& request, int64_t timeout_ms, Lane lane) const {
  if (closed_) return Fail(Errc::kCancelled, "the channel is closed");
  if (timeout_ms <= 0) return Fail(Errc::kTimedOut, "no time was left for the call");
  if (request.body.size() > kMaxBodyBytes ||
      request.bytes - request.body.size() > kMaxPayloadBytes) {
    return Fail(Errc::kTooBig, "a call of " + std::to_string(request.bytes) + " bytes");
  }
  if (lane == Lane::kNow && (!connection_ || !connection_->open())) {
    return Fail(Errc::kUnavailable, "the connection is gone");
  }
  const size_t queued = waiting_bytes_ + (connection_ ? connection_->queued_bytes() : 0);
  // One call always fits, however large.
  if (queued > 0 && queued + request.bytes > kMaxQueuedBytes) {
    return Fail(Errc::kUnavailable, Joined(addresses_) + " does not keep up: " +
                                        std::to_string(queued) + " bytes wait to be sent");
  }
  return {};
}

uint64_t TcpChannel::Enter(std::unique_ptr<Waiter> waiter, Request request, Lane lane) {
  const Time deadline = request.deadline;
  const uint64_t id = calls_.Add(std::move(waiter), deadline);
  if (lane == Lane::kNow || (ready_ && connection_->open())) {
    SendCall(id, std::move(request));
  } else {
    waiting_bytes_ += request.bytes;
    waiting_.emplace(id, std::move(request));
  }
  WatchDeadline(deadline);
  EnsureRunning();
  return id;
}

void TcpChannel::SendCall(uint64_t id, Request request) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(request.deadline - TimeNow()).count();
  FrameHeader header;
  header.kind = FrameKind::kCall;
  header.method = request.method;
  header.correlation = id;
  header.timeout_ms =
      static_cast<uint32_t>(std::clamp<int64_t>(left, 1, std::numeric_limits<uint32_t>::max()));
  Result<OutFrame> frame = MakeFrame(header, std::move(request.body), std::move(request.payload));
  calls_.MarkSent(id);
  connection_->Send(*std::move(frame));  // Admit() has seen that it is not too big
}

void TcpChannel::SendWaiting() {
  waiting_bytes_ = 0;
  for (auto& [id, request] : std::exchange(waiting_, {})) SendCall(id, std::move(request));
}

void TcpChannel::Cancel(uint64_t id) {
  // Not here and now: the one who cancels may be in the middle of something.
  asio::post(executor_, [self = Self(), id] {
    std::unique_ptr<Waiter> waiter = self->calls_.Take(id);
    if (!waiter) return;
    if (const auto unsent = self->waiting_.extract(id)) {
      self->waiting_bytes_ -= unsent.mapped().bytes;
    }
    waiter->Resume(Fail(Errc::kCancelled, "the caller gave the call up"));
  });
}

// --- what arrives

void TcpChannel::OnFrame(Frame frame) {
  const FrameHeader& header = frame.header;
  if (header.kind == FrameKind::kPush) {
    proven_ = true;
    if (on_push_) on_push_(header.method, std::move(frame.body));
    return;
  }
  if (header.kind != FrameKind::kAnswer) {
    return OnFault({Errc::kProtocol, "a client takes nothing but answers and pushes"});
  }
  Error error{ErrcFromWire(static_cast<int>(header.error)), {}};
  if (error.code != Errc::kOk) error.detail = std::move(frame.body);
  if (header.correlation == 0) {
    if (error.code == Errc::kOk) error.code = Errc::kProtocol;
    return connection_->Close(std::move(error));
  }
  proven_ = true;
  const std::unique_ptr<Waiter> waiter = calls_.Take(header.correlation);
  if (!waiter) return;  // its deadline has passed
  if (error.code != Errc::kOk) return waiter->Resume(Fail(std::move(error)));
  Answer answer{std::move(frame.body), std::move(frame.payload)};
  waiter->Resume(std::move(answer));
}

void TcpChannel::OnFault(const Error& fault) {
  spdlog::warn("rpc: {} is cut off: {}", Joined(addresses_), fault.ToString());
  connection_->Close(fault);
}

void TcpChannel::OnEnd(const Error& why) {
  const std::string& address = addresses_[address_index_ % addresses_.size()];
  const Errc code = why.code == Errc::kVersion ? Errc::kVersion : Errc::kUnavailable;
  const Error failure{code, address + ": " + (code == why.code ? why.detail : why.ToString())};
  spdlog::debug("rpc: {}", failure.ToString());
  connection_.reset();
  ready_ = false;
  const bool stood = std::exchange(stood_, false);
  if (std::exchange(proven_, false)) backoff_ms_ = 0;
  PauseAfterFailure(failure);
  WakeRun();
  if (closed_) return FailAll();
  if (stood && on_disconnect_) on_disconnect_();
  for (const auto& waiter : calls_.TakeSent()) waiter->Resume(Fail(failure));
}

// --- connecting

void TcpChannel::KeepConnected() {
  if (closed_) return;
  keep_ = true;
  EnsureRunning();
}

void TcpChannel::Disconnect() {
  if (!connection_) return;
  ready_ = false;
  connection_->Close({Errc::kUnavailable, "disconnected"});
}

void TcpChannel::Close() {
  if (closed_) return;
  closed_ = true;
  ready_ = false;
  if (attempt_) attempt_->Cancel();
  if (connection_) connection_->Close({Errc::kCancelled, "closed"});
  if (deadline_timer_ != nullptr) deadline_timer_->cancel();
  WakeRun();
  if (running_) {
    asio::post(executor_, [self = Self()] { self->FailAll(); });
  } else {
    DropHandlers();
  }
}

void TcpChannel::EnsureRunning() {
  if (running_) return;
  Spawn(executor_, Run(std::make_unique<RunScope>(Self())), "rpc channel");
}

void TcpChannel::WakeRun() {
  if (wake_ != nullptr) wake_->cancel();
}

asio::awaitable<void> TcpChannel::Run(std::unique_ptr<RunScope> scope) {
  TcpChannel& self = scope->channel();
  asio::steady_timer wake(self.executor_);
  const TimerScope timer_scope(self.wake_, wake);
  while (!self.closed_ && self.wanted()) {
    if (TimeNow() < self.not_before_) {
      wake.expires_at(self.not_before_);
      co_await wake.async_wait(kNoThrow);
      continue;
    }
    const bool established = co_await self.Establish(wake);
    if (established) co_await self.WaitForEnd(wake);
  }
  if (self.closed_) {
    self.FailAll();
    self.DropHandlers();
  }
  scope->End();
}

asio::awaitable<void> TcpChannel::WaitForEnd(asio::steady_timer& wake) {
  while (connection_) {
    wake.expires_at(Time::max());
    co_await wake.async_wait(kNoThrow);
  }
}

// Makes one attempt. False: it failed, or the connection is lost again already.
asio::awaitable<bool> TcpChannel::Establish(asio::steady_timer& wake) {
  const std::string address = addresses_[++address_index_ % addresses_.size()];
  attempt_ = std::make_shared<ConnectAttempt>(executor_);
  Result<asio::ip::tcp::socket> socket =
      co_await ConnectAttempt::Run(attempt_, address, options_.connect_timeout_ms);
  attempt_.reset();
  if (closed_) co_return false;
  if (!socket) {
    PauseAfterFailure({Errc::kUnavailable, address + ": " + socket.error().detail});
    if (on_unreachable_) on_unreachable_(address, socket.error().detail);
    co_return false;
  }
  const ConnectionOptions options{options_.keepalive_ms, options_.dead_after_ms};
  connection_ = std::make_shared<Connection>(*std::move(socket), options);
  connection_->Start(Self());
  if (on_connect_) {
    const Result<void> greeted = co_await on_connect_();
    if (!greeted && connection_) {
      spdlog::debug("rpc: {}: {}", address, greeted.error().ToString());
      connection_->Close(greeted.error());
    }
  }
  if (!connection_ || !connection_->open()) {
    co_await WaitForEnd(wake);
    co_return false;
  }
  ready_ = true;
  stood_ = true;
  SendWaiting();
  co_return true;
}

void TcpChannel::PauseAfterFailure(const Error& error) {
  last_failure_ = error;
  spdlog::debug("rpc: no connection: {}", error.ToString());
  // The other addresses are tried at once.
  if ((address_index_ + 1) % addresses_.size() != 0) return;
  backoff_ms_ = std::clamp(backoff_ms_ * 2, options_.backoff_min_ms, options_.backoff_max_ms);
  std::uniform_int_distribution<int64_t> pause(backoff_ms_ / 2, backoff_ms_);
  not_before_ = TimeNow() + std::chrono::milliseconds(pause(jitter_));
}

// --- ends

void TcpChannel::WatchDeadline(Time deadline) {
  if (deadline_timer_ == nullptr) {
    Spawn(executor_, ExpireCalls(Self()), "rpc deadlines");
  } else if (deadline < deadline_timer_->expiry()) {
    deadline_timer_->cancel();
  }
}

asio::awaitable<void> TcpChannel::ExpireCalls(std::shared_ptr<TcpChannel> self) {
  if (self->deadline_timer_ != nullptr) co_return;
  asio::steady_timer timer(self->executor_);
  const TimerScope scope(self->deadline_timer_, timer);
  // The timer stays as it is when a call ends in time: setting it anew for each would cost more
  // than waking up once for nothing.
  while (!self->closed_) {
    const std::optional<Time> earliest = self->calls_.earliest();
    if (!earliest) break;
    timer.expires_at(*earliest);
    co_await timer.async_wait(kNoThrow);
    if (!self->closed_) self->FailExpired();
  }
}

void TcpChannel::FailExpired() {
  for (const CallTable::Expired& expired : calls_.TakeExpired(TimeNow())) {
    if (const auto unsent = waiting_.extract(expired.id)) {
      waiting_bytes_ -= unsent.mapped().bytes;
    }
    if (expired.sent) {
      expired.waiter->Resume(Fail(Errc::kTimedOut, Joined(addresses_) + " did not answer in time"));
    } else {
      expired.waiter->Resume(Fail(last_failure_));
    }
  }
}

void TcpChannel::FailAll() {
  waiting_.clear();
  waiting_bytes_ = 0;
  for (const auto& waiter : calls_.TakeAll()) {
    waiter->Resume(Fail(Errc::kCancelled, "the channel is closed"));
  }
}

void TcpChannel::Abandon() {
  closed_ = true;
  ready_ = false;
  attempt_.reset();
  connection_.reset();
  waiting_.clear();
  calls_.TakeAll();  // their coroutines are destroyed with the io_context, not resumed
  DropHandlers();
}

void TcpChannel::DropHandlers() {
  on_push_ = nullptr;
  on_connect_ = nullptr;
  on_unreachable_ = nullptr;
  on_disconnect_ = nullptr;
}

}  // namespace ringfs::rpc
