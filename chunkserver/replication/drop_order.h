#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "chunkserver/replication/map.h"
#include "common/ids.h"
#include "common/result.h"
#include "proto/cluster.pb.h"

namespace ringfs::chunkserver {

// Tells an order to drop blocks from a copy of it that was delayed until there are newer blocks in
// the place of those that it meant. Blocks begin at version 0 again after a drop, so that their
// versions do not tell.
//
// A session numbers its orders, anew for each repetition; what comes after one with a higher number
// is a delayed copy, or is repeated under a higher number. And an order is older than this server's
// place in a bucket if it was sent with a map in which that place did not count: whoever sent it
// may have gone on without an answer from here.
//
// Threads: one.
class DropOrder {
 public:
  // To be called before `map` is installed over `known`.
  void Learn(ServerId self, const ClusterMap& known, const wire::ClusterMap& map);
  // This server has registered, and got a map of this epoch: until then it may have been counted
  // as gone.
  void Registered(uint64_t epoch);
  // To be called in the moment the order is begun. kStaleEpoch: the sender's map is too old.
  // kVersionMismatch: it came after a newer order. Either may be repeated under a new number.
  // Number 0 is that of a client that does not number its orders: it is taken as it comes.
  Result<void> Begin(SessionId session, uint64_t number, uint64_t epoch);

  // Those that are remembered.
  std::vector<SessionId> Sessions() const;
  // The session has ended: nothing of it is let through any more.
  void Forget(SessionId session) { newest_.erase(session); }

 private:
  uint64_t counted_since_ = 0;                      // epoch
  std::unordered_map<SessionId, uint64_t> newest_;  // number of the newest order
};

}  // namespace ringfs::chunkserver
