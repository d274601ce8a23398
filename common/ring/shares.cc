#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "common/ring/hash.h"
#include "common/ring/topology.h"

namespace ringfs::ring {
namespace {

// Shares rise like water: at level L a server has weight * L of the buckets, L in 1/65536 of a
// share's unit, but never more than one membership of each bucket.
class Water {
 public:
  Water(const PoolShape& shape, const std::vector<Node>& nodes)
      : nodes_(nodes),
        full_((uint64_t{1} << shape.bucket_bits) * kShareUnit),
        bounds_(nodes.size(), full_ * kShareUnit) {}

  // Limits what these servers have together: `members` of each bucket.
  void Limit(std::span<const uint32_t> group, uint32_t members) {
    const uint64_t allowed = full_ * members;
    uint64_t low = 0;
    uint64_t high = full_ * kShareUnit;  // here the lightest server has all
    while (low < high) {
      uint64_t middle = low + (high - low) / 2;
      if (SumAt(group, middle) >= allowed) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    for (uint32_t node : group) bounds_[node] = std::min(bounds_[node], low);
  }

  uint64_t Share(uint32_t node) const { return ShareAt(node, bounds_[node]); }

 private:
  uint64_t ShareAt(uint32_t node, uint64_t level) const {
    const uint64_t weight = nodes_[node].weight;
    level = std::min(level, bounds_[node]);
    if (level > full_ * kShareUnit / weight) return full_;
    return level * weight / kShareUnit;
  }

  uint64_t SumAt(std::span<const uint32_t> group, uint64_t level) const {
    uint64_t sum = 0;
    for (uint32_t node : group) sum += ShareAt(node, level);
    return sum;
  }

  const std::vector<Node>& nodes_;
  const uint64_t full_;
  std::vector<uint64_t> bounds_;  // by node: the level above which it gets no more
};

using Groups = std::vector<std::vector<uint32_t>>;

void LimitGroups(const Groups& groups, const std::vector<uint32_t>& limits, Water& water) {
  for (size_t i = 0; i < groups.size(); ++i) water.Limit(groups[i], limits[i]);
}

// Rounding `keeps` down at a place of its own for each server keeps them from all losing a bucket
// at once when a server joins.
void SetBounds(const PoolShape& shape, const Node& node, ServerShare& share) {
  const uint64_t excess = share.fair * shape.epsilon_permille / 1000;
  const uint64_t buckets = uint64_t{1} << shape.bucket_bits;
  const uint64_t soft = share.fair + std::max(excess / 2, kShareUnit);
  const uint64_t hard = share.fair + std::max(excess, 2 * kShareUnit);
  const uint64_t accepts = soft / kShareUnit;
  const uint64_t keeps = (hard - kShareUnit + (node.hash >> 48)) / kShareUnit;
  share.accepts = static_cast<uint32_t>(std::min(accepts, buckets));
  share.keeps = static_cast<uint32_t>(std::min(std::max(accepts, keeps), buckets));
}

}  // namespace

std::vector<ServerShare> MakeShares(const PoolShape& shape, const Topology& topology) {
  Groups hosts(topology.host_limits.size());
  Groups zones(topology.zone_limits.size());
  std::vector<uint32_t> all(topology.nodes.size());
  std::iota(all.begin(), all.end(), 0u);
  for (uint32_t node : all) {
    hosts[topology.nodes[node].host].push_back(node);
    zones[topology.nodes[node].zone].push_back(node);
  }
  Water water(shape, topology.nodes);
  LimitGroups(hosts, topology.host_limits, water);
  LimitGroups(zones, topology.zone_limits, water);
  water.Limit(all, topology.width);

  std::vector<ServerShare> shares;
  for (uint32_t node : all) {
    ServerShare share{.id = topology.nodes[node].id, .fair = water.Share(node)};
    SetBounds(shape, topology.nodes[node], share);
    shares.push_back(share);
  }
  return shares;
}

}  // namespace ringfs::ring

namespace ringfs {

Result<std::vector<ServerShare>> ServerShares(const PoolShape& shape,
                                              std::span<const RingServer> servers) {
  Result<ring::Topology> topology = ring::MakeTopology(shape, servers);
  if (!topology) return Fail(topology.error());
  return ring::MakeShares(shape, *topology);
}

}  // namespace ringfs
