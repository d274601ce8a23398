#include "chunkserver/replication/equaliser.h"

#include <algorithm>
#include <utility>

#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

bool Same(const Holding& a, const BlockInfo& b) {
  return a.info && a.info->version == b.version && a.info->length == b.length &&
         a.info->digest == b.digest;
}

}  // namespace

BlockChange ReplaceWith(const BlockKey& key, const BlockCopy& copy, BlockVersion expected) {
  BlockChange change;
  change.key = key;
  change.kind = ChangeKind::kReplace;
  change.version = copy.version;
  change.expected = expected;
  change.length = static_cast<uint32_t>(copy.data.size());
  change.data.push_back(copy.data);
  change.checksums = copy.checksums;
  change.copied_tags = copy.tags;
  change.block_size = kMaxBlockSize;
  return change;
}

asio::awaitable<Result<void>> Equaliser::Settle(Place place, BlockKey key, BlockVersion attempted) {
  Result<void> settled;
  // A message that was late may change a member between the question and the copy.
  for (int tries = 0; tries < 3; ++tries) {
    settled = co_await SettleOnce(place, key, attempted);
    if (settled.code() != Errc::kVersionMismatch) break;
  }
  co_return settled;
}

asio::awaitable<Result<void>> Equaliser::SettleOnce(Place place, BlockKey key,
                                                    BlockVersion attempted) {
  std::vector<Holding> holdings;
  for (const ServerId server : context_.Required(place.bucket, place.version)) {
    const auto info = co_await AskForBlock(context_, place, server, key);
    if (!info) co_return Fail(info.error());
    holdings.push_back(Holding{server, *info});
  }
  const auto own = co_await OwnBlock(context_, key);
  if (!own) co_return Fail(own.error());
  holdings.push_back(Holding{context_.self, *own});
  co_return co_await MakeEqual(place, key, std::move(holdings), attempted);
}

asio::awaitable<Result<void>> Equaliser::MakeEqual(Place place, BlockKey key,
                                                   std::vector<Holding> holdings,
                                                   BlockVersion attempted) {
  BlockVersion best;
  BlockVersion own;
  for (const Holding& holding : holdings) {
    best = std::max(best, holding.version());
    if (holding.server == context_.self) own = holding.version();
  }
  if (best == BlockVersion{} && attempted == BlockVersion{}) co_return Result<void>();
  if (own < best) {
    const Result<void> taken = co_await TakeBest(place, key, own, holdings, best);
    if (!taken) co_return taken;
  }
  if (best < attempted) {
    const Result<void> gone = co_await GoBeyond(key, attempted);
    if (!gone) co_return gone;
  }
  const Result<BlockInfo> now = co_await context_.seams.blocks.Stat(key);
  if (!now) co_return Fail(now.error());
  std::optional<BlockCopy> copy;
  for (const Holding& holding : holdings) {
    if (holding.server == context_.self || Same(holding, *now)) continue;
    if (holding.version() == now->version) {
      spdlog::error("block {}: server {} has other bytes under the same version", Describe(key),
                    Raw(holding.server));
    }
    if (!copy) {
      Result<BlockCopy> whole = co_await WholeCopy(place, key);
      if (!whole) co_return Fail(whole.error());
      copy = std::move(*whole);
    }
    const Result<void> sent = co_await SendCopy(place, holding, key, *copy);
    if (!sent) co_return sent;
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> Equaliser::TakeBest(Place place, BlockKey key, BlockVersion own,
                                                  std::vector<Holding> holdings,
                                                  BlockVersion best) {
  Error why{Errc::kNotFound, "nobody has it any more"};
  for (const Holding& holding : holdings) {
    if (holding.version() != best) continue;
    auto ask = [&](int64_t timeout_ms) {
      return context_.seams.members.Fetch(holding.server, key, timeout_ms);
    };
    const Result<BlockCopy> copy = co_await AskUntilAnswered(context_, place, std::move(ask));
    if (copy) {
      BlockChange change = ReplaceWith(key, *copy, own);
      co_return co_await context_.seams.blocks.Apply(std::move(change), true);
    }
    why = copy.error();
    if (why.code != Errc::kCorrupted) break;
    spdlog::warn("block {}: server {} does not have it whole: {}", Describe(key),
                 Raw(holding.server), why.detail);
  }
  co_return Fail(why);
}

asio::awaitable<Result<void>> Equaliser::GoBeyond(BlockKey key, BlockVersion attempted) {
  const auto own = co_await OwnBlock(context_, key);
  if (!own) co_return Fail(own.error());
  BlockChange change;
  change.key = key;
  change.kind = ChangeKind::kTruncate;
  change.length = *own ? (*own)->length : 0;
  change.expected = *own ? (*own)->version : BlockVersion{};
  change.version = BlockVersion{attempted.bucket_version, attempted.counter + 1};
  change.block_size = kMaxBlockSize;
  co_return co_await context_.seams.blocks.Apply(std::move(change), true);
}

asio::awaitable<Result<BlockCopy>> Equaliser::WholeCopy(Place place, BlockKey key) {
  Result<BlockCopy> copy = co_await context_.seams.blocks.ReadCopy(key);
  if (copy || copy.code() != Errc::kCorrupted) co_return copy;
  const Result<void> repaired = co_await Repair(place, key);
  if (!repaired) co_return Fail(repaired.error());
  co_return co_await context_.seams.blocks.ReadCopy(key);
}

asio::awaitable<Result<void>> Equaliser::Repair(Place place, BlockKey key) {
  ++context_.counters.bad;
  const Result<BlockInfo> own = co_await context_.seams.blocks.Stat(key);
  if (!own) co_return Fail(own.error());
  for (const ServerId server : context_.Required(place.bucket, place.version)) {
    auto ask = [&](int64_t timeout_ms) {
      return context_.seams.members.Fetch(server, key, timeout_ms);
    };
    const Result<BlockCopy> copy = co_await AskUntilAnswered(context_, place, std::move(ask));
    if (!copy && copy.code() == Errc::kStaleEpoch) co_return Fail(copy.error());
    if (!copy || copy->version != own->version) continue;
    BlockChange change = ReplaceWith(key, *copy, own->version);
    const Result<void> applied = co_await context_.seams.blocks.Apply(std::move(change), true);
    if (!applied) co_return applied;
    ++context_.counters.repaired;
    spdlog::warn("block {}: was not whole here, repaired from server {}", Describe(key),
                 Raw(server));
    co_return Result<void>();
  }
  spdlog::error("block {}: not whole here, and no other member has it whole", Describe(key));
  co_return Fail(Errc::kCorrupted, "block " + Describe(key) + " is whole on no server");
}

asio::awaitable<Result<void>> Equaliser::SendCopy(Place place, Holding to, BlockKey key,
                                                  BlockCopy copy) {
  Replication message;
  message.head = context_.self;
  message.bucket_version = place.version;
  message.change = ReplaceWith(key, copy, to.version());
  message.sync = true;
  auto ask = [&](int64_t timeout_ms) {
    return context_.seams.members.Replicate(to.server, message, timeout_ms);
  };
  const Result<void> sent = co_await AskUntilAnswered(context_, place, std::move(ask));
  if (sent) ++context_.counters.equalised;
  co_return sent;
}

}  // namespace ringfs::chunkserver
