#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chunkserver/replication/map.h"
#include "chunkserver/replication/seams.h"
#include "tests/chunkserver/simulation/world.h"

namespace ringfs::chunkserver::simulation {

// A disk that survives the crashes of its server. What was not synced may be lost, each block on
// its own, but never a version in the middle.
class FakeDisk {
 public:
  struct State {
    bool present = false;
    BlockVersion version;
    std::string bytes;
    std::vector<TagRecord> tags;  // stored with this state
    bool replaces = false;        // what was remembered of the block before is forgotten
  };
  struct Block {
    std::vector<State> states{1};  // [0] is durable; the last is what reads see
    bool rotten = false;
  };
  using TagKey = std::pair<SessionId, uint32_t>;

  explicit FakeDisk(uint32_t bucket_bits) : bucket_bits_(bucket_bits) {}

  Result<void> Apply(const BlockChange& change);
  std::vector<TagRecord> TagsOf(const BlockKey& key) const;
  void Sync(const BlockKey& key);
  void SyncAll();
  Result<State> Read(const BlockKey& key) const;
  std::optional<BlockInfo> Info(const BlockKey& key) const;
  std::vector<BlockInfo> List(PoolId pool, BucketId bucket, std::optional<BlockKey> after,
                              size_t limit) const;
  std::vector<BucketUsage> Buckets() const;
  bool AnyRotten() const;
  void Remove(const BlockKey& key);
  void RemoveData(PoolId pool, DataId data, uint32_t from);
  std::optional<LastWrite> LastTag(SessionId session, uint32_t channel) const;
  void Crash(World& world);
  bool Rot(const BlockKey& key);

 private:
  void KeepTags(const BlockKey& key, const State& state, std::map<TagKey, LastWrite>& into) const;

  uint32_t bucket_bits_;
  std::map<BlockKey, Block> blocks_;
  std::map<TagKey, LastWrite> durable_tags_;
  std::map<TagKey, LastWrite> tags_;
};

// The blocks of one incarnation of a server.
class FakeBlocks final : public LocalBlocks {
 public:
  FakeBlocks(World& world, FakeDisk& disk) : world_(world), disk_(disk) {}
  // From now on nothing of this incarnation has an effect.
  void Detach() { detached_ = true; }

  asio::awaitable<Result<void>> Apply(BlockChange change, bool sync) override;
  asio::awaitable<Result<BlockData>> Read(BlockKey key, uint32_t offset, uint32_t length) override;
  asio::awaitable<Result<BlockCopy>> ReadCopy(BlockKey key) override;
  asio::awaitable<Result<BlockInfo>> Stat(BlockKey key) override;
  asio::awaitable<Result<std::vector<BlockInfo>>> List(PoolId pool, BucketId bucket,
                                                       std::optional<BlockKey> after,
                                                       uint32_t limit) override;
  asio::awaitable<Result<BlockCheck>> Verify(BlockKey key) override;
  std::vector<BucketUsage> Buckets() override { return disk_.Buckets(); }
  asio::awaitable<Result<void>> Sync(std::vector<BlockKey> keys) override;
  asio::awaitable<Result<void>> Remove(BlockKey key) override;
  asio::awaitable<Result<void>> RemoveData(PoolId pool, DataId data, uint32_t from) override;
  std::optional<LastWrite> LastTag(SessionId session, uint32_t channel) override;
  bool MayMiss(PoolId, BucketId) override { return false; }

 private:
  asio::awaitable<void> Work();  // as long as a disk may take
  asio::awaitable<void> Flush();

  World& world_;
  FakeDisk& disk_;
  bool detached_ = false;
};

}  // namespace ringfs::chunkserver::simulation
