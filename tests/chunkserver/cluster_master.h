#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/rpc/server.h"
#include "proto/cluster.pb.h"

namespace ringfs::chunkserver {

// A master for tests of whole chunkservers: it numbers the servers that register, and its map is
// what the test makes it.
//
// Threads: only from its server's executor.
class ClusterMaster final : public rpc::Service {
 public:
  ClusterMaster();

  asio::awaitable<Result<rpc::Reply>> Handle(std::shared_ptr<rpc::Peer> peer,
                                             rpc::Call call) override;
  void Gone(const std::shared_ptr<rpc::Peer>& peer) override;

  // Gives the one bucket these members, in a new version.
  void SetMembers(const std::vector<std::pair<uint32_t, wire::MemberState>>& members);
  void Push(uint32_t method, const google::protobuf::MessageLite& message);

  wire::ClusterMap map;
  std::set<uint64_t> live_sessions;
  std::set<std::pair<uint32_t, uint64_t>> fenced;   // server, session
  std::set<std::pair<uint32_t, uint64_t>> removed;  // server, garbage entry
  std::map<uint32_t, wire::ServerUsage> usage;      // by server: of the last heartbeat
  int64_t lease_ms = 3000;
  bool removes = false;  // refuses all who register, as ones that were removed

 private:
  Result<rpc::Reply> Register(const std::shared_ptr<rpc::Peer>& peer, const rpc::Call& call);
  Result<rpc::Reply> Synced(const rpc::Call& call);
  wire::Bucket& bucket() { return *map.mutable_tables(0)->mutable_buckets(0); }
  void Changed();

  std::map<uint32_t, std::shared_ptr<rpc::Peer>> peers_;
};

}  // namespace ringfs::chunkserver
