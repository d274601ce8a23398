#include <algorithm>
#include <cstring>
#include <utility>

#include "chunkserver/store/store_core.h"
#include "common/crc32c.h"

namespace ringfs::chunkserver {
namespace {

constexpr uint32_t kVerifyBytes = 1 << 20;

// The first unit from `unit` on, before `end`, that does not follow it on the disk.
uint32_t RunEnd(const BlockState& state, uint32_t unit, uint32_t end) {
  uint32_t at = unit + 1;
  while (at < end && state.HasUnit(at) && !state.pending.contains(at) &&
         state.UnitAddress(at) == state.UnitAddress(at - 1) + 1) {
    ++at;
  }
  return at;
}

}  // namespace

Result<void> ChunkStore::Core::Load(BlockEntry& entry, Patience patience) {
  if (entry.state) {
    return {};
  }
  if (Raw(entry.key.data) > highest_data_) {
    entry.state = std::make_shared<BlockState>();
    return {};
  }
  if (patience == Patience::kNow) {
    return Fail(Errc::kWouldBlock);
  }
  Result<std::shared_ptr<BlockState>> state = index_->Load(entry.key);
  if (!state) {
    return IndexFailed(state.error());
  }
  entry.state = std::move(*state);
  return {};
}

Result<std::shared_lock<std::shared_mutex>> ChunkStore::Core::LockForRead(
    const BlockEntryPtr& entry, Patience patience) {
  std::shared_lock shared(entry->lock, std::defer_lock);
  for (;;) {
    if (patience == Patience::kWait) {
      shared.lock();
    } else if (!shared.try_lock()) {
      return Fail(Errc::kWouldBlock);
    }
    if (entry->state) {
      break;
    }
    shared.unlock();
    if (const auto loaded = LockForChange(entry, patience); !loaded) {
      return Fail(loaded.error());
    }
  }
  table_.Settle(entry, checkpointed_);
  if (!entry->state->present) {
    return Fail(Errc::kNotFound, "no such block");
  }
  return shared;
}

Result<BlockData> ChunkStore::Core::Read(const BlockKey& key, uint32_t offset, uint32_t length,
                                         Patience patience) {
  if (offset % kChecksumUnit != 0 || length % kChecksumUnit != 0) {
    return Fail(Errc::kInvalid, "a read that is not of whole units");
  }
  if (Result<void> health = CheckHealth(); !health) {
    return Fail(health.error());
  }
  const BlockEntryPtr entry = table_.Get(key);
  const Result<std::shared_lock<std::shared_mutex>> lock = LockForRead(entry, patience);
  if (!lock) {
    return Fail(lock.error());
  }
  const BlockState& state = *entry->state;
  BlockData data{state.version, state.length, {}, {}};
  if (offset < state.length && length > 0) {
    const uint32_t size = std::min(length, state.length - offset);
    data.data = Buffer::Allocate(size);
    if (Result<void> read = ReadRange(state, offset, data.data.bytes(), patience); !read) {
      return Fail(read.error());
    }
    const uint32_t first = offset / kChecksumUnit;
    data.checksums.reserve(UnitCount(size));
    for (uint32_t unit = first; unit < first + UnitCount(size); ++unit) {
      data.checksums.push_back(state.Checksum(unit));
    }
  }
  return data;
}

Result<void> ChunkStore::Core::ReadRange(const BlockState& state, uint32_t offset,
                                         std::span<std::byte> out, Patience patience) {
  const uint32_t first = offset / kChecksumUnit;
  const uint32_t end = first + UnitCount(static_cast<uint32_t>(out.size()));
  for (uint32_t unit = first; unit < end;) {
    const size_t at = size_t{unit - first} * kChecksumUnit;
    if (!state.HasUnit(unit)) {
      const size_t size = std::min<size_t>(kChecksumUnit, out.size() - at);
      std::memset(out.data() + at, 0, size);
      ++unit;
      continue;
    }
    if (const auto pending = state.pending.find(unit); pending != state.pending.end()) {
      const size_t size = std::min<size_t>(kChecksumUnit, out.size() - at);
      std::memcpy(out.data() + at, pending->second.bytes.data(), size);
      ++unit;
      continue;
    }
    const uint32_t run_end = RunEnd(state, unit, end);
    const size_t size = std::min<size_t>(size_t{run_end - unit} * kChecksumUnit, out.size() - at);
    const Result<void> read =
        segments_.Read(state.UnitAddress(unit), out.subspan(at, size), patience);
    if (!read) {
      return read;
    }
    unit = run_end;
  }
  return {};
}

Result<BlockInfo> ChunkStore::Core::Stat(const BlockKey& key, Patience patience) {
  if (Result<void> health = CheckHealth(); !health) {
    return Fail(health.error());
  }
  const BlockEntryPtr entry = table_.Get(key);
  const Result<std::shared_lock<std::shared_mutex>> lock = LockForRead(entry, patience);
  if (!lock) {
    return Fail(lock.error());
  }
  const BlockState& state = *entry->state;
  return BlockInfo{key, state.version, state.length, state.digest, DataRunsOf(state)};
}

Result<BlockCheck> ChunkStore::Core::Verify(const BlockKey& key) {
  if (Result<void> health = CheckHealth(); !health) {
    return Fail(health.error());
  }
  const BlockEntryPtr entry = table_.Get(key);
  const Result<std::shared_lock<std::shared_mutex>> lock = LockForRead(entry, Patience::kWait);
  if (!lock) {
    return Fail(lock.error());
  }
  const BlockState& state = *entry->state;
  BlockCheck check{state.version, state.length, {}};
  for (uint32_t offset = 0; offset < state.length; offset += kVerifyBytes) {
    const Buffer bytes = Buffer::Allocate(std::min(kVerifyBytes, state.length - offset));
    const bool readable = bool{ReadRange(state, offset, bytes.bytes(), Patience::kWait)};
    for (size_t at = 0; at < bytes.size(); at += kChecksumUnit) {
      const std::span<std::byte> unit_bytes =
          bytes.bytes().subspan(at, std::min<size_t>(kChecksumUnit, bytes.size() - at));
      const auto unit_offset = static_cast<uint32_t>(offset + at);
      const uint32_t unit = unit_offset / kChecksumUnit;
      // Where the whole cannot be read, find the units that can.
      const bool got = readable || bool{ReadRange(state, unit_offset, unit_bytes, Patience::kWait)};
      if (!got || Crc32c(unit_bytes) != state.Checksum(unit)) {
        check.bad_units.push_back(unit);
      }
    }
  }
  return check;
}

}  // namespace ringfs::chunkserver
