#include "tests/chunkserver/simulation/fake_blocks.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "chunkserver/replication/waiting.h"
#include "common/crc32c.h"
#include "common/ring/ring.h"

namespace ringfs::chunkserver::simulation {
namespace {

Failure Gone() { return Fail(Errc::kUnavailable, "this incarnation has crashed"); }

std::string BytesOf(const std::vector<Buffer>& data) {
  std::string bytes;
  for (const Buffer& piece : data) {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return bytes;
}

Buffer ToBuffer(const std::string& bytes) {
  return Buffer::CopyOf(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

void Change(std::string& bytes, const BlockChange& change) {
  const std::string data = BytesOf(change.data);
  switch (change.kind) {
    case ChangeKind::kWrite:
      bytes.resize(std::max(bytes.size(), change.offset + data.size()));
      bytes.replace(change.offset, data.size(), data);
      break;
    case ChangeKind::kZero:
      for (size_t i = change.offset; i < bytes.size() && i < change.offset + change.length; ++i) {
        bytes[i] = 0;
      }
      break;
    case ChangeKind::kTruncate:
      bytes.resize(change.length);
      break;
    case ChangeKind::kReplace:
      bytes = data;
      bytes.resize(change.length);
      break;
  }
}

}  // namespace

Result<void> FakeDisk::Apply(const BlockChange& change) {
  Block& block = blocks_[change.key];
  const State& now = block.states.back();
  if (change.expected && *change.expected != now.version) return Fail(Errc::kVersionMismatch);
  const bool replaces = change.kind == ChangeKind::kReplace;
  if (!replaces && change.version <= now.version) return Fail(Errc::kVersionMismatch);
  if (block.rotten && !replaces) return Fail(Errc::kCorrupted, "rotten");
  State next = now;
  next.present = true;
  next.version = change.version;
  next.tags = change.copied_tags;
  next.replaces = replaces;
  Change(next.bytes, change);
  if (change.tag) next.tags.push_back(TagRecord{*change.tag, change.version});
  KeepTags(change.key, next, tags_);
  block.states.push_back(std::move(next));
  if (replaces) block.rotten = false;
  return {};
}

void FakeDisk::KeepTags(const BlockKey& key, const State& state,
                        std::map<TagKey, LastWrite>& into) const {
  if (state.replaces) {
    std::erase_if(into, [&](const auto& entry) { return entry.second.key == key; });
  }
  for (const TagRecord& record : state.tags) {
    LastWrite& last = into[TagKey{record.tag.session, record.tag.channel}];
    if (last.sequence > record.tag.sequence) continue;
    last = LastWrite{record.tag.sequence, key, record.version};
  }
}

std::vector<TagRecord> FakeDisk::TagsOf(const BlockKey& key) const {
  std::vector<TagRecord> tags;
  for (const auto& [at, last] : tags_) {
    if (last.key != key) continue;
    tags.push_back(TagRecord{WriteTag{at.first, at.second, last.sequence}, last.version});
  }
  return tags;
}

void FakeDisk::Sync(const BlockKey& key) {
  const auto found = blocks_.find(key);
  if (found == blocks_.end()) return;
  std::vector<State>& states = found->second.states;
  for (const State& state : states) KeepTags(key, state, durable_tags_);
  states.erase(states.begin(), states.end() - 1);
  states.front().tags.clear();
  states.front().replaces = false;
}

void FakeDisk::SyncAll() {
  for (const auto& [key, block] : blocks_) Sync(key);
}

Result<FakeDisk::State> FakeDisk::Read(const BlockKey& key) const {
  const auto found = blocks_.find(key);
  if (found == blocks_.end() || !found->second.states.back().present) return Fail(Errc::kNotFound);
  if (found->second.rotten) return Fail(Errc::kCorrupted, "rotten");
  return found->second.states.back();
}

std::optional<BlockInfo> FakeDisk::Info(const BlockKey& key) const {
  const auto found = blocks_.find(key);
  if (found == blocks_.end() || !found->second.states.back().present) return std::nullopt;
  const State& state = found->second.states.back();
  return BlockInfo{key, state.version, static_cast<uint32_t>(state.bytes.size()),
                   std::hash<std::string>()(state.bytes)};
}

std::vector<BlockInfo> FakeDisk::List(PoolId pool, BucketId bucket, std::optional<BlockKey> after,
                                      size_t limit) const {
  std::vector<BlockInfo> list;
  for (const auto& [key, block] : blocks_) {
    const auto info = Info(key);
    if (!info || key.pool != pool || BucketOf(key.data, key.index, bucket_bits_) != bucket)
      continue;
    if (after && key <= *after) continue;
    if (list.size() < limit) list.push_back(*info);
  }
  return list;
}

std::vector<BucketUsage> FakeDisk::Buckets() const {
  std::map<std::pair<PoolId, BucketId>, uint64_t> counts;
  for (const auto& [key, block] : blocks_) {
    if (!block.states.back().present) continue;
    ++counts[{key.pool, BucketOf(key.data, key.index, bucket_bits_)}];
  }
  std::vector<BucketUsage> buckets;
  for (const auto& [at, count] : counts) buckets.push_back({at.first, at.second, count});
  return buckets;
}

bool FakeDisk::AnyRotten() const {
  return std::any_of(blocks_.begin(), blocks_.end(), [](const auto& entry) {
    return entry.second.rotten && entry.second.states.back().present;
  });
}

void FakeDisk::Remove(const BlockKey& key) {
  Sync(key);
  blocks_.erase(key);
}

void FakeDisk::RemoveData(PoolId pool, DataId data, uint32_t from) {
  std::vector<BlockKey> keys;
  for (const auto& [key, block] : blocks_) {
    if (key.pool == pool && key.data == data && key.index >= from) keys.push_back(key);
  }
  for (const BlockKey& key : keys) Remove(key);
}

std::optional<LastWrite> FakeDisk::LastTag(SessionId session, uint32_t channel) const {
  const auto found = tags_.find(TagKey{session, channel});
  if (found == tags_.end()) return std::nullopt;
  return found->second;
}

void FakeDisk::Crash(World& world) {
  for (auto& [key, block] : blocks_) {
    const auto last = static_cast<int64_t>(block.states.size()) - 1;
    const auto kept = static_cast<size_t>(world.Pick(0, last));
    block.states.erase(block.states.begin() + static_cast<std::ptrdiff_t>(kept) + 1,
                       block.states.end());
    Sync(key);
  }
  tags_ = durable_tags_;
}

bool FakeDisk::Rot(const BlockKey& key) {
  const auto found = blocks_.find(key);
  if (found == blocks_.end() || !found->second.states.back().present) return false;
  found->second.rotten = true;
  return true;
}

asio::awaitable<void> FakeBlocks::Work() {
  if (world_.Chance(0.5)) co_await Pause(world_, world_.Pick(0, 3));
}

asio::awaitable<void> FakeBlocks::Flush() { co_await Pause(world_, world_.Pick(0, 5)); }

asio::awaitable<Result<void>> FakeBlocks::Apply(BlockChange change, bool sync) {
  co_await Work();
  if (detached_) co_return Gone();
  const std::string data = BytesOf(change.data);
  if (Crc32cUnits(std::as_bytes(std::span(data.data(), data.size()))) != change.checksums) {
    co_return Fail(Errc::kCorrupted, "checksums");
  }
  const Result<void> applied = disk_.Apply(change);
  if (!applied || !sync) co_return applied;
  co_await Flush();
  if (detached_) co_return Gone();
  disk_.Sync(change.key);
  co_return Result<void>();
}

asio::awaitable<Result<BlockData>> FakeBlocks::Read(BlockKey key, uint32_t offset,
                                                    uint32_t length) {
  co_await Work();
  if (detached_) co_return Gone();
  const Result<FakeDisk::State> state = disk_.Read(key);
  if (!state) co_return Fail(state.error());
  BlockData data;
  data.version = state->version;
  data.length = static_cast<uint32_t>(state->bytes.size());
  if (offset < state->bytes.size()) data.data = ToBuffer(state->bytes.substr(offset, length));
  co_return data;
}

asio::awaitable<Result<BlockCopy>> FakeBlocks::ReadCopy(BlockKey key) {
  co_await Work();
  if (detached_) co_return Gone();
  const Result<FakeDisk::State> state = disk_.Read(key);
  if (!state) co_return Fail(state.error());
  BlockCopy copy;
  copy.version = state->version;
  copy.data = ToBuffer(state->bytes);
  copy.checksums = Crc32cUnits(copy.data.bytes());
  copy.tags = disk_.TagsOf(key);
  co_return copy;
}

asio::awaitable<Result<BlockInfo>> FakeBlocks::Stat(BlockKey key) {
  co_await Work();
  if (detached_) co_return Gone();
  const auto info = disk_.Info(key);
  if (!info) co_return Fail(Errc::kNotFound);
  co_return *info;
}

asio::awaitable<Result<std::vector<BlockInfo>>> FakeBlocks::List(PoolId pool, BucketId bucket,
                                                                 std::optional<BlockKey> after,
                                                                 uint32_t limit) {
  co_await Work();
  if (detached_) co_return Gone();
  co_return disk_.List(pool, bucket, after, limit);
}

asio::awaitable<Result<BlockCheck>> FakeBlocks::Verify(BlockKey key) {
  co_await Work();
  if (detached_) co_return Gone();
  const auto info = disk_.Info(key);
  if (!info) co_return Fail(Errc::kNotFound);
  BlockCheck check{info->version, info->length, {}};
  if (!disk_.Read(key)) check.bad_units.push_back(0);
  co_return check;
}

asio::awaitable<Result<void>> FakeBlocks::Sync(std::vector<BlockKey> keys) {
  co_await Flush();
  if (detached_) co_return Gone();
  for (const BlockKey& key : keys) disk_.Sync(key);
  co_return Result<void>();
}

asio::awaitable<Result<void>> FakeBlocks::Remove(BlockKey key) {
  co_await Work();
  if (detached_) co_return Gone();
  disk_.Remove(key);
  co_return Result<void>();
}

asio::awaitable<Result<void>> FakeBlocks::RemoveData(PoolId pool, DataId data, uint32_t from) {
  co_await Work();
  if (detached_) co_return Gone();
  disk_.RemoveData(pool, data, from);
  co_return Result<void>();
}

std::optional<LastWrite> FakeBlocks::LastTag(SessionId session, uint32_t channel) {
  return disk_.LastTag(session, channel);
}

}  // namespace ringfs::chunkserver::simulation
