#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/result.h"

// Where blocks belong: pure functions of their arguments, equal on every machine.
// Specified byte by byte in docs/formats/ring.md.
namespace ringfs {

inline constexpr uint32_t kMaxBucketBits = 20;
inline constexpr uint32_t kMaxReplicas = 16;
// The weight of an ordinary server. With much less a server has too few points on the ring.
inline constexpr uint32_t kDefaultServerWeight = 100;
// Of all servers together: it bounds the memory of the ring's points.
inline constexpr uint64_t kMaxTotalWeight = 1 << 20;

// A chunkserver as the ring sees it.
struct RingServer {
  ServerId id{0};
  std::string identity;  // decides its points; not empty, never changes, no two are equal
  std::string zone;      // servers without a zone share the zone ""
  std::string host;      // within its zone; "" says that the server is alone on its host
  uint32_t weight = kDefaultServerWeight;  // 0: is wanted for nothing
};

// What a pool asks of the ring.
struct PoolShape {
  PoolId pool{1};
  uint32_t replicas = 2;            // [1, kMaxReplicas]
  uint32_t bucket_bits = 14;        // [0, kMaxBucketBits]; the pool has 2^bucket_bits buckets
  uint32_t epsilon_permille = 100;  // [10, 1000]: the load allowed over the fair share
};

// The wanted members by bucket, the preferred head first. Each bucket has as many as the others:
// PoolShape::replicas, or all servers of weight > 0 if they are fewer.
using WantedTable = std::vector<std::vector<ServerId>>;

// The bucket of a block.
BucketId BucketOf(DataId data, uint32_t index, uint32_t bucket_bits);

// The wanted members of every bucket. `previous` is the table in force, or empty: members that can
// stay do stay, so that a change moves what it must and little more. Its order, repeated members
// and unknown servers mean nothing. The order of `servers` means nothing either.
// kInvalid: an argument out of its bounds, two servers with one id or identity, or a `previous` of
// another size.
Result<WantedTable> PlaceBuckets(const PoolShape& shape, std::span<const RingServer> servers,
                                 const WantedTable& previous = {});

// How many of a pool's memberships one server should have.
struct ServerShare {
  ServerId id{0};
  uint64_t fair = 0;     // by weight, as far as the failure domains allow, in 1/65536 memberships
  uint32_t accepts = 0;  // takes new buckets up to this many
  uint32_t keeps = 0;    // keeps buckets that it has up to this many; accepts <= keeps
};
inline constexpr uint64_t kShareUnit = 65536;

// The shares that PlaceBuckets works with, for the servers of weight > 0, by identity. The failure
// domains win over `keeps`: a bucket that no server would accept is placed all the same.
Result<std::vector<ServerShare>> ServerShares(const PoolShape& shape,
                                              std::span<const RingServer> servers);

}  // namespace ringfs
