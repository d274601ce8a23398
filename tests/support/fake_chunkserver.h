#pragma once

#include <asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/rpc/server.h"
#include "proto/chunk.pb.h"
#include "proto/cluster.pb.h"

namespace ringfs {

// The blocks of all fake chunkservers of a test, as if replication never failed.
struct FakeBlocks {
  struct Block {
    std::vector<std::byte> bytes;
    BlockVersion version;
  };
  struct Done {
    uint64_t sequence = 0;
    BlockVersion version;
  };
  std::map<BlockKey, Block> blocks;
  std::map<std::pair<uint64_t, uint32_t>, Done> tags;  // by session and channel
  int applied = 0;                                     // changes, without repetitions
};

// A chunkserver for tests of clients. It judges requests by the map of the test, checks checksums,
// recognises retries, and keeps what it was asked.
//
// Threads: only from its server's executor.
class FakeChunkserver final : public rpc::Service {
 public:
  // Borrows both.
  FakeChunkserver(uint32_t server, const wire::ClusterMap& map, FakeBlocks& blocks)
      : server_(server), map_(map), blocks_(blocks) {}

  asio::awaitable<Result<rpc::Reply>> Handle(std::shared_ptr<rpc::Peer> peer,
                                             rpc::Call call) override;

  // Called before a call is carried out; an error is answered instead.
  std::function<std::optional<Error>(uint32_t method)> before;
  // Called after; true: the connection is cut instead of answering.
  std::function<bool(uint32_t method)> lose_answer;
  int corrupt_reads = 0;  // so many answers are damaged
  std::vector<uint32_t> methods;
  std::vector<wire::WriteRequest> writes;
  std::vector<wire::SyncRequest> syncs;
  std::vector<wire::DropRequest> drops;

 private:
  Result<rpc::Reply> Carry(const rpc::Call& call);
  Result<rpc::Reply> Write(const wire::WriteRequest& request, const Buffer& payload);
  Result<void> Change(const wire::Change& change, const Buffer& payload, BlockVersion version);
  Result<rpc::Reply> Read(const wire::ReadRequest& request);
  Result<rpc::Reply> Stat(const wire::StatBlocksRequest& request);
  Result<rpc::Reply> Drop(const wire::DropRequest& request);
  // kStaleEpoch, kNotServing, kNotHead.
  Result<void> Judge(const wire::BlockId& block, uint64_t bucket_version, bool as_head) const;

  uint32_t server_;
  const wire::ClusterMap& map_;
  FakeBlocks& blocks_;
};

}  // namespace ringfs
