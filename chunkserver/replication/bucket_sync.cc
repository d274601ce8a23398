#include "chunkserver/replication/bucket_sync.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "chunkserver/replication/equaliser.h"
#include "common/async.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr int64_t kPassMs = 60'000;
constexpr int64_t kMaxSyncPauseMs = 500;

}  // namespace

void BucketSync::Look(const std::vector<BucketKey>& buckets) {
  for (const BucketKey& bucket : buckets) {
    if (context_.map.Find(bucket).StateOf(context_.self) != MemberState::kSyncing) continue;
    waiting_.push_back(bucket);
  }
  StartMore();
}

void BucketSync::StartMore() {
  while (running_ < kAtOnce && !waiting_.empty()) {
    const BucketKey bucket = waiting_.front();
    waiting_.pop_front();
    const uint64_t version = context_.map.Find(bucket).version;
    BucketState& state = context_.states.At(bucket);
    if (!Wanted(bucket, version) || state.copying_version == version) continue;
    state.copying_version = version;
    ++running_;
    Spawn(context_.seams.executor, Run(bucket, version), "copying of a bucket");
  }
}

bool BucketSync::Wanted(BucketKey bucket, uint64_t bucket_version) const {
  return context_.Current(bucket, bucket_version) &&
         context_.map.Find(bucket).StateOf(context_.self) == MemberState::kSyncing;
}

asio::awaitable<void> BucketSync::Run(BucketKey bucket, uint64_t bucket_version) {
  co_await CatchUp(bucket, bucket_version);
  --running_;
  StartMore();
}

asio::awaitable<void> BucketSync::CatchUp(BucketKey bucket, uint64_t bucket_version) {
  bool compulsory = false;
  int64_t pause_ms = 10;
  while (Wanted(bucket, bucket_version)) {
    const Place place{bucket, bucket_version, context_.Now() + kPassMs};
    const Result<size_t> differed = co_await Compare(place, compulsory);
    if (differed && *differed == 0 && !compulsory) {
      compulsory = true;
      continue;
    }
    if (differed && *differed == 0) {
      // What came as changes meanwhile was synced one by one, and so were the copies.
      const Result<void> reported =
          co_await context_.seams.master.ReportSynced(bucket.pool, bucket.bucket, bucket_version);
      if (reported) co_return;
      spdlog::debug("bucket {} is in sync, but the master does not hear it: {}", Raw(bucket.bucket),
                    reported.error().ToString());
    } else if (!differed) {
      spdlog::debug("bucket {} cannot be copied yet: {}", Raw(bucket.bucket),
                    differed.error().ToString());
    } else {
      pause_ms = 10;
    }
    co_await Pause(context_.seams.timers, pause_ms);
    pause_ms = std::min(pause_ms * 2, kMaxSyncPauseMs);
  }
}

asio::awaitable<Result<size_t>> BucketSync::Compare(Place place, bool compulsory) {
  if (context_.seams.blocks.MayMiss(place.bucket.pool, place.bucket.bucket)) {
    co_return Fail(Errc::kNotServing, "a data directory that may hold blocks of it is out");
  }
  const ServerId head = context_.map.Find(place.bucket).head();
  if (head == ServerId{0}) co_return Fail(Errc::kUnavailable, "no member serves");
  const auto theirs = co_await AskForList(context_, place, head, compulsory);
  if (!theirs) co_return Fail(theirs.error());
  const auto own = co_await OwnList(context_, place.bucket);
  if (!own) co_return Fail(own.error());
  co_return co_await CopyMissing(place, head, *theirs, *own);
}

asio::awaitable<Result<size_t>> BucketSync::CopyMissing(Place place, ServerId head,
                                                        const std::vector<BlockInfo>& theirs,
                                                        const std::vector<BlockInfo>& own) {
  size_t differed = 0;
  std::unordered_map<BlockKey, BlockInfo> left;
  for (const BlockInfo& info : own) left.emplace(info.key, info);
  for (const BlockInfo& info : theirs) {
    const auto found = left.find(info.key);
    BlockVersion own_version;
    if (found != left.end()) {
      const BlockInfo mine = found->second;
      left.erase(found);
      own_version = mine.version;
      if (mine == info) continue;
      // Changes of this bucket version went on while the lists were made.
      if (mine.version.bucket_version == place.version && info.version < mine.version) continue;
    }
    ++differed;
    const Result<void> copied = co_await CopyBlock(place, head, info.key, own_version);
    if (!copied) co_return Fail(copied.error());
  }
  for (const auto& [key, mine] : left) {
    if (mine.version.bucket_version >= place.version) continue;
    ++differed;
    const Result<void> removed = co_await context_.seams.blocks.Remove(key);
    if (!removed) co_return Fail(removed.error());
  }
  co_return differed;
}

asio::awaitable<Result<void>> BucketSync::CopyBlock(Place place, ServerId head, BlockKey key,
                                                    BlockVersion own) {
  auto ask = [&](int64_t timeout_ms) {
    return context_.seams.members.Fetch(head, key, timeout_ms);
  };
  const Result<BlockCopy> copy = co_await AskUntilAnswered(context_, place, std::move(ask));
  if (!copy && copy.code() == Errc::kNotFound) co_return Result<void>();  // the next pass sees it
  if (!copy) co_return Fail(copy.error());
  const BucketState::Change change(context_.states.At(place.bucket), place.version);
  if (!Wanted(place.bucket, place.version)) co_return StaleEpoch(context_, place.bucket);
  BlockChange replacement = ReplaceWith(key, *copy, own);
  const Result<void> applied = co_await context_.seams.blocks.Apply(std::move(replacement), true);
  // A change came first, on the version that was here: the next pass compares again.
  if (!applied && applied.code() == Errc::kVersionMismatch) co_return Result<void>();
  if (applied) ++context_.counters.copied;
  co_return applied;
}

}  // namespace ringfs::chunkserver
