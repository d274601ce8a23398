#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunkserver/store/chunk_store.h"
#include "common/buffer.h"
#include "common/crc32c.h"
#include "tests/support/fake_disk.h"

namespace ringfs::chunkserver {

inline const StoreIdentity kIdentity{"cluster-1", "server-1", "store-1"};

inline StoreOptions SmallOptions() {
  StoreOptions options;
  options.bucket_of = [](const BlockKey& key) {
    return BucketId{static_cast<uint32_t>((Raw(key.data) + key.index) % 4)};
  };
  options.journal_bytes = 512 << 10;
  options.reserve_bytes = 4 << 20;
  options.reusable_bytes = 1 << 20;
  options.cache_bytes = 1 << 20;
  options.background = false;
  return options;
}

inline Result<std::unique_ptr<ChunkStore>> OpenStore(Disk& disk,
                                                     StoreOptions options = SmallOptions()) {
  return ChunkStore::Open(disk, {kIdentity.cluster, kIdentity.server, true, kIdentity},
                          std::move(options));
}

// The same, where opening is not what is tested.
inline std::unique_ptr<ChunkStore> MustOpen(Disk& disk, StoreOptions options = SmallOptions()) {
  Result<std::unique_ptr<ChunkStore>> store = OpenStore(disk, std::move(options));
  EXPECT_TRUE(store) << store.error().ToString();
  return store ? std::move(*store) : nullptr;
}

inline BlockKey Key(uint64_t data, uint32_t index = 0) { return {PoolId{1}, DataId{data}, index}; }

// Bytes that tell from which `seed` they are, anywhere.
inline std::string Pattern(size_t size, uint64_t seed) {
  std::string bytes(size, '\0');
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state);
  }
  return bytes;
}

inline Buffer ToBuffer(std::string_view text) {
  return Buffer::CopyOf(std::as_bytes(std::span(text.data(), text.size())));
}

inline std::string ToText(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

inline BlockChange Write(const BlockKey& key, uint64_t counter, uint32_t offset,
                         std::string_view bytes) {
  BlockChange change;
  change.key = key;
  change.version = {1, counter};
  change.offset = offset;
  change.data = {ToBuffer(bytes)};
  return change;
}

inline BlockChange Zero(const BlockKey& key, uint64_t counter, uint32_t offset, uint32_t length) {
  BlockChange change;
  change.key = key;
  change.kind = ChangeKind::kZero;
  change.version = {1, counter};
  change.offset = offset;
  change.length = length;
  return change;
}

inline BlockChange Truncate(const BlockKey& key, uint64_t counter, uint32_t length) {
  BlockChange change;
  change.key = key;
  change.kind = ChangeKind::kTruncate;
  change.version = {1, counter};
  change.length = length;
  return change;
}

inline BlockChange Replace(const BlockKey& key, uint64_t counter, std::string_view bytes) {
  BlockChange change = Write(key, counter, 0, bytes);
  change.kind = ChangeKind::kReplace;
  change.length = static_cast<uint32_t>(bytes.size());
  return change;
}

// What `change` makes of the bytes of a block.
inline std::string Changed(std::string bytes, const BlockChange& change) {
  std::string data;
  for (const Buffer& buffer : change.data) {
    data += ToText(buffer);
  }
  switch (change.kind) {
    case ChangeKind::kWrite:
      bytes.resize(std::max<size_t>(bytes.size(), change.offset + data.size()));
      bytes.replace(change.offset, data.size(), data);
      break;
    case ChangeKind::kZero:
      for (size_t i = change.offset; i < bytes.size() && i < change.offset + change.length; ++i) {
        bytes[i] = '\0';
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
  return bytes;
}

// The block's bytes, checked against the checksums that come with them; nothing when it is absent.
inline std::optional<std::string> Content(ChunkStore& store, const BlockKey& key,
                                          BlockVersion* version = nullptr) {
  const Result<BlockData> read = store.Read(key, 0, kMaxBlockSize);
  if (!read && read.code() == Errc::kNotFound) {
    return std::nullopt;
  }
  EXPECT_TRUE(read) << read.error().ToString();
  if (!read) {
    return std::nullopt;
  }
  EXPECT_EQ(read->data.size(), read->length);
  EXPECT_TRUE(Crc32cUnits(read->data.bytes()) == read->checksums) << "data " << Raw(key.data);
  if (version != nullptr) {
    *version = read->version;
  }
  return ToText(read->data);
}

// Whether the block has exactly these bytes; says where it differs, not all of them.
inline testing::AssertionResult Holds(ChunkStore& store, const BlockKey& key,
                                      std::string_view expected) {
  const std::optional<std::string> found = Content(store, key);
  if (!found) {
    return testing::AssertionFailure() << "absent";
  }
  if (*found == expected) {
    return testing::AssertionSuccess();
  }
  const auto [at, other] =
      std::mismatch(found->begin(), found->end(), expected.begin(), expected.end());
  return testing::AssertionFailure() << found->size() << " bytes instead of " << expected.size()
                                     << ", different from " << at - found->begin();
}

}  // namespace ringfs::chunkserver
