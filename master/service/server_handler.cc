#include "master/service/server_handler.h"

#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "master/service/garbage_handler.h"
#include "master/service/session_end.h"

namespace ringfs::master {
namespace {

constexpr size_t kUuidBytes = 16;
constexpr size_t kMaxServerTextBytes = 1024;
constexpr uint32_t kMaxWeight = 1'000'000;
// Each round must come nearer to what is wanted; the next tick goes on.
constexpr int kMaxDecisions = 64;

Result<void> Validate(const Context& context, const wire::RegisterServerRequest& request) {
  if (!request.cluster_id().empty() && request.cluster_id() != context.state.cluster_id()) {
    return Fail(Errc::kWrongCluster, "the server's data belongs to another cluster");
  }
  if (request.uuid().size() != kUuidBytes || request.address().empty() ||
      request.incarnation() == 0) {
    return Fail(Errc::kInvalid, "a server says its uuid, its address and its incarnation");
  }
  if (request.weight() == 0 || request.weight() > kMaxWeight) {
    return Fail(Errc::kInvalid, "the weight of a server is 1 to 1000000");
  }
  for (const std::string* text :
       {&request.address(), &request.zone(), &request.host(), &request.version()}) {
    if (text->size() > kMaxServerTextBytes) return Fail(Errc::kInvalid, "a text is too long");
  }
  return {};
}

// The server that registered on `peer`, as long as this is its newest connection and it has a
// lease.
Result<LiveServer*> ServerOf(Context& context, const rpc::Peer& peer, uint32_t number) {
  const ServerId id = RoleOf(peer).server;
  if (id == ServerId{0} || Raw(id) != number) {
    return Fail(Errc::kNotPermitted,
                "server " + std::to_string(number) + " has not registered on this connection");
  }
  LiveServer* server = context.servers.Find(id);
  const wire::ServerRecord* record = context.state.FindServer(id);
  const bool known = record != nullptr && record->server().state() != wire::SERVER_GONE;
  if (server == nullptr || !known || server->peer.get() != &peer || !server->leased) {
    return Fail(Errc::kNotServing,
                "the lease of server " + std::to_string(number) + " has run out: register again");
  }
  return server;
}

void ChangeState(Context& context, ServerId id, wire::ServerState state) {
  wire::Command command;
  command.mutable_change_server()->set_server(Raw(id));
  command.mutable_change_server()->set_state(state);
  const Outcome outcome = context.log.Apply(command);
  if (outcome.error == Errc::kOk) return;
  spdlog::error("server {}: its state cannot be changed: {}", Raw(id), outcome.detail);
}

void LoseServer(Context& context, ServerId id) {
  const wire::ServerRecord* record = context.state.FindServer(id);
  if (record == nullptr) return;
  spdlog::warn("server {} at {} is down: its lease has run out", Raw(id),
               Printable(record->server().address()));
  const wire::ServerState state = record->server().state();
  if (state == wire::SERVER_UP || state == wire::SERVER_DRAINING) {
    ChangeState(context, id, wire::SERVER_DOWN);
  }
  context.fences.ServerLost(id);
  LiveServer* server = context.servers.Find(id);
  if (server != nullptr) server->was_draining = state == wire::SERVER_DRAINING;
  // It registers again on a new connection.
  if (server != nullptr && server->peer) server->peer->Close();
  if (state == wire::SERVER_GONE) context.servers.Remove(id);
  if (context.membership != nullptr) {
    context.membership->ServerLost(id, context.clock.MonotonicNs());
  }
}

}  // namespace

asio::awaitable<Result<wire::RegisterServerReply>> RegisterServer(
    Context& context, std::shared_ptr<rpc::Peer> peer, wire::RegisterServerRequest request) {
  const Result<void> valid = Validate(context, request);
  if (!valid) co_return Fail(valid.error());
  wire::Command command;
  *command.mutable_register_server() = request;
  const Outcome outcome = context.log.Apply(command);
  if (outcome.error != Errc::kOk) co_return FailOf(outcome);
  const ServerId id = outcome.server;
  spdlog::info("server {} at {} has registered{}", Raw(id), Printable(request.address()),
               outcome.server_restarted ? ", restarted" : "");

  peer->context = PeerRole{SessionId{0}, id};
  LiveServer& server = context.servers.Register(id, request.incarnation(), std::move(peer));
  server.usage = request.usage();
  if (std::exchange(server.was_draining, false)) ChangeState(context, id, wire::SERVER_DRAINING);
  context.servers.Renew(server, context.clock.MonotonicNs(), context.options.lease_ms * kNsPerMs);
  context.fences.ServerRegistered(id);
  context.garbage.Reset(id);
  if (context.membership != nullptr) {
    context.membership->ServerRegistered(id, outcome.server_restarted, context.clock.MonotonicNs());
    DecideMembership(context);
  }

  wire::RegisterServerReply reply;
  reply.set_cluster_id(context.state.cluster_id());
  reply.set_server(Raw(id));
  reply.set_lease_ms(context.options.lease_ms);
  *reply.mutable_map() = context.state.Map(0);
  for (const SessionId session : context.fences.PendingOf(id)) {
    reply.add_fenced_sessions(Raw(session));
  }
  co_await context.log.WaitDurable();
  PushGarbage(context);
  co_return reply;
}

Result<wire::HeartbeatReply> Heartbeat(Context& context, const rpc::Peer& peer,
                                       const wire::HeartbeatRequest& request) {
  const Result<LiveServer*> server = ServerOf(context, peer, request.server());
  if (!server) return Fail(server.error());
  if ((*server)->incarnation != request.incarnation()) {
    return Fail(Errc::kNotPermitted, "another run of the program has registered");
  }
  (*server)->usage = request.usage();
  context.servers.Renew(**server, context.clock.MonotonicNs(), context.options.lease_ms * kNsPerMs);
  wire::HeartbeatReply reply;
  reply.set_lease_ms(context.options.lease_ms);
  reply.set_epoch(context.log.durable_epoch());
  return reply;
}

asio::awaitable<Result<wire::CheckSessionReply>> CheckSession(Context& context,
                                                              std::shared_ptr<rpc::Peer> peer,
                                                              wire::CheckSessionRequest request) {
  if (RoleOf(*peer).server == ServerId{0}) {
    co_return Fail(Errc::kNotPermitted, "asked by somebody who has not registered as a server");
  }
  co_await context.log.WaitDurable();
  // Looked at after the wait: a fence that was pushed meanwhile must not be contradicted.
  const LiveSession* session = context.sessions.Find(SessionId{request.session()});
  wire::CheckSessionReply reply;
  reply.set_live(session != nullptr && !session->fencing);
  co_return reply;
}

Result<wire::FenceDoneReply> FenceDone(Context& context, const rpc::Peer& peer,
                                       const wire::FenceDoneRequest& request) {
  const Result<LiveServer*> server = ServerOf(context, peer, request.server());
  if (!server) return Fail(server.error());
  for (const uint64_t session : request.sessions()) {
    context.fences.Confirm((*server)->id, SessionId{session});
  }
  EndFencedSessions(context);
  return wire::FenceDoneReply();
}

Result<wire::GarbageDoneReply> GarbageDone(Context& context, const rpc::Peer& peer,
                                           const wire::GarbageDoneRequest& request) {
  const Result<LiveServer*> server = ServerOf(context, peer, request.server());
  if (!server) return Fail(server.error());
  const std::vector<uint64_t> entries(request.entries().begin(), request.entries().end());
  if (context.garbage.Done((*server)->id, entries)) {
    RemoveGarbage(context);
    PushGarbage(context);
  }
  return wire::GarbageDoneReply();
}

asio::awaitable<Result<wire::BucketSyncedReply>> BucketSynced(Context& context,
                                                              std::shared_ptr<rpc::Peer> peer,
                                                              wire::BucketSyncedRequest request) {
  const Result<LiveServer*> server = ServerOf(context, *peer, request.server());
  if (!server) co_return Fail(server.error());
  if ((*server)->incarnation != request.incarnation()) {
    co_return Fail(Errc::kNotPermitted, "another run of the program has registered");
  }
  if (context.membership != nullptr) {
    const std::vector<wire::SyncedBucket> buckets(request.buckets().begin(),
                                                  request.buckets().end());
    context.membership->BucketsSynced((*server)->id, buckets);
    DecideMembership(context);
  }
  co_await context.log.WaitDurable();
  co_return wire::BucketSyncedReply();
}

void TakeExpiredLeases(Context& context) {
  for (const ServerId id : context.servers.TakeExpired(context.clock.MonotonicNs())) {
    LoseServer(context, id);
  }
}

void DecideMembership(Context& context) {
  if (context.membership == nullptr) return;
  for (int round = 0; round < kMaxDecisions; ++round) {
    std::vector<wire::Command> commands =
        context.membership->Decide(context.state, context.clock.MonotonicNs());
    if (commands.empty()) return;
    for (wire::Command& command : commands) {
      const Outcome outcome = context.log.Apply(command);
      if (outcome.error != Errc::kOk) {
        spdlog::error("a change of the members of buckets failed: {}", outcome.detail);
        return;
      }
    }
  }
}

}  // namespace ringfs::master
