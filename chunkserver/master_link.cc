#include "chunkserver/master_link.h"

#include <algorithm>
#include <utility>

#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr int64_t kCallMs = 2000;
constexpr int64_t kSayEveryMs = 10'000;
constexpr int64_t kRetryMs = 200;

bool IsFatal(Errc code) {
  return code == Errc::kWrongCluster || code == Errc::kVersion || code == Errc::kInvalid;
}

}  // namespace

MasterLink::MasterLink(asio::any_io_executor executor, const Clock& clock, LinkedServer& server,
                       std::vector<std::string> masters)
    : executor_(executor),
      clock_(clock),
      server_(server),
      channel_(rpc::Channel::Make(executor, std::move(masters))),
      changed_(executor) {
  said_ms_ = NowMs();
  channel_->OnPush([this](uint32_t method, std::string body) { OnPush(method, body); });
  channel_->OnConnect([this] { return Register(); });
}

void MasterLink::SayUnreachable(const Error& why) {
  if (NowMs() < said_ms_ + kSayEveryMs) return;
  said_ms_ = NowMs();
  spdlog::warn("the master does not answer: {}", why.ToString());
}

asio::awaitable<Result<wire::ClusterMap>> MasterLink::AskForCluster() {
  wire::GetMapRequest request;
  while (!closed_) {
    std::string body = request.SerializeAsString();
    auto map = co_await rpc::CallFor<wire::ClusterMap>(channel_, wire::MASTER_GET_MAP,
                                                       std::move(body), kCallMs);
    if (map) co_return map;
    if (IsFatal(map.code())) co_return map;
    SayUnreachable(map.error());
    co_await SleepMs(kRetryMs);
  }
  co_return Fail(Errc::kCancelled, "ended before the master answered");
}

asio::awaitable<Result<void>> MasterLink::Start() {
  registered_ = false;
  started_ = true;
  channel_->Disconnect();
  channel_->KeepConnected();
  Spawn(executor_, KeepLease(), "the lease");
  while (!registered_ && !fatal_ && !closed_) co_await changed_.Wait();
  if (fatal_) co_return Fail(*fatal_);
  if (!registered_) co_return Fail(Errc::kCancelled, "ended before the master answered");
  co_return Result<void>();
}

asio::awaitable<Result<void>> MasterLink::Register() {
  if (!started_) co_return Result<void>();
  const int64_t sent_ms = NowMs();
  std::string body = server_.Registration().SerializeAsString();
  const auto answer =
      co_await channel_->CallNow(wire::MASTER_REGISTER_SERVER, std::move(body), kCallMs);
  Result<wire::RegisterServerReply> reply = Fail(Errc::kUnavailable);
  if (answer) {
    reply = rpc::Parse<wire::RegisterServerReply>(answer->body);
  } else {
    reply = Fail(answer.error());
  }
  if (!reply) {
    // One that serves, or did, stays: whether it may end is for people to say.
    if (reply.code() == Errc::kNotPermitted && !registered_) removed_ = true;
    if (IsFatal(reply.code()) || removed_) fatal_ = reply.error();
    SayUnreachable(reply.error());
    changed_.NotifyAll();
    co_return Fail(reply.error());
  }
  const Result<Replica*> replica = server_.Registered(*reply);
  if (!replica) {
    fatal_ = replica.error();
    changed_.NotifyAll();
    co_return Fail(replica.error());
  }
  // What was fenced while there was no connection may be missing in what is known to live.
  (*replica)->context().fence.ForgetLive();
  (*replica)->RenewLease(sent_ms, reply->lease_ms());
  std::vector<SessionId> fenced;
  for (const uint64_t session : reply->fenced_sessions()) fenced.push_back(SessionId{session});
  if (!fenced.empty()) Spawn(executor_, CloseSessions(std::move(fenced)), "fences");
  server_.LookAtStores();
  registered_ = true;
  changed_.NotifyAll();
  co_return Result<void>();
}

asio::awaitable<void> MasterLink::KeepLease() {
  int64_t lease_ms = 2000;
  while (!closed_ && !fatal_) {
    const int64_t next_ms = NowMs() + lease_ms / 4;
    while (!closed_ && NowMs() < next_ms) co_await changed_.WaitFor(next_ms - NowMs());
    Replica* replica = server_.replica();
    if (closed_ || replica == nullptr || !channel_->connected()) continue;
    wire::HeartbeatRequest request;
    const wire::RegisterServerRequest registration = server_.Registration();
    request.set_server(Raw(replica->context().self));
    request.set_incarnation(registration.incarnation());
    request.set_epoch(replica->context().map.epoch());
    *request.mutable_usage() = server_.Usage();
    const int64_t sent_ms = NowMs();
    std::string body = request.SerializeAsString();
    const auto reply = co_await rpc::CallFor<wire::HeartbeatReply>(channel_, wire::MASTER_HEARTBEAT,
                                                                   std::move(body), kCallMs);
    if (!reply) {
      SayUnreachable(reply.error());
      // The master has counted this server as gone meanwhile, or does not know this connection.
      const bool forgotten =
          reply.code() == Errc::kNotServing || reply.code() == Errc::kNotPermitted;
      if (forgotten) channel_->Disconnect();
      continue;
    }
    lease_ms = std::clamp<int64_t>(reply->lease_ms(), 30, 600'000);
    co_await replica->HeartbeatAnswered(sent_ms, lease_ms, reply->epoch());
    server_.LookAtStores();
  }
}

void MasterLink::OnPush(uint32_t method, const std::string& body) {
  Replica* replica = server_.replica();
  if (replica == nullptr) return;  // the registration brings it all
  if (method == wire::MASTER_PUSH_MAP) {
    const auto push = rpc::Parse<wire::MapPush>(body);
    if (push && push->epoch() > replica->context().map.epoch()) {
      Spawn(executor_, FollowMap(), "a new map");
    }
  } else if (method == wire::MASTER_PUSH_FENCE) {
    const auto push = rpc::Parse<wire::FencePush>(body);
    if (!push) return spdlog::error("a fence of the master does not parse");
    std::vector<SessionId> sessions;
    for (const uint64_t session : push->sessions()) sessions.push_back(SessionId{session});
    // Nothing of them may be ordered from here on, so the fence falls before this returns.
    replica->context().fence.Forbid(sessions);
    Spawn(executor_, CloseSessions(std::move(sessions)), "a fence");
  } else if (method == wire::MASTER_PUSH_SCRUB) {
    const auto push = rpc::Parse<wire::ScrubPush>(body);
    if (!push) return spdlog::error("a scrub order of the master does not parse");
    replica->scrub().Order(push->order());
  } else if (method == wire::MASTER_PUSH_GARBAGE) {
    auto push = rpc::Parse<wire::GarbagePush>(body);
    if (!push) return spdlog::error("a garbage list of the master does not parse");
    Spawn(executor_, CollectGarbage(std::move(*push)), "garbage");
  }
}

asio::awaitable<void> MasterLink::FollowMap() {
  const Result<void> refreshed = co_await RefreshMap();
  // A heartbeat will say again that there is a newer map.
  if (!refreshed) spdlog::debug("no newer map: {}", refreshed.error().ToString());
}

asio::awaitable<void> MasterLink::CloseSessions(std::vector<SessionId> sessions) {
  Replica* replica = server_.replica();
  co_await replica->context().fence.Close(sessions);
  wire::FenceDoneRequest request;
  request.set_server(Raw(replica->context().self));
  for (const SessionId session : sessions) request.add_sessions(Raw(session));
  std::string body = request.SerializeAsString();
  const auto done = co_await rpc::CallFor<wire::FenceDoneReply>(channel_, wire::MASTER_FENCE_DONE,
                                                                std::move(body), kCallMs);
  // Without a connection the next registration names the sessions again.
  if (!done) spdlog::debug("a fence could not be confirmed: {}", done.error().ToString());
  for (const SessionId session : sessions) co_await server_.SessionEnded(session);
}

asio::awaitable<void> MasterLink::CollectGarbage(wire::GarbagePush push) {
  Replica* replica = server_.replica();
  wire::GarbageDoneRequest request;
  request.set_server(Raw(replica->context().self));
  for (const wire::GarbageItem& item : push.items()) {
    const PoolId pool{item.pool()};
    const DataId data{item.data()};
    const Result<void> collected = co_await replica->Collect(pool, data, item.from_index());
    if (collected) {
      request.add_entries(item.entry());
    } else {
      spdlog::warn("data {} cannot be removed yet: {}", item.data(), collected.error().ToString());
    }
  }
  if (request.entries_size() == 0) co_return;
  std::string body = request.SerializeAsString();
  const auto done = co_await rpc::CallFor<wire::GarbageDoneReply>(
      channel_, wire::MASTER_GARBAGE_DONE, std::move(body), kCallMs);
  // The master keeps what was not confirmed, and pushes it again.
  if (!done) spdlog::debug("garbage could not be confirmed: {}", done.error().ToString());
}

asio::awaitable<Result<bool>> MasterLink::IsLive(SessionId session) {
  wire::CheckSessionRequest request;
  request.set_session(Raw(session));
  std::string body = request.SerializeAsString();
  const auto reply = co_await rpc::CallFor<wire::CheckSessionReply>(
      channel_, wire::MASTER_CHECK_SESSION, std::move(body), kCallMs);
  if (!reply) co_return Fail(Errc::kUnavailable, reply.error().detail);
  co_return reply->live();
}

asio::awaitable<Result<void>> MasterLink::RefreshMap() {
  // One that has begun may have been answered before what is asked for now; the next one serves all
  // who came in the meantime.
  const uint64_t wanted = refreshes_begun_ + 1;
  while (refreshes_ended_ < wanted) {
    if (refreshes_begun_ > refreshes_ended_) {
      co_await changed_.Wait();
      continue;
    }
    ++refreshes_begun_;
    refreshed_ = co_await FetchMap();
    ++refreshes_ended_;
    changed_.NotifyAll();
  }
  co_return refreshed_;
}

asio::awaitable<Result<void>> MasterLink::FetchMap() {
  Replica* replica = server_.replica();
  if (replica == nullptr || closed_) co_return Fail(Errc::kUnavailable, "not registered");
  wire::GetMapRequest request;
  request.set_since_epoch(replica->context().map.epoch());
  std::string body = request.SerializeAsString();
  const auto map = co_await rpc::CallFor<wire::ClusterMap>(channel_, wire::MASTER_GET_MAP,
                                                           std::move(body), kCallMs);
  if (!map) co_return Fail(Errc::kUnavailable, map.error().detail);
  const Result<void> installed = replica->InstallMap(*map);
  server_.LookAtStores();
  co_return installed;
}

asio::awaitable<Result<void>> MasterLink::ReportSynced(PoolId pool, BucketId bucket,
                                                       uint64_t version) {
  wire::BucketSyncedRequest request;
  request.set_server(Raw(server_.replica()->context().self));
  request.set_incarnation(server_.Registration().incarnation());
  wire::SyncedBucket& synced = *request.add_buckets();
  synced.set_pool(Raw(pool));
  synced.set_bucket(Raw(bucket));
  synced.set_version(version);
  std::string body = request.SerializeAsString();
  const auto reply = co_await rpc::CallFor<wire::BucketSyncedReply>(
      channel_, wire::MASTER_BUCKET_SYNCED, std::move(body), kCallMs);
  if (!reply) co_return Fail(reply.error());
  co_return Result<void>();
}

void MasterLink::Close() {
  closed_ = true;
  channel_->Close();
  changed_.NotifyAll();
}

}  // namespace ringfs::chunkserver
