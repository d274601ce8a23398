#include "client/master_link.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <random>
#include <utility>

#include "common/log.h"

namespace ringfs::client {
namespace {

constexpr int64_t kRegisterTimeoutMs = 5000;
constexpr int64_t kFarewellTimeoutMs = 2000;
constexpr int64_t kKeepAliveMinMs = 50;
// Of the time to live, one part is left out of account.
constexpr int64_t kClockMargin = 16;

std::string RandomBytes() {
  std::random_device random;
  std::string bytes;
  while (bytes.size() < 16) bytes.push_back(static_cast<char>(random()));
  return bytes;
}

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

rpc::ChannelOptions MasterChannelOptions() {
  rpc::ChannelOptions options;
  // A session lives ten seconds: a dead connection has to be found, and made anew, before that.
  options.connect_timeout_ms = 2000;
  options.backoff_max_ms = 500;
  options.dead_after_ms = 6000;
  return options;
}

// Whether registering again cannot help.
bool IsFinal(Errc code) {
  return code == Errc::kWrongCluster || code == Errc::kVersion || code == Errc::kNotFound ||
         code == Errc::kNotDirectory || code == Errc::kInvalid || code == Errc::kProtocol;
}

}  // namespace

MasterLink::MasterLink(asio::any_io_executor executor, const Clock& clock, Options options,
                       Background& background, MasterLinkHooks hooks)
    : executor_(executor),
      clock_(clock),
      options_(std::move(options)),
      background_(background),
      hooks_(std::move(hooks)),
      channel_(rpc::Channel::Make(executor, options_.masters, MasterChannelOptions())),
      changed_(executor),
      ask_now_(executor) {
  channel_->OnConnect([this] { return Register(); });
  channel_->OnUnreachable(
      [this](const std::string& address, const std::string& why) { Unreachable(address, why); });
  channel_->OnPush([this](uint32_t method, const std::string& body) { Take(method, body); });
  channel_->OnDisconnect([this] {
    if (!closing_) spdlog::warn("the connection to the master is lost; connecting again");
  });
}

asio::awaitable<Result<void>> MasterLink::Open(Deadline deadline) {
  channel_->KeepConnected();
  while (Raw(session_) == 0) {
    if (IsFinal(refusal_.code)) co_return Fail(refusal_);
    const int64_t left_ms = deadline.left_ms();
    if (left_ms == 0) {
      co_return Fail(Errc::kTimedOut, fmt::format("no session with the master at {}: {}",
                                                  fmt::join(options_.masters, ","), WhyNot()));
    }
    co_await changed_.WaitFor(left_ms);
  }
  background_.Start(KeepAlive(), "keep alive");
  co_return Result<void>();
}

asio::awaitable<void> MasterLink::Close() {
  closing_ = true;
  ask_now_.NotifyAll();
  if (Raw(session_) != 0 && channel_->connected()) {
    wire::CloseSessionRequest request;
    request.set_session(Raw(session_));
    auto answer = co_await channel_->Call(wire::MASTER_CLOSE_SESSION, request.SerializeAsString(),
                                          {}, kFarewellTimeoutMs);
    if (!answer) {
      spdlog::warn("the session was not closed and will expire: {}", answer.error().ToString());
    }
  }
  channel_->Close();
  session_ = SessionId{0};
  changed_.NotifyAll();
}

// --- registering

asio::awaitable<Result<void>> MasterLink::Register() {
  const Background::Mark mark(background_);
  if (closing_) co_return Fail(Errc::kCancelled, "closing");
  int64_t sent_ns = clock_.MonotonicNs();
  auto reply = co_await SendOpenSession();
  const bool lost = !reply && Raw(session_) != 0 &&
                    (reply.code() == Errc::kFenced || reply.code() == Errc::kNotFound);
  if (lost) {
    LoseSession(reply.error());
    sent_ns = clock_.MonotonicNs();
    reply = co_await SendOpenSession();
  }
  if (reply && (reply->session() == 0 || reply->ttl_ms() <= 0 || reply->slots() < 2)) {
    reply = Fail(Errc::kProtocol, "the master opened a session without number, time or slots");
  }
  if (!reply) {
    refusal_ = reply.error();
    spdlog::warn("the master does not register this client: {}", refusal_.ToString());
    SayThatItWaits();
    changed_.NotifyAll();
    co_return Fail(refusal_);
  }
  Adopt(*reply, sent_ns);
  co_return Result<void>();
}

void MasterLink::Unreachable(const std::string& address, const std::string& why) {
  // Of one master its name is said by those who ask.
  const bool only = options_.masters.size() == 1;
  refusal_ = Error{Errc::kUnavailable, only ? why : address + ": " + why};
  SayThatItWaits();
}

void MasterLink::SayThatItWaits() {
  if (connects_ > 0 || !options_.on_waiting || IsFinal(refusal_.code)) return;
  std::exchange(options_.on_waiting, nullptr)(WhyNot());
}

asio::awaitable<Result<wire::OpenSessionReply>> MasterLink::SendOpenSession() {
  if (client_.empty()) client_ = RandomBytes();
  wire::OpenSessionRequest request;
  request.set_session(Raw(session_));
  request.set_lost(Raw(lost_));
  request.set_client(client_);
  request.set_cluster_id(cluster_id_);
  request.set_host(HostName());
  request.set_pid(getpid());
  request.set_mountpoint(options_.mountpoint);
  request.set_version(RINGFS_VERSION);
  request.set_ttl_ms(options_.session_ttl_ms);
  request.set_subdirectory(options_.subdirectory);
  for (wire::OpenInode& open : hooks_.open_inodes()) *request.add_open() = std::move(open);
  if (Raw(session_) != 0) kept_.SayAgain(request);
  request.set_caching(options_.caching);
  if (options_.caching) {
    for (const InodeId inode : hooks_.writing()) request.add_writing(Raw(inode));
  }
  auto answer = co_await channel_->CallNow(wire::MASTER_OPEN_SESSION, request.SerializeAsString(),
                                           kRegisterTimeoutMs);
  if (!answer) co_return Fail(answer.error());
  co_return rpc::Parse<wire::OpenSessionReply>(answer->body);
}

int64_t MasterLink::LeftNs() const {
  if (Raw(session_) == 0) return 0;
  return std::max<int64_t>(certain_until_ns_ - clock_.MonotonicNs(), 0);
}

void MasterLink::Adopt(const wire::OpenSessionReply& reply, int64_t sent_ns) {
  if (SessionId{reply.session()} != session_) {
    session_ = SessionId{reply.session()};
    slots_ = std::make_shared<Slots>(executor_, reply.slots());
    spdlog::info("session {} opened", reply.session());
  } else {
    spdlog::info("back in session {}", reply.session());
  }
  if (reply.again_refused() != 0) {
    spdlog::error("the master has restarted and could not make {} of {} changes again: {}",
                  reply.again_refused(), kept_.size(), kept_.Describe());
  }
  // They are on its disk.
  kept_.Clear();
  refusal_ = Error{Errc::kOk, {}};
  lost_ = SessionId{0};
  ttl_ms_ = reply.ttl_ms();
  Renewed(sent_ns);
  cluster_id_ = reply.cluster_id();
  root_ = InodeId{reply.root()};
  ++connects_;
  LearnTime(reply.time_ns());
  const bool restarted = run_ != 0 && run_ != reply.run();
  run_ = reply.run();
  if (options_.caching) hooks_.returned(reply, restarted);
  hooks_.map(reply.map());
  changed_.NotifyAll();
}

void MasterLink::LoseSession(const Error& why) {
  spdlog::error("session {} has expired ({}): its locks are gone; opening a new session",
                Raw(session_), why.ToString());
  if (!kept_.empty()) {
    spdlog::error("if the master has restarted meanwhile, {} changes are lost: {}", kept_.size(),
                  kept_.Describe());
    kept_.Clear();
  }
  lost_ = session_;
  session_ = SessionId{0};
  certain_until_ns_ = 0;
  slots_.reset();
  client_.clear();
  hooks_.session_lost();
  changed_.NotifyAll();
}

// The master has renewed the session after `sent_ns`: its clock runs out later than ours, also when
// the two do not run at quite the same speed.
void MasterLink::Renewed(int64_t sent_ns) {
  const bool doubted = !Certain();
  const int64_t ttl_ns = ttl_ms_ * kNsPerMs;
  certain_until_ns_ = std::max(certain_until_ns_, sent_ns + ttl_ns - ttl_ns / kClockMargin);
  if (doubted) changed_.NotifyAll();
}

// Half of the way there and back is left out: it is less than two clocks may differ by.
void MasterLink::LearnTime(int64_t master_ns) {
  if (master_ns != 0) clock_offset_ns_ = master_ns - clock_.WallNs();
}

bool MasterLink::Certain() const {
  return Raw(session_) != 0 && clock_.MonotonicNs() < certain_until_ns_;
}

asio::awaitable<bool> MasterLink::MakeCertain(Deadline deadline) {
  while (!Certain()) {
    const int64_t left_ms = deadline.left_ms();
    if (left_ms == 0 || closing_) co_return false;
    ask_now_.NotifyAll();
    co_await changed_.WaitFor(left_ms);
  }
  co_return true;
}

void MasterLink::Reconnect() {
  // Not here and now: this may be called from the read loop of the very connection.
  asio::post(executor_, [channel = channel_] { channel->Disconnect(); });
}

void MasterLink::Suspect(SessionId session) {
  if (Raw(session) != 0 && session == session_ && !closing_) Reconnect();
}

// --- what comes by itself

asio::awaitable<void> MasterLink::KeepAlive() {
  while (!background_.stopping()) {
    const int64_t pause_ms = Certain() ? ttl_ms_ / 4 : 0;
    co_await ask_now_.WaitFor(std::max(pause_ms, kKeepAliveMinMs));
    if (background_.stopping() || Raw(session_) == 0) continue;
    if (options_.caching && LeftNs() < ttl_ms_ * kNsPerMs / 10 * 3) hooks_.overdue();
    const SessionId session = session_;
    const int64_t sent_ns = clock_.MonotonicNs();
    wire::KeepAliveRequest request;
    request.set_session(Raw(session));
    auto reply = co_await rpc::CallFor<wire::KeepAliveReply>(
        channel_, wire::MASTER_KEEP_ALIVE, request.SerializeAsString(), ttl_ms_ / 4);
    if (reply) {
      if (session == session_) Renewed(sent_ns);
      LearnTime(reply->time_ns());
      if (session == session_) kept_.Flushed(reply->flushed());
      hooks_.epoch(Epoch{reply->epoch()});
    } else if (reply.code() == Errc::kFenced || reply.code() == Errc::kNotFound) {
      Suspect(session);
    }
    // Any other error is the connection's, which is made again, and registers, by itself.
  }
}

void MasterLink::Take(uint32_t method, const std::string& body) {
  if (method == wire::MASTER_PUSH_MAP) {
    auto push = rpc::Parse<wire::MapPush>(body);
    if (push) return hooks_.epoch(Epoch{push->epoch()});
  } else if (method == wire::MASTER_PUSH_GRANT) {
    auto push = rpc::Parse<wire::GrantPush>(body);
    if (push) return hooks_.granted(*push);
  } else if (method == wire::MASTER_PUSH_RECALL && options_.caching) {
    auto push = rpc::Parse<wire::RecallPush>(body);
    if (push) return hooks_.recalled(*push);
  }
  // A newer master may push what this client does not know.
  spdlog::warn("the master pushed message {} of {} bytes, which is not understood", method,
               body.size());
}

// --- requests

asio::awaitable<Result<rpc::Answer>> MasterLink::Try(uint32_t method, std::string body,
                                                     const Retry& retry) {
  const int64_t left_ms = retry.left_ms();
  if (left_ms == 0) co_return Fail(Errc::kTimedOut, "no time is left");
  co_return co_await channel_->Call(method, std::move(body), {}, left_ms);
}

asio::awaitable<Result<void>> MasterLink::FlushNames(Deadline deadline) {
  if (kept_.empty()) co_return Result<void>();
  wire::MetaRequest request;
  request.mutable_flush_names();
  auto reply = co_await Call(std::move(request), deadline);
  if (!reply) co_return Fail(reply.error());
  co_return Result<void>();
}

asio::awaitable<Result<wire::MetaReply>> MasterLink::Call(wire::MetaRequest request,
                                                          Deadline deadline, Answered when) {
  Retry retry(deadline);
  while (Raw(session_) == 0) {
    if (closing_) co_return Fail(Errc::kCancelled, "the filesystem is closing");
    if (!co_await retry.Pause(changed_)) {
      Error error{Errc::kTimedOut, "no session: " + WhyNot()};
      co_return Fail(Explain(request, std::move(error)));
    }
  }
  const MetaKind kind = KindOf(request);
  if (kind != MetaKind::kChange && kind != MetaKind::kEnding) {
    co_return co_await CallInSession(std::move(request), kind, retry);
  }
  const SessionId session = session_;
  const auto use = kind == MetaKind::kEnding ? Slots::Use::kEnding : Slots::Use::kOrdinary;
  const auto slot = co_await slots_->Take(use, deadline.left_ms());
  if (!slot) {
    Error error{Errc::kTimedOut, "all slots of the session were in use"};
    co_return Fail(Explain(request, std::move(error)));
  }
  if (session != session_) co_return Fail(Errc::kFenced, "the session has expired");
  request.set_slot(slot->slot());
  request.set_sequence(slot->sequence());
  request.set_keeps(when == Answered::kEarly && options_.caching && !options_.dirsync &&
                    kept_.MayKeep(request));
  co_return co_await CallInSession(std::move(request), kind, retry);
}

asio::awaitable<Result<wire::MetaReply>> MasterLink::CallInSession(wire::MetaRequest request,
                                                                   MetaKind kind, Retry retry) {
  const SessionId first = session_;
  for (;;) {
    const SessionId session = session_;
    if (session != first && kind != MetaKind::kQuery) {
      Error error{Errc::kFenced, fmt::format("session {} has expired", Raw(first))};
      co_return Fail(Explain(request, std::move(error)));
    }
    request.set_session(Raw(session));
    auto answer = co_await Try(wire::MASTER_META, request.SerializeAsString(), retry);
    if (answer) co_return Parse(std::move(request), *answer);
    const Errc code = answer.code();
    if (options_.caching && kind == MetaKind::kChange && MayRetry(code)) {
      hooks_.unanswered(request);
    }
    if (code == Errc::kFenced) {
      Suspect(session);
      if (kind != MetaKind::kQuery) co_return Fail(Explain(request, answer.error()));
    } else if (!MayRetry(code)) {
      co_return Fail(Explain(request, answer.error()));
    }
    if (!co_await retry.Pause(changed_)) {
      // What the master has in memory of this client must be what the client knows: say it again.
      if (kind == MetaKind::kMemory) Reconnect();
      co_return Fail(Explain(request, answer.error()));
    }
  }
}

Result<wire::MetaReply> MasterLink::Parse(wire::MetaRequest request, const rpc::Answer& answer) {
  auto reply = rpc::Parse<wire::MetaReply>(answer.body);
  if (!reply || !options_.caching) return reply;
  hooks_.answered(request, *reply);
  if (reply->unflushed() != 0) kept_.Keep(std::move(request), *reply);
  kept_.Flushed(reply->flushed());
  return reply;
}

asio::awaitable<bool> MasterLink::SendLeaseAnswers(wire::LeaseAnswersRequest answers) {
  const SessionId session = session_;
  if (Raw(session) == 0 || !channel_->connected()) co_return false;
  answers.set_session(Raw(session));
  std::vector<Buffer> no_payload;
  auto answer = co_await channel_->Call(wire::MASTER_LEASE_ANSWERS, answers.SerializeAsString(),
                                        std::move(no_payload), ttl_ms_);
  if (answer) co_return true;
  if (answer.code() == Errc::kFenced) {
    Suspect(session);
  } else if (!closing_) {
    // What the master knows of our leases must be what is said here: it is said again.
    spdlog::warn("answers to recalls were not taken: {}", answer.error().ToString());
    if (answer.code() != Errc::kUnavailable) Reconnect();
  }
  co_return false;
}

asio::awaitable<Result<wire::ClusterMap>> MasterLink::GetMap(Epoch since, Deadline deadline) {
  wire::GetMapRequest request;
  request.set_since_epoch(Raw(since));
  for (Retry retry(deadline);;) {
    auto answer = co_await Try(wire::MASTER_GET_MAP, request.SerializeAsString(), retry);
    if (answer) co_return rpc::Parse<wire::ClusterMap>(answer->body);
    if (!MayRetry(answer.code())) co_return Fail(answer.error());
    if (!co_await retry.Pause(changed_)) co_return Fail(answer.error());
  }
}

std::string MasterLink::WhyNot() const {
  if (refusal_.code == Errc::kOk) return "it cannot be reached";
  return refusal_.code == Errc::kUnavailable ? refusal_.detail : refusal_.ToString();
}

Error MasterLink::Explain(const wire::MetaRequest& request, Error error) const {
  // What the namespace answers needs no words: it is what the application asked for.
  if (static_cast<int>(error.code) < static_cast<int>(Errc::kTimedOut)) return error;
  error.detail = fmt::format("{} at the master {} in session {}: {}", OperationName(request),
                             fmt::join(options_.masters, ","), Raw(session_), error.detail);
  return error;
}

}  // namespace ringfs::client
