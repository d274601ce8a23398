#include "chunkserver/replication/activation.h"

#include <algorithm>
#include <utility>

#include "common/async.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr int64_t kAttemptMs = 10'000;
constexpr int64_t kMaxActivationPauseMs = 250;

bool AllEqual(const std::vector<Holding>& holdings) {
  const auto differs = [&](const Holding& holding) {
    return holding.info != holdings.front().info;
  };
  return std::none_of(holdings.begin(), holdings.end(), differs);
}

}  // namespace

asio::awaitable<Result<void>> Activation::Ready(BucketKey bucket, uint64_t bucket_version,
                                                int64_t deadline_ms) {
  if (context_.map.Find(bucket).version < bucket_version) {
    const Result<void> refreshed = co_await context_.seams.master.RefreshMap();
    if (!refreshed) co_return Fail(Errc::kUnavailable, refreshed.error().detail);
  }
  BucketState& state = context_.states.At(bucket);
  for (;;) {
    Result<void> head = context_.CheckHead(bucket, bucket_version);
    if (!head || state.active_version == bucket_version) co_return head;
    if (context_.Now() >= deadline_ms) {
      co_return Fail(Errc::kTimedOut, "the bucket's members are not all there");
    }
    if (!state.activating) {
      state.activating = true;
      Spawn(context_.seams.executor, Run(bucket, bucket_version), "activation of a bucket");
    }
    co_await state.changed().Wait();
  }
}

asio::awaitable<void> Activation::Run(BucketKey bucket, uint64_t bucket_version) {
  BucketState& state = context_.states.At(bucket);
  int64_t pause_ms = 10;
  while (context_.Current(bucket, bucket_version) && state.seen() <= bucket_version) {
    const Place place{bucket, bucket_version, context_.Now() + kAttemptMs};
    const Result<void> done = co_await Attempt(place);
    if (done) {
      if (context_.Current(bucket, bucket_version)) state.active_version = bucket_version;
      ++context_.counters.activations;
      break;
    }
    spdlog::debug("bucket {} version {} cannot be served yet: {}", Raw(bucket.bucket),
                  bucket_version, done.error().ToString());
    state.changed().NotifyAll();  // those who wait look at their deadlines
    co_await Pause(context_.seams.timers, pause_ms);
    pause_ms = std::min(pause_ms * 2, kMaxActivationPauseMs);
  }
  state.activating = false;
  state.changed().NotifyAll();
}

asio::awaitable<Result<void>> Activation::Attempt(Place place) {
  context_.states.At(place.bucket).See(place.version);
  Result<void> warned = co_await WarnFormer(place);
  if (!warned) co_return warned;
  Comparison comparison;
  Result<void> gathered = co_await Gather(place, comparison);
  if (!gathered) co_return gathered;
  co_return co_await MakeEqual(place, std::move(comparison));
}

// A server that served in an earlier version and does not know of this one could answer reads from
// what it has. It is told, or it is given the time after which it stops by itself.
asio::awaitable<Result<void>> Activation::WarnFormer(Place place) {
  const Bucket bucket = context_.map.Find(place.bucket);
  const int64_t serving_ms = context_.lease.serving_ms();
  if (bucket.past_unknown_ms && context_.Now() < *bucket.past_unknown_ms + serving_ms) {
    co_return Fail(Errc::kUnavailable, "servers that are not known may still serve it");
  }
  for (const ServerId server : bucket.former) {
    if (server == context_.self || context_.Now() >= bucket.since_ms + serving_ms) continue;
    Listing notice;
    notice.from = context_.self;
    notice.pool = place.bucket.pool;
    notice.bucket = place.bucket.bucket;
    notice.bucket_version = place.version;
    const auto told = co_await context_.seams.members.List(server, notice, serving_ms);
    if (!told) co_return Fail(Errc::kUnavailable, "a server that held it does not answer");
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> Activation::Gather(Place place, Comparison& comparison) {
  std::vector<ServerId> servers = context_.map.Find(place.bucket).Serving();
  std::vector<std::vector<BlockInfo>> lists(servers.size());
  for (size_t i = 0; i < servers.size(); ++i) {
    if (servers[i] == context_.self) continue;
    auto list = co_await AskForList(context_, place, servers[i], false);
    if (!list) co_return Fail(list.error());
    lists[i] = std::move(*list);
  }
  co_await context_.states.At(place.bucket).OlderChangesEnd(place.version);
  for (size_t i = 0; i < servers.size(); ++i) {
    if (servers[i] != context_.self) continue;
    auto list = co_await OwnList(context_, place.bucket);
    if (!list) co_return Fail(list.error());
    lists[i] = std::move(*list);
  }
  for (size_t i = 0; i < servers.size(); ++i) {
    for (const BlockInfo& info : lists[i]) {
      std::vector<Holding>& holdings = comparison[info.key];
      holdings.resize(servers.size());
      holdings[i].info = info;
    }
  }
  for (auto& [key, holdings] : comparison) {
    for (size_t i = 0; i < servers.size(); ++i) holdings[i].server = servers[i];
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> Activation::MakeEqual(Place place, Comparison comparison) {
  const BlockVersion nothing_attempted;
  for (auto& [key, holdings] : comparison) {
    if (AllEqual(holdings) || Dropped(place, key, holdings)) continue;
    const Result<void> made =
        co_await equaliser_.MakeEqual(place, key, holdings, nothing_attempted);
    if (made) continue;
    if (made.code() != Errc::kCorrupted && made.code() != Errc::kNoSpace) co_return made;
    spdlog::error("block {}: the newest version cannot be copied to all members: {}", Describe(key),
                  made.error().ToString());
    doubtful_(place, key);
  }
  co_return Result<void>();
}

bool Activation::Dropped(const Place& place, const BlockKey& key,
                         const std::vector<Holding>& holdings) const {
  if (!drops_.Covers(key, context_.Now())) return false;
  for (const Holding& holding : holdings) {
    if (holding.server == context_.self && holding.info) return false;
    if (holding.version().bucket_version >= place.version) return false;
  }
  return true;
}

}  // namespace ringfs::chunkserver
