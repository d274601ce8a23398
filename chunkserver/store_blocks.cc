#include "chunkserver/store_blocks.h"

#include <algorithm>
#include <string>
#include <utility>

#include "chunkserver/wire.h"
#include "common/async.h"
#include "common/crc32c.h"

namespace ringfs::chunkserver {
namespace {

constexpr size_t kListPage = 1024;
// What the protocol's thread moves itself, when the disk need not be waited for: handing it to
// another thread would take longer.
constexpr size_t kMovedHereBytes = 64 << 10;

size_t SizeOf(const BlockChange& change) {
  return change.data.empty() ? 0 : change.data.front().size();
}

Result<void> CheckData(const BlockChange& change) {
  if (change.data.empty()) return {};
  if (PieceChecksums(change.offset, change.data.front().bytes()) == change.checksums) return {};
  return Fail(Errc::kCorrupted, "the bytes of a change do not match their checksums");
}

Result<void> ApplyTo(StoreSet& stores, const BlockChange& change, Patience patience) {
  Result<void> checked = CheckData(change);
  if (!checked) return checked;
  return stores.Apply(change, patience);
}

Result<BlockData> ReadFrom(StoreSet& stores, const BlockKey& key, uint32_t offset, uint32_t length,
                           Patience patience) {
  Result<BlockData> data = stores.Read(key, offset, length, patience);
  if (!data) return data;
  if (Crc32cUnits(data->data.bytes()) == data->checksums) return data;
  return Fail(Errc::kCorrupted, "the bytes on the disk do not match their checksums");
}

Result<BlockCopy> CopyFrom(StoreSet& stores, const BlockKey& key) {
  Result<BlockData> data = ReadFrom(stores, key, 0, kMaxBlockSize, Patience::kWait);
  if (!data) return Fail(data.error());
  BlockCopy copy;
  copy.version = data->version;
  copy.data = std::move(data->data);
  copy.checksums = std::move(data->checksums);
  copy.tags = stores.TagsOf(key);
  return copy;
}

Result<void> RemoveDurably(StoreSet& stores, PoolId pool, DataId data, uint32_t from) {
  std::vector<BlockKey> keys;
  for (uint32_t next = from;;) {
    const auto page = stores.ListData(pool, data, next, kListPage);
    if (!page) return Fail(page.error());
    for (const BlockInfo& info : *page) keys.push_back(info.key);
    if (page->size() < kListPage) break;
    next = page->back().key.index + 1;
  }
  if (keys.empty()) return {};
  Result<void> removed = stores.RemoveData(pool, data, from);
  if (!removed) return removed;
  return stores.Sync(keys);
}

}  // namespace

asio::awaitable<Result<void>> StoreBlocks::Apply(BlockChange change, bool sync) {
  if (SizeOf(change) <= kMovedHereBytes) {
    Result<void> applied = ApplyTo(stores_, change, Patience::kNow);
    const bool made = applied && !sync;
    if (made || (!applied && applied.code() != Errc::kWouldBlock)) co_return applied;
    if (applied) {
      auto job = [&] { return stores_.Sync(std::span(&change.key, 1)); };
      co_return co_await RunOn(pool_, std::move(job));
    }
  }
  auto job = [&]() -> Result<void> {
    Result<void> applied = ApplyTo(stores_, change, Patience::kWait);
    if (!applied || !sync) return applied;
    return stores_.Sync(std::span(&change.key, 1));
  };
  co_return co_await RunOn(pool_, std::move(job));
}

asio::awaitable<Result<BlockData>> StoreBlocks::Read(BlockKey key, uint32_t offset,
                                                     uint32_t length) {
  if (length <= kMovedHereBytes) {
    Result<BlockData> data = ReadFrom(stores_, key, offset, length, Patience::kNow);
    if (data || data.code() != Errc::kWouldBlock) co_return Counted(std::move(data));
  }
  auto job = [&] { return ReadFrom(stores_, key, offset, length, Patience::kWait); };
  Result<BlockData> read = co_await RunOn(pool_, std::move(job));
  co_return Counted(std::move(read));
}

asio::awaitable<Result<BlockCopy>> StoreBlocks::ReadCopy(BlockKey key) {
  auto job = [&] { return CopyFrom(stores_, key); };
  Result<BlockCopy> copy = co_await RunOn(pool_, std::move(job));
  co_return Counted(std::move(copy));
}

asio::awaitable<Result<BlockInfo>> StoreBlocks::Stat(BlockKey key) {
  Result<BlockInfo> info = stores_.Stat(key, Patience::kNow);
  if (info || info.code() != Errc::kWouldBlock) co_return info;
  auto job = [&] { return stores_.Stat(key); };
  co_return co_await RunOn(pool_, std::move(job));
}

asio::awaitable<Result<std::vector<BlockInfo>>> StoreBlocks::List(PoolId pool, BucketId bucket,
                                                                  std::optional<BlockKey> after,
                                                                  uint32_t limit) {
  auto job = [&] { return stores_.List(pool, bucket, after, limit); };
  co_return co_await RunOn(pool_, std::move(job));
}

asio::awaitable<Result<BlockCheck>> StoreBlocks::Verify(BlockKey key) {
  auto job = [&] { return stores_.Verify(key); };
  co_return co_await RunOn(pool_, std::move(job));
}

asio::awaitable<Result<void>> StoreBlocks::Sync(std::vector<BlockKey> keys) {
  auto job = [&] { return stores_.Sync(keys); };
  co_return co_await RunOn(pool_, std::move(job));
}

asio::awaitable<Result<void>> StoreBlocks::Remove(BlockKey key) {
  auto job = [&]() -> Result<void> {
    Result<void> removed = stores_.Remove(key);
    if (!removed) return removed;
    return stores_.Sync(std::span(&key, 1));
  };
  co_return co_await RunOn(pool_, std::move(job));
}

asio::awaitable<Result<void>> StoreBlocks::RemoveData(PoolId pool, DataId data, uint32_t from) {
  auto job = [&] { return RemoveDurably(stores_, pool, data, from); };
  co_return co_await RunOn(pool_, std::move(job));
}

std::optional<LastWrite> StoreBlocks::LastTag(SessionId session, uint32_t channel) {
  return stores_.LastTag(session, channel);
}

bool StoreBlocks::MayMiss(PoolId pool, BucketId bucket) {
  return stores_out_ > 0 && stores_.MayMiss(pool, bucket);
}

asio::awaitable<Result<void>> StoreBlocks::SyncAll() {
  auto job = [&] { return stores_.SyncAll(); };
  co_return co_await RunOn(pool_, std::move(job));
}

asio::awaitable<Result<void>> StoreBlocks::DropTags(SessionId session) {
  auto job = [&] { return stores_.DropTags(session); };
  co_return co_await RunOn(pool_, std::move(job));
}

size_t StoreBlocks::LookForFailures() {
  size_t out = 0;
  for (const StoreSet::Status& status : stores_.Statuses()) out += status.error ? 1 : 0;
  const size_t before = std::exchange(stores_out_, out);
  return out > before ? out - before : 0;
}

}  // namespace ringfs::chunkserver
