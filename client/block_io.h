#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/chunk_links.h"
#include "client/limiter.h"
#include "client/map_keeper.h"
#include "client/master_link.h"
#include "client/ranges.h"
#include "client/retry.h"
#include "client/write_channels.h"
#include "common/buffer.h"
#include "common/ids.h"
#include "common/result.h"
#include "proto/chunk.pb.h"

namespace ringfs::client {

// What a read of a part of a block found.
struct BlockData {
  std::vector<Buffer> pieces;  // together as long as asked for; nobody may write into them
  bool filled = false;         // some of it are zeros that no server has stored
};

// A change of one block.
struct BlockChange {
  BlockKey key;
  wire::ChangeKind kind = wire::CHANGE_WRITE;
  uint32_t offset = 0;
  uint32_t length = 0;
  std::vector<Buffer> data;  // of CHANGE_WRITE: `length` bytes, not changed while the call lasts
  bool sync = false;         // on the platters when it returns
};

// Reads and changes blocks where the map says that they are, following it when it changes.
// Each call is tried until its deadline; an error names the block and the servers that were tried.
// kFenced: the session in which a change was begun has expired.
//
// Threads: only from `executor`.
class BlockIo {
 public:
  BlockIo(asio::any_io_executor executor, MasterLink& link, MapKeeper& maps, ChunkLinks& chunks);

  // kCorrupted: what came did not match its checksums, twice.
  asio::awaitable<Result<BlockData>> Read(BlockRange range, Deadline deadline);
  // Every serving member has it when it returns. The result is the version that it made.
  asio::awaitable<Result<BlockVersion>> Change(BlockChange change, Deadline deadline);
  // These blocks are on the platters of every member that serves them.
  asio::awaitable<Result<void>> Sync(std::vector<BlockKey> keys, Deadline deadline);
  // As asked, in order: version, length and (extents) where data is.
  asio::awaitable<Result<std::vector<wire::BlockInfo>>> Stat(std::vector<BlockKey> keys,
                                                             bool extents, Deadline deadline);
  // Removes the blocks of `from`'s data id from its index on, at everybody who may have one.
  asio::awaitable<Result<void>> Drop(BlockKey from, Deadline deadline);

  const ClusterView& view() const { return maps_.view(); }

 private:
  // Where a try was sent, to tell whether the map has changed under it.
  struct Attempt {
    BlockKey key;
    SessionId session{0};
    ServerId server{0};  // 0: nobody was there to be asked
    uint64_t bucket_version = 0;
  };
  // Room among the requests and bytes in flight.
  struct Room {
    Limiter::Hold request;
    Limiter::Hold bytes;
  };

  Attempt Aim(const BlockKey& key, Result<BucketPlace>& place) const;
  // Waits until `attempt` may have better luck. False: `error` stands.
  asio::awaitable<bool> MayTryAgain(Attempt attempt, Errc code, Retry& retry);
  asio::awaitable<std::optional<Room>> TakeRoom(uint64_t bytes, int64_t timeout_ms);
  asio::awaitable<Result<rpc::Answer>> Send(ServerId server, uint32_t method, std::string body,
                                            std::vector<Buffer> payload, int64_t timeout_ms);
  Result<BlockData> TakeRead(const BlockRange& range, const rpc::Answer& answer) const;
  void AppendZeros(BlockData& data, uint64_t size) const;
  asio::awaitable<Result<BlockVersion>> ChangeTagged(BlockChange change,
                                                     WriteChannels::Lease& lease, SessionId session,
                                                     Retry retry);
  asio::awaitable<Result<void>> SyncAt(ServerId server, wire::SyncRequest request,
                                       int64_t timeout_ms);
  asio::awaitable<Result<wire::StatBlocksReply>> StatAt(ServerId server,
                                                        wire::StatBlocksRequest request,
                                                        int64_t timeout_ms);
  asio::awaitable<Result<void>> DropAt(ServerId server, BlockKey from, Deadline deadline);

  asio::any_io_executor executor_;
  MasterLink& link_;
  MapKeeper& maps_;
  ChunkLinks& chunks_;
  WriteChannels channels_;
  uint64_t drops_sent_ = 0;
  Limiter requests_;
  Limiter bytes_;
  Buffer zeros_;
};

}  // namespace ringfs::client
