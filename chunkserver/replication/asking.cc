#include "chunkserver/replication/asking.h"

#include <limits>
#include <utility>

namespace ringfs::chunkserver {
namespace {

constexpr uint32_t kPage = 1024;

// The key that comes right before `key`, for a list that is to begin with it.
std::optional<BlockKey> Before(BlockKey key) {
  if (key.index > 0) return BlockKey{key.pool, key.data, key.index - 1};
  if (Raw(key.data) == 0) return std::nullopt;
  return BlockKey{key.pool, DataId{Raw(key.data) - 1}, std::numeric_limits<uint32_t>::max()};
}

Listing ListingFrom(const Context& context, const Place& place) {
  Listing listing;
  listing.from = context.self;
  listing.pool = place.bucket.pool;
  listing.bucket = place.bucket.bucket;
  listing.bucket_version = place.version;
  return listing;
}

}  // namespace

bool NoAnswer(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kTimedOut || code == Errc::kNotServing ||
         code == Errc::kCancelled || code == Errc::kNotHead;
}

asio::awaitable<Result<std::optional<BlockInfo>>> AskForBlock(Context& context, Place place,
                                                              ServerId server, BlockKey key) {
  Listing listing = ListingFrom(context, place);
  listing.after = Before(key);
  listing.limit = 1;
  auto ask = [&](int64_t timeout_ms) {
    return context.seams.members.List(server, listing, timeout_ms);
  };
  const Result<BlockPage> page = co_await AskUntilAnswered(context, place, std::move(ask));
  if (!page) co_return Fail(page.error());
  std::optional<BlockInfo> info;
  if (!page->blocks.empty() && page->blocks.front().key == key) info = page->blocks.front();
  co_return info;
}

asio::awaitable<Result<std::vector<BlockInfo>>> AskForList(Context& context, Place place,
                                                           ServerId server, bool compulsory) {
  std::vector<BlockInfo> all;
  Listing listing = ListingFrom(context, place);
  listing.limit = kPage;
  listing.compulsory = compulsory;
  for (;;) {
    auto ask = [&](int64_t timeout_ms) {
      return context.seams.members.List(server, listing, timeout_ms);
    };
    Result<BlockPage> page = co_await AskUntilAnswered(context, place, std::move(ask));
    if (!page) co_return Fail(page.error());
    all.insert(all.end(), page->blocks.begin(), page->blocks.end());
    if (page->end || page->blocks.empty()) co_return all;
    listing.after = all.back().key;
  }
}

asio::awaitable<Result<std::vector<BlockInfo>>> OwnList(Context& context, BucketKey bucket) {
  std::vector<BlockInfo> all;
  std::optional<BlockKey> after;
  for (;;) {
    auto page = co_await context.seams.blocks.List(bucket.pool, bucket.bucket, after, kPage);
    if (!page) co_return Fail(page.error());
    all.insert(all.end(), page->begin(), page->end());
    if (page->size() < kPage) co_return all;
    after = all.back().key;
  }
}

asio::awaitable<Result<std::optional<BlockInfo>>> OwnBlock(Context& context, BlockKey key) {
  Result<BlockInfo> info = co_await context.seams.blocks.Stat(key);
  if (!info && info.code() == Errc::kNotFound) co_return std::optional<BlockInfo>();
  if (!info) co_return Fail(info.error());
  co_return std::optional<BlockInfo>(*info);
}

}  // namespace ringfs::chunkserver
