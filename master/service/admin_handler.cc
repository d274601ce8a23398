#include "master/service/admin_handler.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/log.h"
#include "common/metrics.h"
#include "common/locks/lock_table.h"
#include "master/service/server_handler.h"
#include "master/service/session_end.h"

namespace ringfs::master {
namespace {

constexpr int kMaxLocksListed = 20'000;

// The last member that serves stays in the table when its server is down: it does not count.
uint32_t CountServing(const wire::Bucket& bucket, const std::set<uint32_t>& up) {
  uint32_t serving = 0;
  for (int i = 0; i < bucket.servers_size() && i < bucket.states_size(); ++i) {
    if (bucket.states(i) == wire::MEMBER_SERVING && up.contains(bucket.servers(i))) ++serving;
  }
  return serving;
}

void CountBuckets(const Context& context, wire::StatusReply& reply) {
  std::set<uint32_t> up;
  for (const wire::ServerRecord* record : context.state.Servers()) {
    const wire::ServerState state = record->server().state();
    if (state == wire::SERVER_UP || state == wire::SERVER_DRAINING)
      up.insert(record->server().id());
  }
  uint64_t healthy = 0;
  uint64_t degraded = 0;
  uint64_t lost = 0;
  for (const wire::Pool& pool : context.state.Pools()) {
    for (const wire::BucketRecord& record : context.state.Buckets(PoolId{pool.id()})) {
      const uint32_t serving = CountServing(record.bucket(), up);
      if (serving >= pool.replicas()) {
        ++healthy;
      } else if (serving > 0) {
        ++degraded;
      } else if (!record.bucket().states().empty()) {
        ++lost;
      }
    }
  }
  reply.set_buckets_healthy(healthy);
  reply.set_buckets_degraded(degraded);
  reply.set_buckets_lost(lost);
}

wire::Server Describe(const Context& context, const wire::ServerRecord& record) {
  wire::Server server = record.server();
  const LiveServer* live = context.servers.Find(ServerId{server.id()});
  server.set_last_seen_ms_ago(-1);
  if (live == nullptr) return server;
  server.set_capacity_bytes(live->usage.capacity_bytes());
  server.set_used_bytes(live->usage.used_bytes());
  server.set_blocks(live->usage.blocks());
  server.set_failed_stores(live->usage.failed_stores());
  *server.mutable_scrub() = live->usage.scrub();
  if (live->seen_ns != 0) {
    server.set_last_seen_ms_ago((context.clock.MonotonicNs() - live->seen_ns) / kNsPerMs);
  }
  return server;
}

// The bytes are what the copies to be made have if they are like those that are there.
void MeasureCopies(const Context& context, wire::StatusReply& reply) {
  if (context.membership == nullptr) return;
  const Movement movement = context.membership->MeasureMovement(context.clock.MonotonicNs());
  reply.set_buckets_copying(movement.copying);
  reply.set_copies_left(movement.copies_left);
  reply.set_copies_done(movement.copies_done);
  reply.set_copying_ms(movement.elapsed_ns / kNsPerMs);
  uint64_t used_bytes = 0;
  for (const wire::Server& server : reply.servers()) used_bytes += server.used_bytes();
  uint64_t copies = 0;
  for (const wire::Pool& pool : context.state.Pools()) {
    for (const wire::BucketRecord& record : context.state.Buckets(PoolId{pool.id()})) {
      const auto& states = record.bucket().states();
      copies += static_cast<uint64_t>(
          std::count(states.begin(), states.end(), static_cast<int>(wire::MEMBER_SERVING)));
    }
  }
  const double average =
      copies == 0 ? 0 : static_cast<double>(used_bytes) / static_cast<double>(copies);
  reply.set_copies_left_bytes(
      static_cast<uint64_t>(average * static_cast<double>(movement.copies_left)));
}

int64_t ExpiresInMs(const Context& context, const LiveSession& session) {
  return std::max<int64_t>(0, session.expires_ns - context.clock.MonotonicNs()) / kNsPerMs;
}

std::string Hex(const std::string& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

// By number, address or uuid.
const wire::ServerRecord* FindServer(const Context& context, const std::string& name) {
  for (const wire::ServerRecord* record : context.state.Servers()) {
    const wire::Server& server = record->server();
    if (server.state() == wire::SERVER_GONE) continue;
    if (name == std::to_string(server.id()) || name == server.address() ||
        name == Hex(server.uuid())) {
      return record;
    }
  }
  return nullptr;
}

// Whether some bucket is served by `server` and nobody else.
bool ServesAlone(const Context& context, uint32_t server) {
  for (const wire::Pool& pool : context.state.Pools()) {
    for (const wire::BucketRecord& record : context.state.Buckets(PoolId{pool.id()})) {
      const wire::Bucket& bucket = record.bucket();
      bool served_here = false;
      bool served_elsewhere = false;
      for (int i = 0; i < bucket.servers_size() && i < bucket.states_size(); ++i) {
        if (bucket.states(i) != wire::MEMBER_SERVING) continue;
        (bucket.servers(i) == server ? served_here : served_elsewhere) = true;
      }
      if (served_here && !served_elsewhere) return true;
    }
  }
  return false;
}

Result<wire::ChangeServer> ChangeFor(const Context& context, const wire::Server& server,
                                     const wire::ServerOrderRequest& request) {
  wire::ChangeServer change;
  change.set_server(server.id());
  switch (request.order()) {
    case wire::SERVER_ORDER_DRAIN:
      if (server.state() == wire::SERVER_DOWN) {
        return Fail(Errc::kBusy, "the server is down: it cannot be emptied");
      }
      change.set_state(wire::SERVER_DRAINING);
      return change;
    case wire::SERVER_ORDER_UNDRAIN:
      if (server.state() != wire::SERVER_DRAINING) {
        return Fail(Errc::kInvalid, "the server is not being emptied");
      }
      change.set_state(wire::SERVER_UP);
      return change;
    case wire::SERVER_ORDER_REMOVE:
      if (ServesAlone(context, server.id())) {
        return Fail(Errc::kBusy, "the server alone has the data of some buckets: drain it first");
      }
      change.set_state(wire::SERVER_GONE);
      return change;
    case wire::SERVER_ORDER_WEIGHT:
      if (request.weight() == 0)
        return Fail(Errc::kInvalid, "the weight of a server is at least 1");
      change.set_weight(request.weight());
      return change;
    default:
      return Fail(Errc::kInvalid, "not an order");
  }
}

}  // namespace

wire::StatusReply Status(const Context& context, int64_t started_ns) {
  const Statistics statistics = context.state.statistics();
  wire::StatusReply reply;
  reply.set_cluster_id(context.state.cluster_id());
  reply.set_version(RINGFS_VERSION);
  reply.set_uptime_ms((context.clock.MonotonicNs() - started_ns) / kNsPerMs);
  reply.set_epoch(context.state.epoch());
  reply.set_inodes(statistics.inodes);
  reply.set_files_bytes(statistics.files_bytes);
  reply.set_sessions(context.sessions.all().size());
  reply.set_locks(context.state.locks().size());
  reply.set_garbage_entries(statistics.garbage_entries);
  for (const wire::ServerRecord* record : context.state.Servers()) {
    *reply.add_servers() = Describe(context, *record);
  }
  for (const wire::Pool& pool : context.state.Pools()) *reply.add_pools() = pool;
  CountBuckets(context, reply);
  MeasureCopies(context, reply);
  reply.set_memory_bytes(ResidentBytes());
  const LeaseTable::Statistics leases = context.leases.statistics();
  reply.set_leases(leases.leases);
  reply.set_lease_grants(leases.grants);
  reply.set_lease_recalls(leases.recalls);
  reply.set_lease_timeouts(leases.timed_out);
  return reply;
}

wire::ListSessionsReply ListSessions(const Context& context) {
  wire::ListSessionsReply reply;
  for (const auto& [id, session] : context.sessions.all()) {
    const wire::SessionRecord* record = context.state.FindSession(id);
    if (record == nullptr) continue;
    wire::SessionInfo& info = *reply.add_sessions();
    info.set_session(Raw(id));
    info.set_host(record->host());
    info.set_pid(record->pid());
    info.set_mountpoint(record->mountpoint());
    info.set_version(record->version());
    if (session.peer) info.set_address(session.peer->address());
    info.set_age_ms((context.log.TimeNs() - record->opened_ns()) / kNsPerMs);
    info.set_expires_in_ms(ExpiresInMs(context, session));
    info.set_open_files(context.state.opens().Count(id));
    info.set_locks(context.state.locks().SizeOf(id));
    info.set_connected(session.peer != nullptr);
    info.set_fencing(session.fencing);
  }
  return reply;
}

Result<wire::ListLocksReply> ListLocks(const Context& context,
                                       const wire::ListLocksRequest& request) {
  std::optional<InodeId> inode;
  if (!request.path().empty()) {
    const Result<wire::Attributes> attributes = context.state.Resolve(request.path());
    if (!attributes) return Fail(attributes.error());
    inode = InodeId{attributes->inode()};
  }
  wire::ListLocksReply reply;
  for (wire::LockInfo& info : context.state.locks().List(inode)) {
    if (reply.locks_size() >= kMaxLocksListed) break;
    // The name may be gone while the file is open and locked: then there is no path to show.
    const Result<std::string> path = context.state.PathOf(InodeId{info.inode()});
    if (path) info.set_path(Printable(*path));
    const SessionId session{info.session()};
    if (const wire::SessionRecord* record = context.state.FindSession(session)) {
      info.set_host(record->host());
      info.set_mountpoint(record->mountpoint());
    }
    const auto live = context.sessions.all().find(session);
    if (live != context.sessions.all().end()) {
      info.set_expires_in_ms(ExpiresInMs(context, live->second));
    }
    info.set_age_ms((context.log.TimeNs() - info.since_ns()) / kNsPerMs);
    *reply.add_locks() = std::move(info);
  }
  return reply;
}

Result<wire::WhereReply> Where(const Context& context, const wire::WhereRequest& request) {
  const Result<wire::Attributes> attributes = context.state.Resolve(request.path());
  if (!attributes) return Fail(attributes.error());
  wire::WhereReply reply;
  *reply.mutable_attributes() = *attributes;
  reply.set_path(request.path());
  return reply;
}

Result<wire::BreakLockReply> BreakLock(Context& context, const wire::BreakLockRequest& request) {
  const SessionId session{request.session()};
  LiveSession* live = context.sessions.Find(session);
  if (live == nullptr) {
    return Fail(Errc::kNotFound, "there is no session " + std::to_string(request.session()));
  }
  spdlog::warn("session {}: an administrator breaks its locks", request.session());
  ExpireSession(context, session);
  // A client that is there learns of it when it comes back.
  const std::shared_ptr<rpc::Peer> peer = live->peer;
  if (peer) peer->Close();
  return wire::BreakLockReply();
}

Result<wire::ServerOrderReply> OrderServer(Context& context,
                                           const wire::ServerOrderRequest& request) {
  const wire::ServerRecord* record = FindServer(context, request.server());
  if (record == nullptr) {
    return Fail(Errc::kNotFound, "there is no server " + request.server());
  }
  const ServerId id{record->server().id()};
  const Result<wire::ChangeServer> change = ChangeFor(context, record->server(), request);
  if (!change) return Fail(change.error());
  wire::Command command;
  *command.mutable_change_server() = *change;
  const Outcome outcome = context.log.Apply(command);
  if (outcome.error != Errc::kOk) return FailOf(outcome);
  if (LiveServer* live = context.servers.Find(id);
      live != nullptr && live->peer && change->state() == wire::SERVER_GONE) {
    // It cannot register again; until its lease has run out it counts as one that may serve.
    live->peer->Close();
  }
  if (context.membership != nullptr) {
    context.membership->ServerChanged(id, context.clock.MonotonicNs());
    DecideMembership(context);
  }
  return wire::ServerOrderReply();
}

}  // namespace ringfs::master
