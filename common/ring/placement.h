#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <tuple>
#include <vector>

#include "common/ids.h"
#include "common/ring/points.h"
#include "common/ring/ring.h"
#include "common/ring/topology.h"

namespace ringfs::ring {

// Finds the members of all buckets of one pool by deferred acceptance: buckets propose themselves
// to servers in the order of their preference, each server holds the best proposals up to its
// bound, and who is refused goes on. The result does not depend on the order of the proposals.
// Rules: docs/formats/ring.md.
//
// Owns:      the points and one list of candidates for each bucket, while it works.
// Invariant: what a bucket holds is within the limits of the failure domains.
class Placement {
 public:
  // Borrows `topology`, which must have at least one node.
  Placement(const PoolShape& shape, const Topology& topology);

  // `previous` is empty or has a list of members for each bucket. Called once.
  WantedTable Run(const WantedTable& previous);

 private:
  // The order in which a bucket asks.
  enum class Tier : uint8_t { kClaims, kStays, kWalk };
  enum class State : uint8_t { kOpen, kHeld, kRefused };

  struct Candidate {
    uint32_t server = 0;
    Tier tier = Tier::kWalk;
    State state = State::kOpen;
    bool stays = false;  // was a member before
  };

  struct Bucket {
    uint64_t position = 0;
    size_t next_point = 0;
    size_t walked = 0;      // points
    bool complete = false;  // the candidates are all servers
    std::vector<Candidate> candidates;
  };

  // What a server holds of a bucket; the greatest is the worst.
  struct Proposal {
    bool arrives = false;
    uint64_t distance = 0;
    uint32_t bucket = 0;

    bool operator<(const Proposal& other) const {
      return std::tie(arrives, distance, bucket) <
             std::tie(other.arrives, other.distance, other.bucket);
    }
  };
  using Held = std::priority_queue<Proposal>;

  void Remember(const WantedTable& previous);
  void RankCandidates(Bucket& bucket, const std::vector<uint32_t>& stays);
  bool Extend(Bucket& bucket) const;
  void Complete(Bucket& bucket) const;
  std::vector<size_t> Choose(Bucket& bucket) const;
  bool Fits(const Bucket& bucket, const std::vector<size_t>& chosen, uint32_t server) const;
  void Settle(uint32_t index);
  bool Propose(uint32_t index, Candidate& candidate);
  std::vector<ServerId> Members(Bucket& bucket) const;

  const Topology& topology_;
  const std::vector<ServerShare> shares_;
  const uint32_t epsilon_permille_;
  const Points points_;
  std::vector<Bucket> buckets_;
  std::vector<Held> held_;    // by server
  std::vector<bool> claims_;  // by server: it has too little
  bool any_claims_ = false;
  std::vector<uint32_t> unsettled_;
};

}  // namespace ringfs::ring
