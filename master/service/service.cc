#include "master/service/service.h"

#include <chrono>
#include <string>
#include <utility>

#include "common/async.h"
#include "common/log.h"
#include "master/service/admin_handler.h"
#include "master/service/files_handler.h"
#include "master/service/garbage_handler.h"
#include "master/service/lease_handler.h"
#include "master/service/meta_handler.h"
#include "master/service/policy_handler.h"
#include "master/service/scrub_handler.h"
#include "master/service/server_handler.h"
#include "master/service/session_end.h"
#include "master/service/session_handler.h"
#include "proto/session.pb.h"

namespace ringfs::master {
namespace {

// A gap of so many ticks between two is a standstill of this program or machine.
constexpr int64_t kStandstillTicks = 5;
constexpr int64_t kFiguresEveryNs = kNsPerSecond;
// More than changes that were ever answered before the disk had them.
constexpr uint64_t kNumbersSkipped = 1 << 20;

template <typename Message>
Result<rpc::Reply> ReplyOf(const Result<Message>& answer) {
  if (!answer) return Fail(answer.error());
  return rpc::ReplyWith(*answer);
}

// Parses the request, lets `handle` answer it.
template <typename Request, typename Handler>
Result<rpc::Reply> Answer(const rpc::Call& call, Handler handle) {
  const Result<Request> request = rpc::Parse<Request>(call.body);
  if (!request) return Fail(request.error());
  return ReplyOf(handle(*request));
}

Result<rpc::Reply> AnswerAdmin(Context& context, const rpc::Call& call, int64_t started_ns) {
  switch (call.method) {
    case wire::MASTER_STATUS:
      return rpc::ReplyWith(Status(context, started_ns));
    case wire::MASTER_LIST_SESSIONS:
      return rpc::ReplyWith(ListSessions(context));
    case wire::MASTER_LIST_LOCKS:
      return Answer<wire::ListLocksRequest>(
          call, [&](const auto& request) { return ListLocks(context, request); });
    case wire::MASTER_WHERE:
      return Answer<wire::WhereRequest>(
          call, [&](const auto& request) { return Where(context, request); });
    case wire::MASTER_POLICY:
      return Answer<wire::PolicyRequest>(
          call, [&](const auto& request) { return AnswerPolicy(context, request); });
    case wire::MASTER_BREAK_LOCK:
      return Answer<wire::BreakLockRequest>(
          call, [&](const auto& request) { return BreakLock(context, request); });
    case wire::MASTER_SERVER_ORDER:
      return Answer<wire::ServerOrderRequest>(
          call, [&](const auto& request) { return OrderServer(context, request); });
    case wire::MASTER_SCRUB:
      return Answer<wire::ScrubRequest>(
          call, [&](const auto& request) { return OrderScrub(context, request); });
    default:
      return Fail(Errc::kNotSupported, "a method that this master does not know");
  }
}

// As Answer(), for those that wait.
template <typename Request, typename Response>
asio::awaitable<Result<rpc::Reply>> AnswerLater(
    Context& context, std::shared_ptr<rpc::Peer> peer, rpc::Call call,
    asio::awaitable<Result<Response>> (*handle)(Context&, std::shared_ptr<rpc::Peer>, Request)) {
  Result<Request> request = rpc::Parse<Request>(call.body);
  if (!request) co_return Fail(request.error());
  const Result<Response> response = co_await handle(context, std::move(peer), *std::move(request));
  co_return ReplyOf(response);
}

}  // namespace

MasterService::MasterService(asio::any_io_executor executor, StateMachine& state,
                             const Clock& clock, Membership* membership, ServiceOptions options)
    : context_(std::move(executor), state, clock, membership, options), backups_(state, clock) {
  context_.log.SetListener(*this);
  if (Metrics* metrics = context_.options.metrics) {
    figures_.emplace(*metrics);
    context_.log.CountIn(*metrics);
  }
}

MasterService::~MasterService() { Stop(); }

void MasterService::Start(std::function<void(const Error&)> disk_failed) {
  disk_failed_ = std::move(disk_failed);
  started_ns_ = ticked_ns_ = context_.clock.MonotonicNs();
  for (const wire::SessionRecord* record : context_.state.Sessions()) {
    LiveSession& session = context_.sessions.Add(SessionId{record->session()},
                                                 record->ttl_ms() * kNsPerMs, started_ns_);
    session.fencing = record->fenced();
    if (record->caching()) context_.leases.AddFormer(session.id, session.ttl_ns);
  }
  SkipNumbers();
  for (const wire::ServerRecord* record : context_.state.Servers()) {
    const wire::ServerState state = record->server().state();
    if (state != wire::SERVER_UP && state != wire::SERVER_DRAINING) continue;
    context_.servers.AddLeased(ServerId{record->server().id()},
                               started_ns_ + context_.options.lease_ms * kNsPerMs);
  }
  ResumeFences(context_);
  EndGraceWhenAllReturned();
  *running_ = true;
  timer_ = std::make_shared<asio::steady_timer>(context_.executor);
  Spawn(context_.executor, WatchTime(this, timer_, running_), "master time");
}

// Whoever returns may have numbers that this master knows nothing of.
void MasterService::SkipNumbers() {
  if (context_.leases.former() == 0) return;
  wire::Command command;
  command.mutable_skip_numbers()->set_count(kNumbersSkipped);
  const Outcome outcome = context_.log.Apply(command);
  RINGFS_CHECK(outcome.error == Errc::kOk);
}

void MasterService::Stop() {
  *running_ = false;
  if (timer_) timer_->cancel();
  context_.lease_waits.NotifyAll();
  context_.log.Stop();
}

asio::awaitable<void> MasterService::WatchTime(MasterService* self,
                                               std::shared_ptr<asio::steady_timer> timer,
                                               std::shared_ptr<bool> running) {
  while (*running) {
    timer->expires_after(std::chrono::milliseconds(self->context_.options.tick_ms));
    co_await timer->async_wait(kNoThrow);
    if (*running) self->Tick();
  }
}

void MasterService::Tick() {
  ForgiveStandstill(context_.clock.MonotonicNs());
  TakeExpiredLeases(context_);
  for (const SessionId session : context_.sessions.Expired(context_.clock.MonotonicNs())) {
    ExpireSession(context_, session);
  }
  ExpireOverdueSessions(context_);
  EndFencedSessions(context_);
  EndGraceWhenAllReturned();
  DecideMembership(context_);
  orphans_.Collect(context_);
  PushGarbage(context_);
  backups_.DropIdle();
  const int64_t now_ns = context_.clock.MonotonicNs();
  if (figures_ && now_ns - figures_ns_ >= kFiguresEveryNs) {
    figures_ns_ = now_ns;
    figures_->Update(context_);
  }
}

// While this program stood still it heard nobody: that is not their fault.
void MasterService::ForgiveStandstill(int64_t now_ns) {
  const int64_t gap_ns = now_ns - std::exchange(ticked_ns_, now_ns);
  if (gap_ns <= kStandstillTicks * context_.options.tick_ms * kNsPerMs) return;
  spdlog::warn("this master stood still for {} ms: sessions and leases get so much more time",
               gap_ns / kNsPerMs);
  context_.sessions.Postpone(gap_ns);
  context_.servers.Postpone(gap_ns);
  context_.leases.Postpone(gap_ns);
}

void MasterService::EndGraceWhenAllReturned() {
  if (context_.sessions.Awaited() != 0) return;
  // What somebody may still have cached of the former run is not collected.
  if (context_.leases.former() == 0) orphans_.Open();
  if (!std::exchange(grace_, false)) return;
  for (const InodeId inode : context_.turns.Open()) context_.turn_changes.Notify(inode);
}

void MasterService::Applied(const Events& events) {
  orphans_.Add(events.orphaned);
  for (const InodeId inode : events.cuts_settled) context_.cuts.Notify(inode);
}

void MasterService::Granted(const std::vector<wire::GrantPush>& grants) {
  for (const wire::GrantPush& grant : grants) {
    // A session that is not connected asks with LockStatus when it is back.
    const LiveSession* session = context_.sessions.Find(SessionId{grant.session()});
    if (session != nullptr && session->peer) session->peer->Push(wire::MASTER_PUSH_GRANT, grant);
  }
}

void MasterService::Durable(const Events& events) {
  Granted(events.grants);
  if (events.map_changed) {
    wire::MapPush push;
    push.set_epoch(context_.log.durable_epoch());
    context_.sessions.PushToAll(wire::MASTER_PUSH_MAP, push);
    context_.servers.PushToAll(wire::MASTER_PUSH_MAP, push);
  }
  if (events.garbage_added) PushGarbage(context_);
}

void MasterService::DiskFailed(const Error& error) {
  spdlog::critical("the state cannot be written any more: {}", error.ToString());
  if (disk_failed_) disk_failed_(error);
}

void MasterService::Gone(const std::shared_ptr<rpc::Peer>& peer) {
  const PeerRole role = RoleOf(*peer);
  context_.sessions.Detach(role.session, peer);
  context_.servers.Detach(role.server, peer);
  // Requests of this connection that wait would hold up others.
  context_.lease_waits.NotifyAll();
}

asio::awaitable<Result<rpc::Reply>> MasterService::Handle(std::shared_ptr<rpc::Peer> peer,
                                                          rpc::Call call) {
  if (requests_ >= context_.options.max_requests) {
    co_return Fail(Errc::kUnavailable, "too many requests are in flight");
  }
  ++requests_;
  Result<rpc::Reply> reply = co_await Dispatch(std::move(peer), std::move(call));
  --requests_;
  co_return reply;
}

asio::awaitable<Result<rpc::Reply>> MasterService::Dispatch(std::shared_ptr<rpc::Peer> peer,
                                                            rpc::Call call) {
  if (call.method < wire::MASTER_REGISTER_SERVER) {
    return HandleClient(std::move(peer), std::move(call));
  }
  if (call.method < wire::MASTER_STATUS) return HandleServer(std::move(peer), std::move(call));
  return HandleAdmin(std::move(call));
}

asio::awaitable<Result<rpc::Reply>> MasterService::HandleClient(std::shared_ptr<rpc::Peer> peer,
                                                                rpc::Call call) {
  switch (call.method) {
    case wire::MASTER_META: {
      Result<wire::MetaRequest> request = rpc::Parse<wire::MetaRequest>(call.body);
      if (!request) co_return Fail(request.error());
      const Result<wire::MetaReply> reply =
          co_await HandleMeta(context_, std::move(peer), *std::move(request), call.timeout_ms);
      co_return ReplyOf(reply);
    }
    case wire::MASTER_KEEP_ALIVE:
      co_return Answer<wire::KeepAliveRequest>(
          call, [&](const auto& request) { return KeepAlive(context_, *peer, request); });
    case wire::MASTER_LEASE_ANSWERS:
      co_return Answer<wire::LeaseAnswersRequest>(
          call, [&](const auto& request) { return LeaseAnswers(context_, *peer, request); });
    case wire::MASTER_OPEN_SESSION: {
      Result<rpc::Reply> reply =
          co_await AnswerLater(context_, std::move(peer), std::move(call), &OpenSession);
      EndGraceWhenAllReturned();
      co_return reply;
    }
    case wire::MASTER_CLOSE_SESSION:
      co_return co_await AnswerLater(context_, std::move(peer), std::move(call), &CloseSession);
    case wire::MASTER_GET_MAP:
      co_return co_await AnswerLater(context_, std::move(peer), std::move(call), &GetMap);
    default:
      co_return Fail(Errc::kNotSupported, "a method that this master does not know");
  }
}

asio::awaitable<Result<rpc::Reply>> MasterService::HandleServer(std::shared_ptr<rpc::Peer> peer,
                                                                rpc::Call call) {
  switch (call.method) {
    case wire::MASTER_HEARTBEAT:
      co_return Answer<wire::HeartbeatRequest>(
          call, [&](const auto& request) { return Heartbeat(context_, *peer, request); });
    case wire::MASTER_REGISTER_SERVER:
      co_return co_await AnswerLater(context_, std::move(peer), std::move(call), &RegisterServer);
    case wire::MASTER_CHECK_SESSION:
      co_return co_await AnswerLater(context_, std::move(peer), std::move(call), &CheckSession);
    case wire::MASTER_FENCE_DONE:
      co_return Answer<wire::FenceDoneRequest>(
          call, [&](const auto& request) { return FenceDone(context_, *peer, request); });
    case wire::MASTER_GARBAGE_DONE:
      co_return Answer<wire::GarbageDoneRequest>(
          call, [&](const auto& request) { return GarbageDone(context_, *peer, request); });
    case wire::MASTER_BUCKET_SYNCED:
      co_return co_await AnswerLater(context_, std::move(peer), std::move(call), &BucketSynced);
    default:
      co_return Fail(Errc::kNotSupported, "a method that this master does not know");
  }
}

asio::awaitable<Result<rpc::Reply>> MasterService::HandleAdmin(rpc::Call call) {
  if (call.method == wire::MASTER_BACKUP) {
    const Result<wire::BackupRequest> request = rpc::Parse<wire::BackupRequest>(call.body);
    if (!request) co_return Fail(request.error());
    // A copy of what the disk has: of all that was answered before it was asked for.
    if (request->backup() == 0) co_await context_.log.WaitDurable();
    const Result<wire::BackupReply> part = co_await backups_.Answer(*request);
    co_return ReplyOf(part);
  }
  if (call.method == wire::MASTER_STATS && figures_) {
    figures_->Update(context_);
    co_return rpc::ReplyWith(context_.options.metrics->Read());
  }
  std::shared_ptr<rpc::Peer> nobody;
  if (call.method == wire::MASTER_LIST_FILES) {
    co_return co_await AnswerLater(context_, nobody, std::move(call), &ListFiles);
  }
  if (call.method == wire::MASTER_SWEEP) {
    co_return co_await AnswerLater(context_, nobody, std::move(call), &Sweep);
  }
  Result<rpc::Reply> reply = AnswerAdmin(context_, call, started_ns_);
  co_await context_.log.WaitDurable();
  co_return reply;
}

}  // namespace ringfs::master
