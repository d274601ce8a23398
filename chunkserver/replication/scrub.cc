#include "chunkserver/replication/scrub.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "chunkserver/replication/asking.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr int64_t kPassEveryMs = 3'600'000;
constexpr int64_t kFirstAfterMs = 60'000;
// Under a load that never ends the reading goes on, slowly.
constexpr int64_t kMakeWayMs = 200;
constexpr int64_t kRepairMs = 30'000;
constexpr uint32_t kListed = 256;
constexpr size_t kEndedKept = 8;
constexpr size_t kUnrepairedKept = 100'000;
constexpr int kTries = 3;
constexpr int kRepairTries = 10;
constexpr int64_t kRepairAgainMs = 500;

// Who serves the bucket is being decided, or somebody is away for a moment.
bool MayPass(Errc code) {
  return code == Errc::kNotServing || code == Errc::kNotHead || code == Errc::kStaleEpoch ||
         code == Errc::kUnavailable || code == Errc::kTimedOut;
}

}  // namespace

void Scrub::Order(uint64_t order) {
  const bool known = std::any_of(ended_.begin(), ended_.end(),
                                 [&](const ScrubPass& pass) { return pass.order == order; });
  if (order == 0 || known || ordered_ != 0) return;
  ordered_ = order;
  wake_.NotifyAll();
}

Scrub::Report Scrub::report() const {
  Report report;
  report.running = running_;
  report.now = pass_;
  report.now.took_ms = context_.Now() - pass_.began_ms;
  report.ended = ended_;
  report.bad = context_.counters.bad;
  report.repaired = context_.counters.repaired;
  return report;
}

asio::awaitable<void> Scrub::Run(uint64_t bytes_per_s) {
  int64_t next_ms = context_.Now() + kFirstAfterMs;
  while (!context_.stopped) {
    const bool due = bytes_per_s > 0 && context_.Now() >= next_ms;
    if (ordered_ == 0 && !due) {
      const int64_t wait_ms = bytes_per_s > 0 ? next_ms - context_.Now() : kPassEveryMs;
      co_await wake_.WaitFor(wait_ms);
      continue;
    }
    if (due) next_ms = context_.Now() + kPassEveryMs;
    pass_ = ScrubPass{};
    pass_.order = ordered_;
    co_await Pass(ordered_ == 0 ? bytes_per_s : 0);
  }
}

asio::awaitable<void> Scrub::Pass(uint64_t bytes_per_s) {
  running_ = true;
  pass_.began_ms = context_.Now();
  const std::vector<BucketUsage> buckets = context_.seams.blocks.Buckets();
  for (const BucketUsage& bucket : buckets) pass_.blocks_held += bucket.blocks;
  for (const BucketUsage& bucket : buckets) {
    const BucketKey key{bucket.pool, bucket.bucket};
    co_await ReadBucket(key, bytes_per_s);
  }
  running_ = false;
  if (Cut()) co_return;
  pass_.took_ms = context_.Now() - pass_.began_ms;
  ended_.push_back(pass_);
  if (ended_.size() > kEndedKept) ended_.pop_front();
  ordered_ = 0;
  if (pass_.bad > 0 || pass_.order != 0) {
    spdlog::info("{} blocks verified: {} were not whole, {} of them are repaired", pass_.blocks,
                 pass_.bad, pass_.repaired);
  }
}

asio::awaitable<void> Scrub::ReadBucket(BucketKey bucket, uint64_t bytes_per_s) {
  std::optional<BlockKey> after;
  while (!Cut()) {
    const auto page =
        co_await context_.seams.blocks.List(bucket.pool, bucket.bucket, after, kListed);
    if (!page) {
      spdlog::error("bucket {} cannot be verified: {}", Raw(bucket.bucket),
                    page.error().ToString());
      co_return;
    }
    for (const BlockInfo& info : *page) {
      co_await context_.foreground.MakeWay(kMakeWayMs);
      if (Cut()) co_return;
      co_await ReadBlock(bucket, info.key);
      co_await KeepPace(bytes_per_s);
    }
    if (page->size() < kListed) co_return;
    after = page->back().key;
  }
}

asio::awaitable<void> Scrub::KeepPace(uint64_t bytes_per_s) {
  if (bytes_per_s == 0) co_return;
  const int64_t due_ms =
      pass_.began_ms + static_cast<int64_t>(pass_.bytes * 1000 / bytes_per_s);
  while (!Cut() && context_.Now() < due_ms) co_await wake_.WaitFor(due_ms - context_.Now());
}

asio::awaitable<void> Scrub::ReadBlock(BucketKey bucket, BlockKey key) {
  const Result<BlockCheck> check = co_await context_.seams.blocks.Verify(key);
  if (!check && check.code() == Errc::kNotFound) co_return;
  // A store that is out has been told of already.
  if (!check && check.code() != Errc::kCorrupted) co_return;
  ++pass_.blocks;
  if (check) pass_.bytes += check->length;
  if (check && check->bad_units.empty()) {
    unrepaired_.erase(key);
    co_return;
  }
  ++pass_.bad;
  // The head counts when it repairs.
  if (context_.map.Find(bucket).head() != context_.self) ++context_.counters.bad;
  Result<void> repaired = co_await Repair(bucket, key);
  for (int i = 1; i < kRepairTries && !repaired && MayPass(repaired.code()) && !Cut(); ++i) {
    co_await wake_.WaitFor(kRepairAgainMs);
    repaired = co_await Repair(bucket, key);
  }
  if (repaired) {
    ++pass_.repaired;
    unrepaired_.erase(key);
    co_return;
  }
  if (unrepaired_.size() < kUnrepairedKept) unrepaired_.insert(key);
  spdlog::error("block {}: is not whole here and cannot be repaired now: {}", Describe(key),
                repaired.error().ToString());
}

asio::awaitable<Result<void>> Scrub::Repair(BucketKey bucket, BlockKey key) {
  const Bucket& members = context_.map.Find(bucket);
  if (members.head() == context_.self) {
    const int64_t deadline_ms = context_.Now() + kRepairMs;
    co_return co_await head_.Repair(key, members.version, deadline_ms);
  }
  Result<void> taken = Fail(Errc::kCorrupted, "no other member serves");
  for (const ServerId server : members.Serving()) {
    if (server == context_.self) continue;
    taken = co_await TakeFrom(bucket, server, key);
    if (taken || taken.code() == Errc::kNotFound) break;
  }
  co_return taken;
}

// The copy of `server` in the place of the one here, if it has the version that is here. Changes of
// the block may go on: those that come between are seen by the version.
asio::awaitable<Result<void>> Scrub::TakeFrom(BucketKey bucket, ServerId server, BlockKey key) {
  const Place place{bucket, context_.map.Find(bucket).version, context_.Now() + kRepairMs};
  auto ask = [&](int64_t timeout_ms) {
    return context_.seams.members.Fetch(server, key, timeout_ms);
  };
  Result<void> taken = Fail(Errc::kVersionMismatch, "the block is being changed");
  for (int i = 0; i < kTries && !taken; ++i) {
    const Result<BlockCopy> copy = co_await AskUntilAnswered(context_, place, ask);
    if (!copy) co_return Fail(copy.error());
    const auto own = co_await OwnBlock(context_, key);
    if (!own) co_return Fail(own.error());
    if (!*own) co_return Fail(Errc::kNotFound, "the block is gone");
    if ((*own)->version != copy->version) continue;
    const BucketState::Change change(context_.states.At(bucket), place.version);
    if (!context_.Current(bucket, place.version)) co_return StaleEpoch(context_, bucket);
    BlockChange replacement = ReplaceWith(key, *copy, copy->version);
    taken = co_await context_.seams.blocks.Apply(std::move(replacement), true);
    if (!taken && taken.code() != Errc::kVersionMismatch) co_return taken;
  }
  if (!taken) co_return taken;
  ++context_.counters.repaired;
  spdlog::warn("block {}: was not whole here, repaired from server {}", Describe(key),
               Raw(server));
  co_return taken;
}

}  // namespace ringfs::chunkserver
