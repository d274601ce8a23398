#include "master/service/session_handler.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "common/log.h"
#include "master/service/lease_handler.h"
#include "master/service/session_end.h"

namespace ringfs::master {
namespace {

constexpr size_t kClientBytes = 16;
constexpr size_t kMaxSessionTextBytes = 4096;

Result<void> Validate(const Context& context, const wire::OpenSessionRequest& request) {
  if (request.client().size() != kClientBytes) {
    return Fail(Errc::kInvalid, "a client is named by 16 bytes");
  }
  if (!request.cluster_id().empty() && request.cluster_id() != context.state.cluster_id()) {
    return Fail(Errc::kWrongCluster, "this master serves another cluster than the session's");
  }
  for (const std::string* text :
       {&request.host(), &request.mountpoint(), &request.version(), &request.subdirectory()}) {
    if (text->size() > kMaxSessionTextBytes) return Fail(Errc::kInvalid, "a text is too long");
  }
  return {};
}

// A session of the same run of a client that asks for a new one has not seen the answer.
SessionId SessionOfClient(const Context& context, const std::string& client) {
  for (const wire::SessionRecord* record : context.state.Sessions()) {
    if (!record->fenced() && record->client() == client) return SessionId{record->session()};
  }
  return SessionId{0};
}

Result<SessionId> OpenNew(Context& context, const wire::OpenSessionRequest& request) {
  if (context.sessions.all().size() >= context.options.max_sessions) {
    return Fail(Errc::kUnavailable, "too many sessions");
  }
  wire::Command command;
  wire::OpenSessionRequest& change = *command.mutable_open_session();
  change = request;
  change.clear_open();
  change.clear_writing();
  change.clear_again();
  change.clear_lost();
  const int64_t wanted = request.ttl_ms() != 0 ? request.ttl_ms() : context.options.session_ttl_ms;
  change.set_ttl_ms(std::clamp(wanted, kMinSessionTtlMs, kMaxSessionTtlMs));
  const Outcome outcome = context.log.Apply(command);
  if (outcome.error != Errc::kOk) return FailOf(outcome);
  const int64_t ttl_ns = change.ttl_ms() * kNsPerMs;
  context.sessions.Add(outcome.session, ttl_ns, context.clock.MonotonicNs());
  if (change.caching()) context.leases.AddSession(outcome.session, ttl_ns);
  spdlog::info("session {}: {} on {}, pid {}", Raw(outcome.session),
               Printable(request.mountpoint()), Printable(request.host()), request.pid());
  return outcome.session;
}

Result<SessionId> FindReturning(const Context& context, const wire::OpenSessionRequest& request) {
  const SessionId id{request.session()};
  const wire::SessionRecord* record = context.state.FindSession(id);
  if (record == nullptr || record->fenced()) {
    return Fail(Errc::kFenced, "session " + std::to_string(Raw(id)) + " has expired");
  }
  if (record->client() != request.client()) {
    return Fail(Errc::kNotPermitted, "the session belongs to another client");
  }
  return id;
}

// Changes that the session was told of, and that this master may have lost. Returns how many can not be
// made any more.
uint32_t MakeAgain(Context& context, SessionId id, const wire::OpenSessionRequest& request) {
  uint32_t refused = 0;
  for (const wire::MetaRequest& change : request.again()) {
    wire::Command command;
    *command.mutable_meta() = change;
    command.mutable_meta()->set_session(Raw(id));
    if (context.state.WasApplied(command.meta())) continue;
    const Outcome outcome = context.log.Apply(command);
    if (outcome.error == Errc::kOk && !outcome.held) continue;
    ++refused;
    spdlog::error("session {}: {} cannot be made again: {}", Raw(id),
                  change.GetDescriptor()->FindFieldByNumber(change.operation_case())->name(),
                  outcome.held ? "the file is being cut" : outcome.detail);
  }
  return refused;
}

void Reassert(Context& context, SessionId id, const wire::OpenSessionRequest& request) {
  context.state.Reassert(id, request.open());
  std::set<InodeId> appending;
  for (const wire::OpenInode& open : request.open()) {
    if (open.appending()) appending.insert(InodeId{open.inode()});
  }
  for (const InodeId inode : context.turns.Reassert(id, appending)) {
    context.turn_changes.Notify(inode);
  }
}

}  // namespace

asio::awaitable<Result<wire::OpenSessionReply>> OpenSession(Context& context,
                                                            std::shared_ptr<rpc::Peer> peer,
                                                            wire::OpenSessionRequest request) {
  const Result<void> valid = Validate(context, request);
  if (!valid) co_return Fail(valid.error());
  if (request.lost() != 0) {
    GiveUpSession(context, SessionId{request.lost()});
    EndFencedSessions(context);
  }
  if (request.session() == 0) {
    request.set_session(Raw(SessionOfClient(context, request.client())));
  }
  const Result<SessionId> id =
      request.session() == 0 ? OpenNew(context, request) : FindReturning(context, request);
  if (!id) co_return Fail(id.error());
  LiveSession* session = context.sessions.Find(*id);
  RINGFS_CHECK(session != nullptr);
  // A client whose session has expired may open the next one on the same connection.
  context.sessions.Detach(RoleOf(*peer).session, peer);
  peer->context = PeerRole{*id, ServerId{0}};
  context.sessions.Attach(*session, peer, context.clock.MonotonicNs());
  const uint32_t refused = MakeAgain(context, *id, request);
  Reassert(context, *id, request);

  const wire::SessionRecord* record = context.state.FindSession(*id);
  RINGFS_CHECK(record != nullptr);
  wire::OpenSessionReply reply;
  ReassertLeases(context, *id, request, reply);
  reply.set_session(Raw(*id));
  reply.set_again_refused(refused);
  reply.set_ttl_ms(record->ttl_ms());
  reply.set_cluster_id(context.state.cluster_id());
  reply.set_slots(kSlots);
  reply.set_root(record->root());
  *reply.mutable_map() = context.state.Map(0);
  co_await context.log.WaitDurable();
  reply.set_time_ns(context.log.TimeNs());
  PushRecallsSoon(context, *id, std::move(peer));
  co_return reply;
}

Result<wire::KeepAliveReply> KeepAlive(Context& context, const rpc::Peer& peer,
                                       const wire::KeepAliveRequest& request) {
  const Result<LiveSession*> session = SessionOf(context, peer, SessionId{request.session()});
  if (!session) return Fail(session.error());
  context.sessions.Renew(**session, context.clock.MonotonicNs());
  wire::KeepAliveReply reply;
  reply.set_time_ns(context.log.TimeNs());
  reply.set_epoch(context.log.durable_epoch());
  reply.set_flushed(context.log.flushed());
  return reply;
}

asio::awaitable<Result<wire::CloseSessionReply>> CloseSession(Context& context,
                                                              std::shared_ptr<rpc::Peer> peer,
                                                              wire::CloseSessionRequest request) {
  const SessionId id{request.session()};
  const Result<LiveSession*> session = SessionOf(context, *peer, id);
  if (!session) co_return Fail(session.error());
  const Result<void> closed = EndClosedSession(context, id);
  if (!closed) co_return Fail(closed.error());
  spdlog::info("session {} was closed", Raw(id));
  co_await context.log.WaitDurable();
  co_return wire::CloseSessionReply();
}

asio::awaitable<Result<wire::ClusterMap>> GetMap(Context& context,
                                                 std::shared_ptr<rpc::Peer> /*peer*/,
                                                 wire::GetMapRequest request) {
  wire::ClusterMap map = context.state.Map(request.since_epoch());
  co_await context.log.WaitDurable();
  co_return map;
}

}  // namespace ringfs::master
