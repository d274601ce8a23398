#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "common/ring/ring.h"

namespace ringfs::ring {

// A server of weight > 0.
struct Node {
  ServerId id{0};
  uint64_t hash = 0;  // of its identity
  uint32_t weight = 0;
  uint32_t zone = 0;  // index into Topology::zone_limits
  uint32_t host = 0;  // index into Topology::host_limits
};

// The servers in the order of their identities, and how many members of one bucket a zone and a
// host may have at most. With these limits any choice of members can be completed to `width`.
struct Topology {
  std::vector<Node> nodes;
  std::vector<uint32_t> zone_limits;
  std::vector<uint32_t> host_limits;
  uint32_t width = 0;  // members of each bucket
};

// kInvalid: see PlaceBuckets.
Result<Topology> MakeTopology(const PoolShape& shape, std::span<const RingServer> servers);

// By node.
std::vector<ServerShare> MakeShares(const PoolShape& shape, const Topology& topology);

}  // namespace ringfs::ring
