#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/ring/ring.h"
#include "master/cluster/bucket_step.h"
#include "master/cluster/cluster_view.h"

namespace ringfs::master {

// What the state says of the servers, joined with what happened since this master began, and which
// of them the ring counts with.
//
// Threads: the caller's.
class ServerTable {
 public:
  // A server that is down leaves the ring after `grace_ns`. One that was removed before this master
  // began may serve for `lease_ns` more.
  ServerTable(int64_t grace_ns, int64_t lease_ns) : grace_ns_(grace_ns), lease_ns_(lease_ns) {}

  void Load(const ClusterView& view, int64_t now_ns);
  void Registered(ServerId server, bool restarted);
  void Lost(ServerId server);
  void Changed(ServerId server) { touched_.insert(server); }

  struct Change {
    ServerId server{0};
    bool came_up = false;
  };
  // Takes over what has happened since the last call. Returns the servers whose buckets have to be
  // looked at.
  std::vector<Change> Refresh(const ClusterView& view, int64_t now_ns);
  // All buckets of restarted servers have been looked at.
  void RestartsDone();

  // Of a server that does not exist: the facts of one that is down.
  const ServerFacts& Facts(ServerId server) const;
  // Whether Ring() has changed since the last call of TakeRingChanged().
  bool ring_changed() const { return ring_changed_; }
  bool TakeRingChanged();
  std::vector<RingServer> Ring() const;
  // Those that are being emptied.
  std::vector<ServerId> Draining() const;

 private:
  struct Entry {
    ServerFacts facts;
    bool leased = false;    // may serve, as far as is known
    bool draining = false;  // when it was last up
    bool in_ring = false;
    int64_t down_since_ns = 0;
    int64_t lease_ends_ns = 0;  // of a server that was removed before this master began; else 0
    RingServer ring;
  };

  void Update(Entry& entry, const wire::Server& server, int64_t now_ns);
  bool PassDeadlines(Entry& entry, int64_t now_ns);

  const int64_t grace_ns_;
  const int64_t lease_ns_;
  std::map<ServerId, Entry> entries_;
  std::set<ServerId> touched_;
  std::vector<ServerId> restarted_;
  bool ring_changed_ = false;
};

}  // namespace ringfs::master
