#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "chunkserver/replication/asking.h"
#include "chunkserver/replication/context.h"

namespace ringfs::chunkserver {

// What one server has of a block.
struct Holding {
  ServerId server{0};
  std::optional<BlockInfo> info;

  BlockVersion version() const { return info ? info->version : BlockVersion{}; }
};

// Makes the copies of a block equal on this server, the head, and on the members that count: the
// highest version wins, and an absent block loses. What is copied is durable on return.
// During a call nothing else changes the block: its lock is held, or the bucket is not served yet.
//
// Threads: one.
class Equaliser {
 public:
  explicit Equaliser(Context& context) : context_(context) {}

  // Asks the members what they have, and makes all equal. `attempted` is the highest version that
  // was sent to anyone: when nobody has it, it is made impossible by going beyond it, since a
  // message with it may still be on its way.
  asio::awaitable<Result<void>> Settle(Place place, BlockKey key, BlockVersion attempted);
  // As Settle(), knowing who has what; `holdings` names this server too.
  asio::awaitable<Result<void>> MakeEqual(Place place, BlockKey key, std::vector<Holding> holdings,
                                          BlockVersion attempted);
  // The copy here is not whole: takes that of a member that has the same version. kCorrupted: none
  // has it whole.
  asio::awaitable<Result<void>> Repair(Place place, BlockKey key);

 private:
  asio::awaitable<Result<void>> SettleOnce(Place place, BlockKey key, BlockVersion attempted);
  asio::awaitable<Result<void>> TakeBest(Place place, BlockKey key, BlockVersion own,
                                         std::vector<Holding> holdings, BlockVersion best);
  asio::awaitable<Result<void>> GoBeyond(BlockKey key, BlockVersion attempted);
  asio::awaitable<Result<BlockCopy>> WholeCopy(Place place, BlockKey key);
  asio::awaitable<Result<void>> SendCopy(Place place, Holding to, BlockKey key, BlockCopy copy);

  Context& context_;
};

// The change that puts `copy` in the place of whatever version `expected` of the block holds.
BlockChange ReplaceWith(const BlockKey& key, const BlockCopy& copy, BlockVersion expected);

}  // namespace ringfs::chunkserver
