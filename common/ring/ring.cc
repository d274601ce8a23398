#include "common/ring/ring.h"

#include <string>

#include "common/check.h"
#include "common/ring/hash.h"
#include "common/ring/placement.h"
#include "common/ring/topology.h"

namespace ringfs {

BucketId BucketOf(DataId data, uint32_t index, uint32_t bucket_bits) {
  RINGFS_CHECK(bucket_bits <= kMaxBucketBits);
  if (bucket_bits == 0) return BucketId{0};
  return BucketId{static_cast<uint32_t>(ring::HashBlock(data, index) >> (64 - bucket_bits))};
}

Result<WantedTable> PlaceBuckets(const PoolShape& shape, std::span<const RingServer> servers,
                                 const WantedTable& previous) {
  Result<ring::Topology> topology = ring::MakeTopology(shape, servers);
  if (!topology) return Fail(topology.error());
  const size_t buckets = size_t{1} << shape.bucket_bits;
  if (!previous.empty() && previous.size() != buckets) {
    return Fail(Errc::kInvalid, "the previous table has " + std::to_string(previous.size()) +
                                    " buckets, not " + std::to_string(buckets));
  }
  if (topology->nodes.empty()) return WantedTable(buckets);
  return ring::Placement(shape, *topology).Run(previous);
}

}  // namespace ringfs
