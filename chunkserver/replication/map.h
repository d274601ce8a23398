#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "proto/cluster.pb.h"

namespace ringfs::chunkserver {

struct BucketKey {
  PoolId pool{0};
  BucketId bucket{0};

  auto operator<=>(const BucketKey&) const = default;
};

struct BucketKeyHash {
  size_t operator()(const BucketKey& key) const noexcept {
    return (uint64_t{Raw(key.pool)} << 32 | Raw(key.bucket)) * 0x9E3779B97F4A7C15u;
  }
};

enum class MemberState { kServing, kSyncing, kOffline };

struct Member {
  ServerId server{0};
  MemberState state = MemberState::kOffline;
};

// Who holds a bucket, and who may still believe that it does.
struct Bucket {
  uint64_t version = 0;  // 0: not known here
  std::vector<Member> members;
  // Served in a version before this one, do not now, and are not known to be dead. They stop by
  // themselves three quarters of a lease after `since_ms` at the latest.
  std::vector<ServerId> former;
  int64_t since_ms = 0;  // when this version was learnt
  // When the first version was learnt, unless that was 1: of those before it nothing is known.
  std::optional<int64_t> past_unknown_ms;

  // {0} when nobody serves.
  ServerId head() const;
  std::optional<MemberState> StateOf(ServerId server) const;
  std::vector<ServerId> Serving() const;
};

// This server's copy of the cluster map.
//
// Threads: one.
class ClusterMap {
 public:
  // Takes over what is newer in `map`. Returns the buckets that changed. kInvalid, and nothing has
  // changed: the map contradicts itself.
  Result<std::vector<BucketKey>> Install(const wire::ClusterMap& map, int64_t now_ms);

  uint64_t epoch() const { return epoch_; }
  // Nothing when there is no such pool.
  std::optional<BucketKey> BucketOfBlock(const BlockKey& key) const;
  // Never null; a bucket that is not known has version 0 and no members.
  const Bucket& Find(const BucketKey& key) const;
  std::optional<std::string> AddressOf(ServerId server) const;
  std::vector<BucketKey> BucketsWith(ServerId server, MemberState state) const;

 private:
  struct Server {
    std::string address;
    bool dead = false;  // its lease has run out
  };
  void TakeServers(const wire::ClusterMap& map);
  void TakeBucket(Bucket& bucket, const wire::Bucket& wire, int64_t now_ms);

  uint64_t epoch_ = 0;
  std::unordered_map<uint32_t, uint32_t> bucket_bits_;  // by pool
  std::unordered_map<uint32_t, Server> servers_;
  std::unordered_map<BucketKey, Bucket, BucketKeyHash> buckets_;
};

}  // namespace ringfs::chunkserver
