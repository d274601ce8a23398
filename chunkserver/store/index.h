#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chunkserver/store/block.h"
#include "chunkserver/store/block_state.h"
#include "chunkserver/store/disk.h"
#include "common/result.h"

namespace leveldb {
class DB;
class Env;
class Cache;
class FilterPolicy;
class WriteBatch;
}  // namespace leveldb

namespace ringfs::chunkserver {

using BucketFunction = std::function<BucketId(const BlockKey&)>;
using TagKey = std::pair<SessionId, uint32_t>;  // session, channel

// What one checkpoint writes, at once and durably.
class IndexBatch {
 public:
  explicit IndexBatch(const BucketFunction& bucket_of);
  ~IndexBatch();

  // What has changed in generation state.generation.
  void PutBlock(const BlockKey& key, const BlockState& state);
  void PutTag(const TagKey& tag, const LastWrite& last);
  void DeleteTag(const TagKey& tag);
  // All generations up to this one are in the index.
  void PutGeneration(uint64_t generation);

 private:
  friend class Index;

  const BucketFunction& bucket_of_;
  std::unique_ptr<leveldb::WriteBatch> batch_;
};

// The durable metadata of blocks, in LevelDB, as of the last checkpoint.
// Format: docs/formats/store.md.
//
// Threads: any.
class Index {
 public:
  // Borrows `disk`. Makes the database when `create`. kCorrupted, kIo.
  static Result<std::unique_ptr<Index>> Open(Disk& disk, BucketFunction bucket_of, bool create);
  ~Index();

  // A state that is not present when the block is not there. kCorrupted.
  Result<std::shared_ptr<BlockState>> Load(const BlockKey& key) const;
  Result<void> Write(const IndexBatch& batch);
  // kNotFound: nothing was ever written.
  Result<uint64_t> Generation() const;

  // Blocks of a bucket after `after`, at most `limit`.
  Result<std::vector<BlockInfo>> ListBucket(PoolId pool, BucketId bucket,
                                            std::optional<BlockKey> after, size_t limit) const;
  Result<std::vector<BlockKey>> ListData(PoolId pool, DataId data, uint32_t from,
                                         size_t limit) const;
  Result<std::optional<BlockInfo>> Find(const BlockKey& key) const;
  // Calls `visit` with each block's state, without its checksums; one that cannot be decoded is an
  // error for the whole.
  Result<void> ForEachBlock(
      const std::function<Result<void>(const BlockKey&, const BlockState&)>& visit) const;
  Result<void> ForEachTag(const std::function<void(const TagKey&, const LastWrite&)>& visit) const;

 private:
  Index(Disk& disk, BucketFunction bucket_of);
  Result<void> LoadChecksums(const BlockKey& key, BlockState* state) const;

  BucketFunction bucket_of_;
  std::unique_ptr<leveldb::Env> env_;
  std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<const leveldb::FilterPolicy> filter_;
  std::unique_ptr<leveldb::DB> db_;
};

}  // namespace ringfs::chunkserver
