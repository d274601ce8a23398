#pragma once

#include <map>
#include <memory>
#include <vector>

#include "chunkserver/replication/replica.h"
#include "tests/chunkserver/simulation/fake_blocks.h"
#include "tests/chunkserver/simulation/fake_master.h"
#include "tests/chunkserver/simulation/world.h"

namespace ringfs::chunkserver::simulation {

class FakeServers;

// One run of a server's program: from a start to a crash.
class Incarnation final : public Members, public MasterCalls {
 public:
  Incarnation(FakeServers& servers, ServerId id, uint64_t number, FakeDisk& disk);

  void Start();
  void Crash();
  Replica* replica() { return crashed_ ? nullptr : replica_.get(); }
  uint64_t number() const { return number_; }
  asio::awaitable<void> CloseSession(SessionId session);

  asio::awaitable<Result<void>> Replicate(ServerId to, Replication message,
                                          int64_t timeout_ms) override;
  asio::awaitable<Result<BlockPage>> List(ServerId to, Listing listing,
                                          int64_t timeout_ms) override;
  asio::awaitable<Result<BlockCopy>> Fetch(ServerId to, BlockKey key, int64_t timeout_ms) override;
  asio::awaitable<Result<bool>> IsLive(SessionId session) override;
  asio::awaitable<Result<void>> RefreshMap() override;
  asio::awaitable<Result<void>> ReportSynced(PoolId pool, BucketId bucket,
                                             uint64_t version) override;

 private:
  asio::awaitable<void> Run();
  asio::awaitable<Result<wire::ClusterMap>> Register();

  FakeServers& servers_;
  const ServerId id_;
  const uint64_t number_;
  FakeBlocks blocks_;
  std::unique_ptr<Replica> replica_;
  bool crashed_ = false;
};

// All servers of a run, and what those that crashed have left behind.
class FakeServers {
 public:
  FakeServers(World& world, FakeMaster& master, uint32_t count, uint32_t bucket_bits);

  void Start(ServerId id);
  void Crash(ServerId id);
  void StopAll();
  bool running(ServerId id) const { return current_.contains(id); }
  std::vector<ServerId> ids() const;
  // Null: not running, or not registered yet.
  Replica* Live(ServerId id);
  FakeDisk& disk(ServerId id) { return *disks_.at(id); }
  World& world() { return world_; }
  FakeMaster& master() { return master_; }

  // At the callee.
  asio::awaitable<Result<void>> ServeReplicate(ServerId at, Replication message);
  asio::awaitable<Result<BlockPage>> ServeList(ServerId at, Listing listing);
  asio::awaitable<Result<BlockCopy>> ServeFetch(ServerId at, BlockKey key);
  // Tells the servers that the map has changed, as far as the network lets it.
  void PushMap();
  void PushFence(SessionId session);
  // Fails the test when two servers are ready to serve as heads of a bucket in one version.
  void CheckHeads();

 private:
  World& world_;
  FakeMaster& master_;
  std::map<ServerId, std::unique_ptr<FakeDisk>> disks_;
  std::map<ServerId, Incarnation*> current_;
  std::vector<std::unique_ptr<Incarnation>> all_;
  std::map<std::pair<BucketKey, uint64_t>, ServerId> heads_;
  uint64_t next_number_ = 1;
};

}  // namespace ringfs::chunkserver::simulation
