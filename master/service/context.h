#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "common/clock.h"
#include "common/defaults.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "master/leases/lease_table.h"
#include "master/service/append_turns.h"
#include "master/service/command_log.h"
#include "master/service/fences.h"
#include "master/service/garbage_progress.h"
#include "master/service/inode_events.h"
#include "master/service/live_servers.h"
#include "master/service/live_sessions.h"
#include "master/service/membership.h"
#include "master/state/state_machine.h"

namespace ringfs::master {

struct ServiceOptions {
  int64_t session_ttl_ms = 10'000;  // for those who ask for none
  int64_t lease_ms = kServerLeaseMs;  // of chunkservers
  int64_t gather_ms = 5;            // how long changes wait for the disk that nobody waits for
  int64_t tick_ms = 100;            // how often time is looked at
  uint64_t seed = 0;                // of the random numbers in commands
  uint64_t run = 1;                 // another one each time that a master starts
  LeaseLimits leases;               // of mounts
  Metrics* metrics = nullptr;       // lives longer; null: nobody counts
  // Bounds. At each the answer is kUnavailable.
  size_t max_sessions = 4096;
  uint32_t max_requests = 16384;        // in flight, of all connections
  uint32_t max_held_per_session = 1024;  // waiting for a cut, a turn, or others' leases
};

// Sessions live between these, whatever they ask for.
inline constexpr int64_t kMinSessionTtlMs = 1'000;
inline constexpr int64_t kMaxSessionTtlMs = 3'600'000;

// Who is at the other end of a connection: kept in Peer::context once it has said so.
struct PeerRole {
  SessionId session{0};
  ServerId server{0};
};

// What the parts of the service share: the state, the log, and what is known only in memory.
//
// Threads: everything on `executor`, which one thread runs. Between what is read from the state and
//          telling it lies log.WaitDurable(), but to whom log.unflushed() lets hear it at once.
struct Context {
  Context(asio::any_io_executor io, StateMachine& machine, const Clock& time,
          Membership* bucket_membership, ServiceOptions limits)
      : executor(std::move(io)),
        clock(time),
        options(limits),
        state(machine),
        membership(bucket_membership),
        leases(limits.leases),
        cuts(executor),
        turn_changes(executor),
        lease_waits(executor),
        log(executor, machine, time, limits.seed, limits.gather_ms) {}

  asio::any_io_executor executor;
  const Clock& clock;
  const ServiceOptions options;
  StateMachine& state;
  Membership* membership;  // null: nobody decides about buckets

  LiveSessions sessions;
  LiveServers servers;
  Fences fences;
  GarbageProgress garbage;
  std::map<std::pair<uint32_t, uint64_t>, int64_t> suspects;  // pool, data: since when nobody's
  bool sweeping = false;     // suspects are being looked for
  AppendTurns turns;
  LeaseTable leases;
  InodeEvents cuts;          // a pending cut of the inode is done or may be claimed
  InodeEvents turn_changes;  // the turn to append has passed on
  TicketEvents lease_waits;  // nothing is in the way of the request with this ticket
  // Handlers that are still queued on the executor hold it weakly, so that they find us gone.
  std::shared_ptr<char> alive = std::make_shared<char>();
  CommandLog log;            // last: its waiting replies refer to all of the above
};

inline PeerRole RoleOf(const rpc::Peer& peer) {
  const auto* role = std::any_cast<PeerRole>(&peer.context);
  return role == nullptr ? PeerRole{} : *role;
}

// The live session `id`, asked for on its own connection. kFenced: it has expired or ended.
// kNotPermitted: it is not the session of this connection. kUnavailable: it has a newer connection.
Result<LiveSession*> SessionOf(Context& context, const rpc::Peer& peer, SessionId id);

// The error of an outcome, as it is told to the caller.
inline Failure FailOf(const Outcome& outcome) { return Fail(outcome.error, outcome.detail); }

}  // namespace ringfs::master
