#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/ids.h"

namespace ringfs::master {

// How far each chunkserver has come in the queue of garbage. Entries go to a server in their order,
// one batch at a time, so that one number a server says it all and a server that is away for long
// costs no memory. Kept in memory only: after a restart of the master everybody begins at the front
// of the queue again, which does no harm.
//
// Threads: none of its own and no locks.
class GarbageProgress {
 public:
  // The entry behind which the next batch for `server` begins; nothing while one is out.
  std::optional<uint64_t> NextFrom(ServerId server) const;
  // `entries`, in growing order and not empty, were sent to `server`.
  void Sent(ServerId server, const std::vector<uint64_t>& entries);
  // `server` has removed the blocks of `entries`. True when that ends its batch.
  bool Done(ServerId server, const std::vector<uint64_t>& entries);
  // The connection to `server` is new: a batch that was out is sent again.
  void Reset(ServerId server);
  // The entry up to which all of `servers` are done.
  uint64_t DoneByAll(const std::vector<ServerId>& servers) const;
  // The entry up to which the queue has been emptied: where to begin to read it.
  uint64_t removed() const { return removed_; }
  void Removed(uint64_t entry) { removed_ = entry; }

 private:
  struct Progress {
    uint64_t done = 0;  // this entry and all before it
    uint64_t last = 0;  // of the batch that is out
    std::set<uint64_t> out;
  };

  std::map<ServerId, Progress> servers_;
  uint64_t removed_ = 0;
};

}  // namespace ringfs::master
