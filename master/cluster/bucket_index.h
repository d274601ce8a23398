#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "common/ids.h"
#include "master/cluster/bucket_step.h"
#include "master/cluster/cluster_view.h"

namespace ringfs::master {

struct BucketRef {
  PoolId pool{0};
  BucketId bucket{0};

  auto operator<=>(const BucketRef&) const = default;
};

struct KnownBucket {
  uint64_t version = 0;
  Members members;
};

// The bucket tables, findable by server.
//
// Threads: the caller's.
class BucketIndex {
 public:
  void Load(const ClusterView& view, PoolId pool);
  // Takes over what the state says of the bucket. Returns whether that is news.
  bool Reload(const ClusterView& view, const BucketRef& ref);
  // Null: there is no such bucket.
  const KnownBucket* Find(const BucketRef& ref) const;
  void Put(const BucketRef& ref, KnownBucket bucket);

  const std::map<PoolId, std::vector<KnownBucket>>& pools() const { return pools_; }
  // The buckets that the server is a member of, in whatever state.
  const std::set<BucketRef>& Of(ServerId server) const;
  // In how many of them it is syncing.
  uint32_t Syncing(ServerId server) const;
  // In all buckets.
  uint64_t syncing() const { return syncing_; }

 private:
  struct PerServer {
    std::set<BucketRef> buckets;
    uint32_t syncing = 0;
  };

  std::map<PoolId, std::vector<KnownBucket>> pools_;
  std::unordered_map<ServerId, PerServer> servers_;
  uint64_t syncing_ = 0;
};

}  // namespace ringfs::master
