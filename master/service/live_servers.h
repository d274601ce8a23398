#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "common/ids.h"
#include "common/rpc/server.h"
#include "proto/cluster.pb.h"

namespace ringfs::master {

// What the master knows of a chunkserver besides the state machine: its connection and its lease.
struct LiveServer {
  ServerId id{0};
  uint64_t incarnation = 0;         // 0: not seen since this master started
  int64_t lease_until_ns = 0;       // by the monotonic clock
  int64_t seen_ns = 0;              // last register or heartbeat; 0: never
  bool leased = false;              // it may serve
  bool was_draining = false;        // when its lease ran out: the order stands when it comes back
  std::shared_ptr<rpc::Peer> peer;  // null: not connected
  wire::ServerUsage usage;
};

// The chunkservers that are not gone, with their leases.
//
// Threads: none of its own and no locks.
class LiveServers {
 public:
  // A server of the state that may hold a lease from an earlier run of the master.
  void AddLeased(ServerId id, int64_t lease_until_ns);
  // A server has made itself known on `peer`.
  LiveServer& Register(ServerId id, uint64_t incarnation, std::shared_ptr<rpc::Peer> peer);
  // Null when there is none.
  LiveServer* Find(ServerId id);
  const LiveServer* Find(ServerId id) const;
  void Remove(ServerId id) { servers_.erase(id); }
  void Detach(ServerId id, const std::shared_ptr<rpc::Peer>& peer);
  void Renew(LiveServer& server, int64_t now_ns, int64_t lease_ns);

  // Takes the lease from those whose time has passed, and returns them.
  std::vector<ServerId> TakeExpired(int64_t now_ns);
  // Gives all leases `by_ns` more: the master itself stood still for so long.
  void Postpone(int64_t by_ns);
  // Those that may serve.
  std::vector<ServerId> Leased() const;
  void PushToAll(uint32_t method, const google::protobuf::MessageLite& message) const;

  std::map<ServerId, LiveServer>& all() { return servers_; }
  const std::map<ServerId, LiveServer>& all() const { return servers_; }

 private:
  std::map<ServerId, LiveServer> servers_;
};

}  // namespace ringfs::master
