#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "common/ids.h"
#include "proto/cluster.pb.h"

namespace ringfs::master {

// What a decision about a bucket needs to know of a server.
struct ServerFacts {
  bool up = false;         // in contact with the master, and may be given buckets
  bool heard = false;      // has registered since this master began; before, `up` is a guess
  bool gone = false;       // removed by an administrator: it never comes back
  bool may_serve = false;  // its lease may still run
  bool restarted = false;  // has just registered as another run of the program
};

struct Member {
  ServerId server{0};
  wire::MemberState state = wire::MEMBER_OFFLINE;
  // A serving member that has restarted while no other could take over. What it had not yet written
  // to the disk may be missing, so another copy is not given up for it.
  bool doubtful = false;

  bool operator==(const Member&) const = default;
};
using Members = std::vector<Member>;

using FactsOf = std::function<const ServerFacts&(ServerId)>;

// What must be done about a bucket at once, because of what its servers did: members that may be
// behind serve no more, as long as another serves. The last serving one is never dropped. Returns
// whether the bucket needs a new version; that can be so although `members` look the same.
bool SettleBucket(Members& members, const FactsOf& facts);

struct BucketWish {
  const std::vector<ServerId>& wanted;  // by the ring, the preferred head first
  uint32_t replicas = 0;                // of the pool; `wanted` may be fewer
};

// Whether the server may begin to copy one bucket more.
using TakeSlot = std::function<bool(ServerId)>;

// The next step towards the wish: those of `synced` serve; members that are not wanted go when
// enough others serve; of those that are missing one begins to copy, or as many as the bucket lacks
// copies. Returns whether `members` have changed.
bool AdvanceBucket(Members& members, const FactsOf& facts, const BucketWish& wish,
                   const std::vector<ServerId>& synced, const TakeSlot& take_slot);

// Serving members on servers that are up.
uint32_t CountServingUp(const Members& members, const FactsOf& facts);

}  // namespace ringfs::master
