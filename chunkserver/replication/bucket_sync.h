#pragma once

#include <asio/awaitable.hpp>
#include <cstddef>
#include <deque>
#include <vector>

#include "chunkserver/replication/asking.h"
#include "chunkserver/replication/context.h"

namespace ringfs::chunkserver {

// Catches up in the buckets of which this server is a syncing member: copies from the head what
// differs, removes what the head does not have, and reports to the master when nothing is left to
// do and the head waits for this server's answers.
//
// Threads: one.
class BucketSync {
 public:
  explicit BucketSync(Context& context) : context_(context) {}

  // The members of these buckets may have changed.
  void Look(const std::vector<BucketKey>& buckets);

 private:
  static constexpr size_t kAtOnce = 4;

  void StartMore();
  asio::awaitable<void> Run(BucketKey bucket, uint64_t bucket_version);
  asio::awaitable<void> CatchUp(BucketKey bucket, uint64_t bucket_version);
  bool Wanted(BucketKey bucket, uint64_t bucket_version) const;
  // How many blocks differed.
  asio::awaitable<Result<size_t>> Compare(Place place, bool compulsory);
  asio::awaitable<Result<size_t>> CopyMissing(Place place, ServerId head,
                                              const std::vector<BlockInfo>& theirs,
                                              const std::vector<BlockInfo>& own);
  asio::awaitable<Result<void>> CopyBlock(Place place, ServerId head, BlockKey key,
                                          BlockVersion own);

  Context& context_;
  std::deque<BucketKey> waiting_;
  size_t running_ = 0;
};

}  // namespace ringfs::chunkserver
