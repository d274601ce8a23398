#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "chunkserver/replication/map.h"
#include "proto/cluster.pb.h"
#include "tests/chunkserver/simulation/world.h"

namespace ringfs::chunkserver::simulation {

inline constexpr int64_t kLeaseMs = 3000;

// The rules by which the master changes the members of buckets, and nothing else of it.
class FakeMaster {
 public:
  struct Bucket {
    uint64_t version = 1;
    std::vector<Member> members;
  };

  FakeMaster(World& world, uint32_t servers, uint32_t replicas, uint32_t bucket_bits);

  // Called on each change of the map, to tell the servers.
  std::function<void()> changed;

  wire::ClusterMap Map() const;
  uint64_t epoch() const { return epoch_; }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  bool AllServe() const;

  void Register(ServerId server, uint64_t incarnation);
  Result<uint64_t> Heartbeat(ServerId server, uint64_t incarnation);
  Result<void> Synced(ServerId server, uint64_t incarnation, BucketId bucket, uint64_t version);
  // Counts servers as down whose lease has run out.
  void Tick();
  // Does to a bucket what an administrator or the balance may: another order, one member fewer.
  void Shuffle();

  // Every member of the server's that was set aside begins to sync again.
  void TakeAllBack(ServerId server) { TakeBack(server), Publish(); }

  void OpenSession(SessionId session) { live_.insert(session); }
  bool IsLive(SessionId session) const { return live_.contains(session); }
  void Fence(SessionId session);
  // Which servers have still to confirm the fence.
  std::set<ServerId> Unconfirmed(SessionId session) const;
  void FenceDone(ServerId server, SessionId session) { fences_[session].erase(server); }

 private:
  struct Server {
    bool up = false;
    uint64_t incarnation = 0;
    int64_t heard_ms = 0;
  };
  size_t ServingUp(const Bucket& bucket, ServerId but) const;
  void LoseServer(ServerId server);
  void TakeBack(ServerId server);
  void Change(Bucket& bucket) { ++bucket.version, dirty_ = true; }
  void Publish();

  World& world_;
  uint32_t bucket_bits_;
  uint64_t epoch_ = 1;
  bool dirty_ = false;
  std::map<ServerId, Server> servers_;
  std::vector<Bucket> buckets_;
  std::set<SessionId> live_;
  std::map<SessionId, std::set<ServerId>> fences_;
};

}  // namespace ringfs::chunkserver::simulation
