#pragma once

#include <asio/awaitable.hpp>
#include <vector>

#include "chunkserver/replication/context.h"
#include "chunkserver/replication/head.h"

namespace ringfs::chunkserver {

// A block that a client wants to be durable, in the bucket version that it knows.
struct SyncItem {
  BlockKey key;
  uint64_t bucket_version = 0;
};

// What a server answers to the heads of the buckets that it is a member of, to syncing members of
// those whose head it is, and to clients that want to know their writes durable.
//
// Threads: one.
class MemberSide {
 public:
  MemberSide(Context& context, Head& head) : context_(context), head_(head) {}

  // Makes the change if the block has the version that it is to be made on; a change that has been
  // made already is a success. kVersionMismatch: the block has another version. kStaleEpoch: a
  // newer bucket version is known here. kNotServing: this server, or the head, is not in that
  // place; the map here may be late.
  asio::awaitable<Result<void>> Replicate(Replication message);
  // See Listing. To a syncing member it answers as the head, when it may serve the bucket.
  asio::awaitable<Result<BlockPage>> List(Listing listing, int64_t deadline_ms);
  asio::awaitable<Result<BlockCopy>> Fetch(BlockKey key);
  // As Context::CheckServing, and kTimedOut as Head::Ready, since the durability of a block that
  // its members may not have yet is worth nothing.
  asio::awaitable<Result<void>> Sync(std::vector<SyncItem> items, int64_t deadline_ms);

 private:
  asio::awaitable<Result<void>> LearnVersion(BucketKey bucket, uint64_t bucket_version);
  asio::awaitable<Result<void>> Apply(Replication message);

  Context& context_;
  Head& head_;
};

}  // namespace ringfs::chunkserver
