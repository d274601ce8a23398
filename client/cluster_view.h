#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "proto/cluster.pb.h"

namespace ringfs::client {

// Where one bucket is.
struct BucketPlace {
  uint64_t version = 0;
  ServerId head{0};
  std::vector<ServerId> serving;  // the head first
};

// This client's copy of the cluster map.
//
// Invariant: the epoch only grows; the buckets of a table are in the order of their numbers.
class ClusterView {
 public:
  // Takes a complete map, or the changes since this view's epoch. One that is older than what is
  // here changes nothing. kCorrupted: a map that contradicts itself, or changes that do not fit;
  // the view stays as it was.
  Result<void> Apply(const wire::ClusterMap& map);

  // kNoServers: no member of the block's bucket serves. kNotFound: no such pool.
  Result<BucketPlace> Find(const BlockKey& key) const;

  // nullptr: not in the map.
  const wire::Server* FindServer(ServerId server) const;

  // Everybody who may hold blocks of the pool that count: who serves or catches up in any bucket.
  std::vector<ServerId> ServersOf(PoolId pool) const;

  Epoch epoch() const { return Epoch{map_.epoch()}; }
  const wire::ClusterMap& map() const { return map_; }

 private:
  const wire::BucketTable* FindTable(PoolId pool) const;
  void Merge(const wire::BucketTable& changes);

  wire::ClusterMap map_;
  std::unordered_map<uint32_t, uint32_t> bits_;  // of a pool
};

}  // namespace ringfs::client
