#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "chunkserver/replication/messages.h"
#include "common/result.h"

// What the replication protocol needs from outside. The program gives it sockets, disks and the
// clock; the simulation gives it fakes.
//
// Threads: all of these are called on the one thread that runs the protocol, and resume there.
namespace ringfs::chunkserver {

// Other chunkservers. Each call fails with kUnavailable or kTimedOut when there is no answer; it
// may have been carried out all the same, or may be later.
class Members {
 public:
  virtual ~Members() = default;
  virtual asio::awaitable<Result<void>> Replicate(ServerId to, Replication message,
                                                  int64_t timeout_ms) = 0;
  virtual asio::awaitable<Result<BlockPage>> List(ServerId to, Listing listing,
                                                  int64_t timeout_ms) = 0;
  // kNotFound: it does not have the block. kCorrupted: not whole.
  virtual asio::awaitable<Result<BlockCopy>> Fetch(ServerId to, BlockKey key,
                                                   int64_t timeout_ms) = 0;
};

// The blocks on this server's disks. Errors as in StoreSet.
class LocalBlocks {
 public:
  virtual ~LocalBlocks() = default;
  // Checks the checksums of the data (kCorrupted), applies, and syncs when asked to.
  virtual asio::awaitable<Result<void>> Apply(BlockChange change, bool sync) = 0;
  // The data is verified. kNotFound, kCorrupted.
  virtual asio::awaitable<Result<BlockData>> Read(BlockKey key, uint32_t offset,
                                                  uint32_t length) = 0;
  virtual asio::awaitable<Result<BlockCopy>> ReadCopy(BlockKey key) = 0;
  virtual asio::awaitable<Result<BlockInfo>> Stat(BlockKey key) = 0;  // kNotFound
  virtual asio::awaitable<Result<std::vector<BlockInfo>>> List(PoolId pool, BucketId bucket,
                                                               std::optional<BlockKey> after,
                                                               uint32_t limit) = 0;
  // Reads the whole block and checks it. kNotFound; kCorrupted: not even what it should be is known.
  virtual asio::awaitable<Result<BlockCheck>> Verify(BlockKey key) = 0;
  virtual std::vector<BucketUsage> Buckets() = 0;
  virtual asio::awaitable<Result<void>> Sync(std::vector<BlockKey> keys) = 0;
  // Both durable on return.
  virtual asio::awaitable<Result<void>> Remove(BlockKey key) = 0;
  virtual asio::awaitable<Result<void>> RemoveData(PoolId pool, DataId data, uint32_t from) = 0;
  // The newest write of the channel that is known here. Does not wait for a disk.
  virtual std::optional<LastWrite> LastTag(SessionId session, uint32_t channel) = 0;
  // A store that is out may hold blocks of the bucket that no other here does.
  virtual bool MayMiss(PoolId pool, BucketId bucket) = 0;
};

// What the master answers.
class MasterCalls {
 public:
  virtual ~MasterCalls() = default;
  virtual asio::awaitable<Result<bool>> IsLive(SessionId session) = 0;
  // Asks for the newest map; it is installed on return.
  virtual asio::awaitable<Result<void>> RefreshMap() = 0;
  virtual asio::awaitable<Result<void>> ReportSynced(PoolId pool, BucketId bucket,
                                                     uint64_t version) = 0;
};

// Time that tests can bend.
class Timers {
 public:
  virtual ~Timers() = default;
  virtual int64_t NowMs() = 0;  // monotonic
  // Calls `then` on the protocol's thread, `ms` from now.
  virtual void After(int64_t ms, std::function<void()> then) = 0;
};

}  // namespace ringfs::chunkserver
