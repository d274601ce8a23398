#include "common/ring/placement.h"

#include <algorithm>
#include <unordered_map>

#include "common/check.h"
#include "common/ring/hash.h"

namespace ringfs::ring {
namespace {

// A walk that is longer gives way to one search in each server's own points: it is bounded where a
// failure domain has few points among many.
constexpr size_t kMaxWalkedPoints = 1024;
constexpr size_t kMaxWalkedServers = 64;

}  // namespace

Placement::Placement(const PoolShape& shape, const Topology& topology)
    : topology_(topology),
      shares_(MakeShares(shape, topology)),
      epsilon_permille_(shape.epsilon_permille),
      points_(topology.nodes),
      buckets_(size_t{1} << shape.bucket_bits),
      held_(topology.nodes.size()),
      claims_(topology.nodes.size()) {
  for (uint32_t index = 0; index < buckets_.size(); ++index) {
    buckets_[index].position = HashBucket(shape.pool, index);
    buckets_[index].next_point = points_.FirstFrom(buckets_[index].position);
  }
}

WantedTable Placement::Run(const WantedTable& previous) {
  if (!previous.empty()) Remember(previous);
  for (uint32_t index = 0; index < buckets_.size(); ++index) {
    Settle(index);
    while (!unsettled_.empty()) {
      uint32_t displaced = unsettled_.back();
      unsettled_.pop_back();
      Settle(displaced);
    }
  }
  WantedTable table;
  table.reserve(buckets_.size());
  for (Bucket& bucket : buckets_) table.push_back(Members(bucket));
  return table;
}

void Placement::Remember(const WantedTable& previous) {
  RINGFS_CHECK(previous.size() == buckets_.size());
  std::unordered_map<ServerId, uint32_t> nodes;
  for (uint32_t node = 0; node < topology_.nodes.size(); ++node) {
    nodes.emplace(topology_.nodes[node].id, node);
  }
  std::vector<std::vector<uint32_t>> stays(buckets_.size());
  std::vector<uint64_t> loads(topology_.nodes.size());
  for (size_t index = 0; index < buckets_.size(); ++index) {
    for (ServerId member : previous[index]) {
      auto found = nodes.find(member);
      if (found == nodes.end()) continue;
      std::vector<uint32_t>& servers = stays[index];
      if (std::find(servers.begin(), servers.end(), found->second) != servers.end()) continue;
      servers.push_back(found->second);
      ++loads[found->second];
    }
  }
  for (uint32_t node = 0; node < claims_.size(); ++node) {
    const uint64_t little = shares_[node].fair - shares_[node].fair * epsilon_permille_ / 1000;
    claims_[node] = loads[node] * kShareUnit < little;
    any_claims_ = any_claims_ || claims_[node];
  }
  for (size_t index = 0; index < buckets_.size(); ++index) {
    RankCandidates(buckets_[index], stays[index]);
  }
}

// Servers that have too little come first where the bare ring chooses them, then the members of
// before, then the walk.
void Placement::RankCandidates(Bucket& bucket, const std::vector<uint32_t>& stays) {
  std::vector<Candidate>& candidates = bucket.candidates;
  if (any_claims_) {
    for (size_t chosen : Choose(bucket)) {
      if (claims_[candidates[chosen].server]) candidates[chosen].tier = Tier::kClaims;
    }
  }
  for (uint32_t server : stays) {
    auto found = std::find_if(candidates.begin(), candidates.end(),
                              [server](const Candidate& c) { return c.server == server; });
    if (found == candidates.end()) {
      candidates.push_back({.server = server});
      found = candidates.end() - 1;
    }
    found->stays = true;
    found->tier = claims_[server] ? Tier::kClaims : Tier::kStays;
  }
  // Those of the walk are in its order already.
  auto walk = std::stable_partition(candidates.begin(), candidates.end(),
                                    [](const Candidate& c) { return c.tier != Tier::kWalk; });
  std::sort(candidates.begin(), walk, [&](const Candidate& a, const Candidate& b) {
    if (a.tier != b.tier) return a.tier < b.tier;
    const uint64_t distance_a = points_.Distance(bucket.position, a.server);
    const uint64_t distance_b = points_.Distance(bucket.position, b.server);
    return std::tie(distance_a, a.server) < std::tie(distance_b, b.server);
  });
}

// Adds the next servers of the walk. False: there are no more.
bool Placement::Extend(Bucket& bucket) const {
  if (bucket.complete) return false;
  std::vector<Candidate>& candidates = bucket.candidates;
  if (candidates.size() == topology_.nodes.size()) {
    bucket.complete = true;
    return false;
  }
  while (bucket.walked < kMaxWalkedPoints && candidates.size() < kMaxWalkedServers) {
    const uint32_t server = points_.Server(bucket.next_point + bucket.walked);
    ++bucket.walked;
    if (std::none_of(candidates.begin(), candidates.end(),
                     [server](const Candidate& c) { return c.server == server; })) {
      candidates.push_back({.server = server});
      return true;
    }
  }
  Complete(bucket);
  return true;
}

void Placement::Complete(Bucket& bucket) const {
  std::vector<bool> known(topology_.nodes.size());
  for (const Candidate& candidate : bucket.candidates) known[candidate.server] = true;
  std::vector<std::pair<uint64_t, uint32_t>> rest;
  for (uint32_t server = 0; server < known.size(); ++server) {
    if (!known[server]) rest.emplace_back(points_.Distance(bucket.position, server), server);
  }
  std::sort(rest.begin(), rest.end());
  bucket.candidates.reserve(topology_.nodes.size());
  for (const auto& [distance, server] : rest) bucket.candidates.push_back({.server = server});
  bucket.complete = true;
}

bool Placement::Fits(const Bucket& bucket, const std::vector<size_t>& chosen,
                     uint32_t server) const {
  const Node& node = topology_.nodes[server];
  uint32_t in_zone = 0;
  uint32_t in_host = 0;
  for (size_t other : chosen) {
    const Node& member = topology_.nodes[bucket.candidates[other].server];
    in_zone += member.zone == node.zone ? 1 : 0;
    in_host += member.host == node.host ? 1 : 0;
  }
  return in_zone < topology_.zone_limits[node.zone] && in_host < topology_.host_limits[node.host];
}

// The first candidates that did not refuse and that the failure domains allow beside each other, as
// indices. Fewer than the width only if all servers are candidates.
std::vector<size_t> Placement::Choose(Bucket& bucket) const {
  std::vector<size_t> chosen;
  for (size_t i = 0; chosen.size() < topology_.width; ++i) {
    if (i == bucket.candidates.size() && !Extend(bucket)) break;
    const Candidate& candidate = bucket.candidates[i];
    if (candidate.state == State::kRefused) continue;
    if (Fits(bucket, chosen, candidate.server)) chosen.push_back(i);
  }
  return chosen;
}

void Placement::Settle(uint32_t index) {
  Bucket& bucket = buckets_[index];
  for (bool refused = true; refused;) {
    refused = false;
    for (size_t chosen : Choose(bucket)) {
      Candidate& candidate = bucket.candidates[chosen];
      if (candidate.state == State::kOpen && !Propose(index, candidate)) refused = true;
    }
  }
}

// False: refused. If another bucket is refused for this one, it is unsettled.
bool Placement::Propose(uint32_t index, Candidate& candidate) {
  const uint32_t server = candidate.server;
  Held& held = held_[server];
  held.push({.arrives = !candidate.stays,
             .distance = points_.Distance(buckets_[index].position, server),
             .bucket = index});
  candidate.state = State::kHeld;

  const Proposal worst = held.top();
  const uint32_t bound = worst.arrives ? shares_[server].accepts : shares_[server].keeps;
  if (held.size() <= bound) return true;
  held.pop();
  if (worst.bucket == index) {
    candidate.state = State::kRefused;
    return false;
  }
  std::vector<Candidate>& losers = buckets_[worst.bucket].candidates;
  auto lost = std::find_if(losers.begin(), losers.end(),
                           [server](const Candidate& c) { return c.server == server; });
  RINGFS_CHECK(lost != losers.end() && lost->state == State::kHeld);
  lost->state = State::kRefused;
  unsettled_.push_back(worst.bucket);
  return true;
}

std::vector<ServerId> Placement::Members(Bucket& bucket) const {
  std::vector<size_t> chosen = Choose(bucket);
  // Every server that the failure domains allow is full: the nearest take more than they should.
  for (size_t i = 0; chosen.size() < topology_.width; ++i) {
    RINGFS_CHECK(i < bucket.candidates.size());
    if (bucket.candidates[i].state != State::kRefused) continue;
    if (Fits(bucket, chosen, bucket.candidates[i].server)) chosen.push_back(i);
  }
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (size_t i : chosen) {
    const uint32_t server = bucket.candidates[i].server;
    order.emplace_back(points_.Distance(bucket.position, server), server);
  }
  std::sort(order.begin(), order.end());
  std::vector<ServerId> members;
  for (const auto& [distance, server] : order) members.push_back(topology_.nodes[server].id);
  return members;
}

}  // namespace ringfs::ring
