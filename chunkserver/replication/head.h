#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "chunkserver/replication/activation.h"
#include "chunkserver/replication/context.h"
#include "chunkserver/replication/drop_notes.h"
#include "chunkserver/replication/equaliser.h"

namespace ringfs::chunkserver {

// What a server does for the buckets whose head it is: orders the changes of each block, has them
// made by all members, and answers reads from what all members have.
//
// Invariant: an answer to a change says that every serving member has it; an answer to a read shows
//            only what every serving member has, and all of it.
// Threads:   one.
class Head {
 public:
  explicit Head(Context& context);

  // Makes the change, or recognises it as made. Besides Context::CheckHead: kFenced; kTimedOut and
  // kUnavailable, when it may or may not have been made or will be; kNoSpace, kCorrupted, kInvalid.
  asio::awaitable<Result<BlockVersion>> Write(WriteOrder order, int64_t deadline_ms);
  // A block that does not exist has version {0, 0} and length 0.
  asio::awaitable<Result<BlockData>> Read(BlockKey key, uint64_t bucket_version, uint32_t offset,
                                          uint32_t length, int64_t deadline_ms);
  asio::awaitable<Result<std::optional<BlockInfo>>> Stat(BlockKey key, uint64_t bucket_version,
                                                         int64_t deadline_ms);
  // Makes the copy here whole, from another member, if it is not. kNotFound: no such block.
  // kCorrupted: it is whole on no member.
  asio::awaitable<Result<void>> Repair(BlockKey key, uint64_t bucket_version, int64_t deadline_ms);
  // A block for a syncing member, read between two changes.
  asio::awaitable<Result<BlockCopy>> Copy(BlockKey key);
  // Waits until the bucket may be served.
  asio::awaitable<Result<void>> Ready(BucketKey bucket, uint64_t bucket_version,
                                      int64_t deadline_ms) {
    return activation_.Ready(bucket, bucket_version, deadline_ms);
  }
  // Blocks of a data id are about to be removed here; and have been.
  void BeginDrop(PoolId pool, DataId data, uint32_t from);
  void EndDrop();

 private:
  struct Unsettled {
    uint64_t bucket_version = 0;
    BlockVersion attempted;
  };
  struct Known {
    uint64_t bucket_version = 0;
    BlockVersion version;
  };
  struct Outcome {
    ServerId server{0};
    Result<void> result;
  };
  // What an ordered change needs to know of the block.
  struct Standing {
    BlockVersion version;
    std::optional<BlockVersion> repeated;  // the change has been made: as this version
  };

  asio::awaitable<Result<BlockVersion>> Ordered(Place place, WriteOrder order);
  asio::awaitable<Result<Standing>> FindStanding(Place place, const WriteOrder& order);
  asio::awaitable<Result<BlockVersion>> Again(Place place, WriteOrder order, BlockVersion version);
  asio::awaitable<Result<BlockVersion>> Carry(Place place, Replication message);
  asio::awaitable<Result<BlockVersion>> Mend(Place place, Replication message, Result<void> local,
                                             std::vector<Outcome> outcomes);
  asio::awaitable<void> Send(Place place, std::shared_ptr<const Replication> message,
                             Outcome& outcome);
  void SendToSyncing(const Place& place, std::shared_ptr<const Replication> message);
  asio::awaitable<void> SendAndForget(ServerId to, std::shared_ptr<const Replication> message);

  asio::awaitable<Result<void>> SettleIfNeeded(Place place, BlockKey key);
  bool IsUnsettled(const Place& place, const BlockKey& key);
  asio::awaitable<Result<BlockData>> ReadMending(Place place, BlockKey key, uint32_t offset,
                                                 uint32_t length);
  void Remember(const Place& place, const BlockKey& key, BlockVersion version);

  Context& context_;
  DropNotes drops_;
  Equaliser equaliser_;
  Activation activation_;
  // Blocks whose members may differ.
  std::unordered_map<BlockKey, Unsettled> unsettled_;
  // Versions of blocks that were written lately, to spare asking the store.
  std::unordered_map<BlockKey, Known> known_;
  uint64_t drops_made_ = 0;  // versions found before a drop are not to be remembered after it
  std::unordered_map<ServerId, size_t> unanswered_;  // by syncing members
};

}  // namespace ringfs::chunkserver
