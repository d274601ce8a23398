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

void StoreBlocks::CountOut() {
  stores_out_ = 0;
  for (const StoreSet::Status& status : stores_.Statuses()) stores_out_ += status.error ? 1 : 0;
}

template <typename T>
Result<T> StoreBlocks::Told(Result<T> result) {
  if (result || result.code() != Errc::kIo) return result;
  CountOut();
  if (stores_out_ == 0) return result;
  return Fail(Errc::kNotServing, result.error().detail);
}

asio::awaitable<Result<void>> StoreBlocks::Apply(BlockChange change, bool sync) {
  if (SizeOf(change) <= kMovedHereBytes) {
    Result<void> applied = ApplyTo(stores_, change, Patience::kNow);
    const bool made = applied && !sync;
    if (made || (!applied && applied.code() != Errc::kWouldBlock)) co_return Told(applied);
    if (applied) {
      auto job = [&] { return stores_.Sync(std::span(&change.key, 1)); };
      auto done = co_await RunOn(pool_, std::move(job));
      co_return Told(std::move(done));
    }
  }
  auto job = [&]() -> Result<void> {
    Result<void> applied = ApplyTo(stores_, change, Patience::kWait);
    if (!applied || !sync) return applied;
    return stores_.Sync(std::span(&change.key, 1));
  };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

asio::awaitable<Result<BlockData>> StoreBlocks::Read(BlockKey key, uint32_t offset,
                                                     uint32_t length) {
  if (length <= kMovedHereBytes) {
    Result<BlockData> data = ReadFrom(stores_, key, offset, length, Patience::kNow);
    if (data || data.code() != Errc::kWouldBlock) co_return Told(Counted(std::move(data)));
  }
  auto job = [&] { return ReadFrom(stores_, key, offset, length, Patience::kWait); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(Counted(std::move(done)));
}

asio::awaitable<Result<BlockCopy>> StoreBlocks::ReadCopy(BlockKey key) {
  auto job = [&] { return CopyFrom(stores_, key); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(Counted(std::move(done)));
}

asio::awaitable<Result<BlockInfo>> StoreBlocks::Stat(BlockKey key) {
  Result<BlockInfo> info = stores_.Stat(key, Patience::kNow);
  if (info || info.code() != Errc::kWouldBlock) co_return Told(std::move(info));
  auto job = [&] { return stores_.Stat(key); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

asio::awaitable<Result<std::vector<BlockInfo>>> StoreBlocks::List(PoolId pool, BucketId bucket,
                                                                  std::optional<BlockKey> after,
                                                                  uint32_t limit) {
  auto job = [&] { return stores_.List(pool, bucket, after, limit); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

asio::awaitable<Result<BlockCheck>> StoreBlocks::Verify(BlockKey key) {
  auto job = [&] { return stores_.Verify(key); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

asio::awaitable<Result<void>> StoreBlocks::Sync(std::vector<BlockKey> keys) {
  auto job = [&] { return stores_.Sync(keys); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

asio::awaitable<Result<void>> StoreBlocks::Remove(BlockKey key) {
  auto job = [&]() -> Result<void> {
    Result<void> removed = stores_.Remove(key);
    if (!removed) return removed;
    return stores_.Sync(std::span(&key, 1));
  };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

asio::awaitable<Result<void>> StoreBlocks::RemoveData(PoolId pool, DataId data, uint32_t from) {
  auto job = [&] { return RemoveDurably(stores_, pool, data, from); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

std::optional<LastWrite> StoreBlocks::LastTag(SessionId session, uint32_t channel) {
  return stores_.LastTag(session, channel);
}

bool StoreBlocks::MayMiss(PoolId pool, BucketId bucket) {
  return stores_out_ > 0 && stores_.MayMiss(pool, bucket);
}

asio::awaitable<Result<void>> StoreBlocks::SyncAll() {
  auto job = [&] { return stores_.SyncAll(); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

asio::awaitable<Result<void>> StoreBlocks::DropTags(SessionId session) {
  auto job = [&] { return stores_.DropTags(session); };
  auto done = co_await RunOn(pool_, std::move(job));
  co_return Told(std::move(done));
}

size_t StoreBlocks::LookForFailures() {
  CountOut();
  const size_t before = std::exchange(looked_out_, stores_out_);
  return stores_out_ > before ? stores_out_ - before : 0;
}

}  // namespace ringfs::chunkserver
