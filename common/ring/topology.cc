#include "common/ring/topology.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/ring/hash.h"

namespace ringfs::ring {
namespace {

Result<void> CheckShape(const PoolShape& shape) {
  if (shape.replicas < 1 || shape.replicas > kMaxReplicas) {
    return Fail(Errc::kInvalid, "replicas: " + std::to_string(shape.replicas) + " is not 1 to " +
                                    std::to_string(kMaxReplicas));
  }
  if (shape.bucket_bits > kMaxBucketBits) {
    return Fail(Errc::kInvalid, "bucket bits: " + std::to_string(shape.bucket_bits) +
                                    " is more than " + std::to_string(kMaxBucketBits));
  }
  if (shape.epsilon_permille < 10 || shape.epsilon_permille > 1000) {
    return Fail(Errc::kInvalid, "epsilon: " + std::to_string(shape.epsilon_permille) +
                                    " permille is not 10 to 1000");
  }
  return {};
}

Result<void> CheckServers(std::span<const RingServer> servers) {
  std::set<ServerId> ids;
  std::set<std::string_view> identities;
  uint64_t weight = 0;
  for (const RingServer& server : servers) {
    std::string name = "server " + std::to_string(Raw(server.id));
    if (server.identity.empty()) return Fail(Errc::kInvalid, name + " has no identity");
    if (!ids.insert(server.id).second) return Fail(Errc::kInvalid, name + " is there twice");
    if (!identities.insert(server.identity).second) {
      return Fail(Errc::kInvalid, name + " has the identity of another: " + server.identity);
    }
    weight += server.weight;
    if (weight > kMaxTotalWeight) {
      return Fail(Errc::kInvalid, "the weights sum up to more than " +
                                      std::to_string(kMaxTotalWeight) + " at " + name);
    }
  }
  return {};
}

// The smallest limit under which groups of these sizes have `wanted` members together. The sizes
// must sum up to that many.
uint32_t SmallestLimit(const std::vector<uint32_t>& sizes, uint32_t wanted) {
  for (uint32_t limit = 1;; ++limit) {
    uint64_t members = 0;
    for (uint32_t size : sizes) members += std::min(size, limit);
    if (members >= wanted) return limit;
  }
}

void SetLimits(const PoolShape& shape, size_t zones, size_t hosts, Topology& topology) {
  const uint32_t servers = static_cast<uint32_t>(topology.nodes.size());
  topology.width = std::min(shape.replicas, servers);
  std::vector<uint32_t> host_sizes(hosts);
  std::vector<uint32_t> host_zones(hosts);
  for (const Node& node : topology.nodes) {
    ++host_sizes[node.host];
    host_zones[node.host] = node.zone;
  }
  const uint32_t host_limit = SmallestLimit(host_sizes, topology.width);

  std::vector<uint32_t> zone_sizes(zones);
  for (size_t host = 0; host < hosts; ++host) {
    zone_sizes[host_zones[host]] += std::min(host_sizes[host], host_limit);
  }
  const uint32_t zone_limit = SmallestLimit(zone_sizes, topology.width);

  topology.host_limits.assign(hosts, host_limit);
  topology.zone_limits.assign(zones, zone_limit);
}

}  // namespace

Result<Topology> MakeTopology(const PoolShape& shape, std::span<const RingServer> servers) {
  if (Result<void> checked = CheckShape(shape); !checked) return Fail(checked.error());
  if (Result<void> checked = CheckServers(servers); !checked) return Fail(checked.error());

  std::vector<const RingServer*> sorted;
  for (const RingServer& server : servers) {
    if (server.weight > 0) sorted.push_back(&server);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const RingServer* a, const RingServer* b) { return a->identity < b->identity; });

  Topology topology;
  std::map<std::string_view, uint32_t> zones;
  std::map<std::pair<uint32_t, std::string_view>, uint32_t> hosts;
  uint32_t host_count = 0;
  for (const RingServer* server : sorted) {
    Node node{.id = server->id, .hash = HashIdentity(server->identity), .weight = server->weight};
    node.zone = zones.try_emplace(server->zone, static_cast<uint32_t>(zones.size())).first->second;
    node.host = host_count;
    if (!server->host.empty()) {
      node.host = hosts.try_emplace({node.zone, server->host}, host_count).first->second;
    }
    if (node.host == host_count) ++host_count;
    topology.nodes.push_back(node);
  }
  SetLimits(shape, zones.size(), host_count, topology);
  return topology;
}

}  // namespace ringfs::ring
