#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

namespace ringfs::client {

// Changes that the master has answered before they were on its disk: kept until it says that they
// are, and said again when it has restarted without them.
//
// Threads: one at a time.
class KeptChanges {
 public:
  // Whether the master may answer the change early: nothing is done upon the answer that could not
  // be undone, and there is room to keep it.
  bool MayKeep(const wire::MetaRequest& request) const;

  // The answer to a change says that it is not on the disk yet. In the order of the answers.
  void Keep(wire::MetaRequest request, const wire::MetaReply& reply);
  // Changes up to this number are on the disk.
  void Flushed(uint64_t number);
  void Clear();

  bool empty() const { return kept_.empty(); }
  size_t size() const { return kept_.size(); }
  // Puts them into a request that returns to the session.
  void SayAgain(wire::OpenSessionRequest& request) const;
  // For people: what the oldest of them are.
  std::string Describe() const;

 private:
  struct Kept {
    uint64_t number = 0;
    size_t bytes = 0;
    wire::MetaRequest request;
  };
  std::deque<Kept> kept_;  // by number
  size_t bytes_ = 0;
};

}  // namespace ringfs::client
