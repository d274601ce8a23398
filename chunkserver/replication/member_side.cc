#include "chunkserver/replication/member_side.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "chunkserver/replication/asking.h"

namespace ringfs::chunkserver {

// Brings the map to `bucket_version` at least, and makes that the oldest that is accepted.
asio::awaitable<Result<void>> MemberSide::LearnVersion(BucketKey bucket, uint64_t bucket_version) {
  if (context_.map.Find(bucket).version < bucket_version) {
    const Result<void> refreshed = co_await context_.seams.master.RefreshMap();
    if (!refreshed) co_return Fail(Errc::kUnavailable, refreshed.error().detail);
  }
  BucketState& state = context_.states.At(bucket);
  const uint64_t known = context_.map.Find(bucket).version;
  if (known < bucket_version) {
    co_return Fail(Errc::kUnavailable, "the master does not know that bucket version yet");
  }
  if (known > bucket_version || state.seen() > bucket_version) {
    co_return StaleEpoch(context_, bucket);
  }
  state.See(bucket_version);
  co_return Result<void>();
}

asio::awaitable<Result<void>> MemberSide::Replicate(Replication message) {
  const auto bucket = context_.map.BucketOfBlock(message.change.key);
  if (!bucket) co_return Fail(Errc::kNotServing, "no such pool");
  const Result<void> learnt = co_await LearnVersion(*bucket, message.bucket_version);
  if (!learnt) co_return learnt;
  const Bucket& members = context_.map.Find(*bucket);
  const auto state = members.StateOf(context_.self);
  const bool member = state == MemberState::kServing || state == MemberState::kSyncing;
  if (!member || members.head() != message.head || message.head == context_.self) {
    co_return Fail(Errc::kNotServing, "not head and member of the bucket");
  }
  const BucketState::Change change(context_.states.At(*bucket), message.bucket_version);
  // The client syncs only serving members; this one may be that before the next sync.
  if (state == MemberState::kSyncing) message.sync = true;
  co_return co_await Apply(std::move(message));
}

asio::awaitable<Result<void>> MemberSide::Apply(Replication message) {
  const BlockKey key = message.change.key;
  const BlockVersion version = message.change.version;
  const Result<void> applied =
      co_await context_.seams.blocks.Apply(std::move(message.change), message.sync);
  if (applied || applied.code() != Errc::kVersionMismatch) co_return applied;
  const auto own = co_await OwnBlock(context_, key);
  if (!own) co_return Fail(own.error());
  if (!*own || (*own)->version != version) co_return applied;
  if (!message.sync) co_return Result<void>();
  std::vector<BlockKey> keys(1, key);
  co_return co_await context_.seams.blocks.Sync(std::move(keys));
}

asio::awaitable<Result<BlockPage>> MemberSide::List(Listing listing, int64_t deadline_ms) {
  const BucketKey bucket{listing.pool, listing.bucket};
  const Result<void> learnt = co_await LearnVersion(bucket, listing.bucket_version);
  if (!learnt) co_return Fail(learnt.error());
  BucketState& state = context_.states.At(bucket);
  co_await state.OlderChangesEnd(listing.bucket_version);
  const Bucket& members = context_.map.Find(bucket);
  if (members.head() == context_.self && members.StateOf(listing.from) == MemberState::kSyncing) {
    const Result<void> ready = co_await head_.Ready(bucket, listing.bucket_version, deadline_ms);
    if (!ready) co_return Fail(ready.error());
    if (listing.compulsory) {
      if (state.compulsory_version != listing.bucket_version) state.compulsory.clear();
      state.compulsory_version = listing.bucket_version;
      state.compulsory.insert(listing.from);
      co_await state.PresentChangesEnd();
    }
  }
  BlockPage page;
  page.end = true;
  if (listing.limit == 0) co_return page;
  const uint32_t limit = std::min<uint32_t>(listing.limit, 4096);
  auto blocks =
      co_await context_.seams.blocks.List(bucket.pool, bucket.bucket, listing.after, limit);
  if (!blocks) co_return Fail(blocks.error());
  page.end = blocks->size() < limit;
  page.blocks = std::move(*blocks);
  co_return page;
}

asio::awaitable<Result<BlockCopy>> MemberSide::Fetch(BlockKey key) {
  const auto bucket = context_.map.BucketOfBlock(key);
  if (!bucket) co_return Fail(Errc::kNotServing, "no such pool");
  if (context_.map.Find(*bucket).head() == context_.self) co_return co_await head_.Copy(key);
  co_return co_await context_.seams.blocks.ReadCopy(key);
}

asio::awaitable<Result<void>> MemberSide::Sync(std::vector<SyncItem> items, int64_t deadline_ms) {
  std::vector<BlockKey> keys;
  for (const SyncItem& item : items) {
    const auto bucket = context_.map.BucketOfBlock(item.key);
    if (!bucket) co_return Fail(Errc::kNotServing, "no such pool");
    if (context_.map.Find(*bucket).version < item.bucket_version) {
      const Result<void> refreshed = co_await context_.seams.master.RefreshMap();
      if (!refreshed) co_return Fail(Errc::kUnavailable, refreshed.error().detail);
    }
    const Result<void> serving = context_.CheckServing(*bucket, item.bucket_version);
    if (!serving) co_return serving;
    if (context_.map.Find(*bucket).head() == context_.self) {
      const Result<void> ready = co_await head_.Ready(*bucket, item.bucket_version, deadline_ms);
      if (!ready) co_return ready;
    }
    keys.push_back(item.key);
  }
  co_return co_await context_.seams.blocks.Sync(std::move(keys));
}

}  // namespace ringfs::chunkserver
