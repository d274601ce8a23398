#pragma once

#include <asio/thread_pool.hpp>
#include <cstddef>
#include <optional>
#include <vector>

#include "chunkserver/replication/seams.h"
#include "chunkserver/store/store_set.h"
#include "common/metrics.h"

namespace ringfs::chunkserver {

// The blocks of the data directories: calls of the stores, made on a pool of threads. What a store
// that is out keeps from being done gives kNotServing: others will serve in the place of this
// server as soon as the master knows.
//
// Threads: the protocol's; `pool` has threads of its own, which only call the stores.
class StoreBlocks final : public LocalBlocks {
 public:
  // Borrows both.
  StoreBlocks(asio::thread_pool& pool, StoreSet& stores) : pool_(pool), stores_(stores) {}

  asio::awaitable<Result<void>> Apply(BlockChange change, bool sync) override;
  asio::awaitable<Result<BlockData>> Read(BlockKey key, uint32_t offset, uint32_t length) override;
  asio::awaitable<Result<BlockCopy>> ReadCopy(BlockKey key) override;
  asio::awaitable<Result<BlockInfo>> Stat(BlockKey key) override;
  asio::awaitable<Result<std::vector<BlockInfo>>> List(PoolId pool, BucketId bucket,
                                                       std::optional<BlockKey> after,
                                                       uint32_t limit) override;
  asio::awaitable<Result<BlockCheck>> Verify(BlockKey key) override;
  std::vector<BucketUsage> Buckets() override { return stores_.Buckets(); }
  asio::awaitable<Result<void>> Sync(std::vector<BlockKey> keys) override;
  asio::awaitable<Result<void>> Remove(BlockKey key) override;
  asio::awaitable<Result<void>> RemoveData(PoolId pool, DataId data, uint32_t from) override;
  std::optional<LastWrite> LastTag(SessionId session, uint32_t channel) override;
  bool MayMiss(PoolId pool, BucketId bucket) override;

  // Counts blocks that were found damaged when they were read. Borrowed.
  void CountIn(Counter& corrupt) { corrupt_ = &corrupt; }

  asio::awaitable<Result<void>> SyncAll();
  // Forgets the writes of a session that is no more.
  asio::awaitable<Result<void>> DropTags(SessionId session);
  // Looks which stores are out; returns how many have come to be so since the last look.
  size_t LookForFailures();
  bool AnyOut() const { return stores_out_ > 0; }
  StoreSet& stores() { return stores_; }

 private:
  // `result`, counted if it tells of a damaged block.
  template <typename T>
  Result<T> Counted(Result<T> result) const {
    if (corrupt_ != nullptr && result.code() == Errc::kCorrupted) corrupt_->Add();
    return result;
  }
  void CountOut();
  template <typename T>
  Result<T> Told(Result<T> result);

  asio::thread_pool& pool_;
  StoreSet& stores_;
  size_t stores_out_ = 0;
  Counter* corrupt_ = nullptr;
  size_t looked_out_ = 0;  // at the last look
};

}  // namespace ringfs::chunkserver
