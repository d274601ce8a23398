#pragma once

#include <string>
#include <utility>
#include <vector>

#include "client/chunk_links.h"
#include "common/ids.h"
#include "common/result.h"

namespace ringfs::client {

// What was tried for a block, or for several, to be told if it all fails.
class BlockStory {
 public:
  // Keeps the newest error of each server. ServerId 0: nobody could be asked.
  void Add(ServerId server, const Error& error);

  // `last`, with a detail that tells the operation, the block, each server tried and its error, and with
  // the same in `attempts`.
  // What is tried again until the deadline, as refusals by an old map are, becomes kTimedOut.
  Error Tell(const char* operation, const BlockKey& key, const ChunkLinks& chunks,
             const Error& last) const;

 private:
  std::vector<std::pair<ServerId, Error>> tried_;
};

}  // namespace ringfs::client
