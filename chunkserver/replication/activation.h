#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "chunkserver/replication/context.h"
#include "chunkserver/replication/drop_notes.h"
#include "chunkserver/replication/equaliser.h"

namespace ringfs::chunkserver {

// What a head does before it serves a bucket for the first time in a bucket version: it tells all
// other serving members, and those that served before, that the version is in force, compares the
// blocks that they and itself have, and makes them equal.
//
// Threads: one.
class Activation {
 public:
  // `doubtful` is told of blocks that could not be made equal, because no copy of the highest
  // version is whole: they must not be served as they are.
  Activation(Context& context, const DropNotes& drops,
             std::function<void(Place, const BlockKey&)> doubtful)
      : context_(context), drops_(drops), equaliser_(context), doubtful_(std::move(doubtful)) {}

  // Returns once this server, the head, may serve the bucket in `bucket_version`; fetches the map
  // when that version is not known here. kTimedOut, and as Context::CheckHead.
  asio::awaitable<Result<void>> Ready(BucketKey bucket, uint64_t bucket_version,
                                      int64_t deadline_ms);

 private:
  using Comparison = std::map<BlockKey, std::vector<Holding>>;

  asio::awaitable<void> Run(BucketKey bucket, uint64_t bucket_version);
  asio::awaitable<Result<void>> Attempt(Place place);
  asio::awaitable<Result<void>> WarnFormer(Place place);
  asio::awaitable<Result<void>> Gather(Place place, Comparison& comparison);
  asio::awaitable<Result<void>> MakeEqual(Place place, Comparison comparison);
  bool Dropped(const Place& place, const BlockKey& key, const std::vector<Holding>& holdings) const;

  Context& context_;
  const DropNotes& drops_;
  Equaliser equaliser_;
  std::function<void(Place, const BlockKey&)> doubtful_;
};

}  // namespace ringfs::chunkserver
