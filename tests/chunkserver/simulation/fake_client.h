#pragma once

#include <cstdint>
#include <vector>

#include "tests/chunkserver/simulation/fake_server.h"
#include "tests/chunkserver/simulation/history.h"

namespace ringfs::chunkserver::simulation {

struct ClientOptions {
  int operations = 40;
  uint64_t blocks = 2;
  uint32_t cells = 2;
  bool sync = true;  // each write
};

// Numbers that no two clients of a run may share.
struct Numbers {
  uint64_t session = 1;
  uint64_t value = 1;
  uint64_t running = 0;  // clients that are not done
};

// Mounts as far as the blocks are concerned: they write and read registers, and note what they saw.
class FakeClient {
 public:
  FakeClient(FakeServers& servers, History& history, Numbers& numbers, NodeId node,
             ClientOptions options)
      : servers_(servers),
        history_(history),
        numbers_(numbers),
        node_(kClient + node),
        options_(options) {}

  asio::awaitable<void> Run();
  asio::awaitable<void> ReadAll();
  // Makes everything durable at every serving member.
  asio::awaitable<void> SyncAll();

 private:
  struct Route {
    uint64_t version = 0;
    ServerId head{0};
    std::vector<ServerId> serving;
  };
  void NewSession();
  BlockKey Key(uint64_t block) const { return BlockKey{PoolId{1}, DataId{block + 1}, 0}; }
  Route Find(const BlockKey& key) const;
  asio::awaitable<void> Write(Register at);
  asio::awaitable<void> Read(Register at);
  asio::awaitable<void> GiveUp(Register at, WriteOrder order, Operation operation);
  asio::awaitable<Result<BlockVersion>> SendWrite(Route route, WriteOrder order,
                                                  int64_t timeout_ms);
  asio::awaitable<Result<BlockVersion>> ServeWrite(ServerId at, WriteOrder order);
  asio::awaitable<Result<BlockData>> ServeRead(ServerId at, BlockKey key, uint64_t version);
  asio::awaitable<Result<void>> ServeSync(ServerId at, SyncItem item);

  FakeServers& servers_;
  History& history_;
  Numbers& numbers_;
  NodeId node_;
  ClientOptions options_;
  SessionId session_{0};
  uint64_t sequence_ = 0;
};

}  // namespace ringfs::chunkserver::simulation
