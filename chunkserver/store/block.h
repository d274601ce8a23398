#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/buffer.h"
#include "common/ids.h"

namespace ringfs::chunkserver {

// Names the write that made a version, so that a repetition of it is recognised. Sequences of one
// (session, channel) only grow.
struct WriteTag {
  SessionId session{0};
  uint32_t channel = 0;
  uint64_t sequence = 0;

  auto operator<=>(const WriteTag&) const = default;
};

// The write with the highest sequence that a channel has made, and the version that it gave.
struct LastWrite {
  uint64_t sequence = 0;
  BlockKey key;
  BlockVersion version;

  bool operator==(const LastWrite&) const = default;
};

// A write of the block that is at hand, and the version that it made. Travels with copies of the
// block, so that a repetition of the write is recognised there too.
struct TagRecord {
  WriteTag tag;
  BlockVersion version;

  bool operator==(const TagRecord&) const = default;
};
inline constexpr size_t kMaxTagRecords = 256;

enum class ChangeKind {
  kWrite,     // `data` at `offset`; the block grows if it must, a gap reads as zeros
  kZero,      // [offset, offset + length) becomes a hole; the block does not grow
  kTruncate,  // the block is `length` bytes from now on; what it gains is a hole
  kReplace,   // the whole content is `data` from 0 on, then a hole up to `length`; for copy, repair
};

// One change of one block: all of it, its version and its tag are applied, or nothing is.
struct BlockChange {
  BlockKey key;
  ChangeKind kind = ChangeKind::kWrite;
  // What the block has afterwards. Must be higher than what it has, except for kReplace.
  BlockVersion version;
  // When given, the block must have this version now ({0, 0}: be absent): kVersionMismatch if not.
  std::optional<BlockVersion> expected;
  uint32_t offset = 0;
  uint32_t length = 0;
  // The bytes of kWrite and kReplace, in order. Borrowed during the call only.
  std::vector<Buffer> data;
  // CRC32C of `data` cut at the block's 4 KiB unit boundaries (so the first and the last piece may
  // be short), checked by the caller. Empty: the store computes them.
  std::vector<uint32_t> checksums;
  // No byte may lie at or beyond it; at most kMaxBlockSize.
  uint32_t block_size = kDefaultBlockSize;
  std::optional<WriteTag> tag;
  // Of kReplace, at most kMaxTagRecords: the block's writes that are remembered from then on,
  // beside `tag`. Those that were remembered before are forgotten: they may have made versions that
  // no other server has.
  std::vector<TagRecord> copied_tags;
};

// Bytes [offset, offset + length) of a block.
struct DataRun {
  uint32_t offset = 0;
  uint32_t length = 0;

  bool operator==(const DataRun&) const = default;
};

struct BlockInfo {
  BlockKey key;
  BlockVersion version;
  uint32_t length = 0;
  // Equal for equal contents, and with near certainty only then: a sum over the unit checksums in
  // which a unit of zeros counts nothing, so that a hole and stored zeros are the same.
  uint64_t digest = 0;
  // Where bytes are stored, in order, in multiples of 4096 (the last may end after the block); the
  // rest is holes. Only of one block that was asked for: empty in listings.
  std::vector<DataRun> data = {};

  bool operator==(const BlockInfo&) const = default;
};

struct BlockData {
  BlockVersion version;
  uint32_t length = 0;  // of the block
  // From the offset that was asked for; ends at the end of the block. Not verified.
  Buffer data;
  // As Crc32cUnits(data.bytes()) is if no byte has rotted: the last may cover fewer than 4096.
  std::vector<uint32_t> checksums;
};

struct BlockCheck {
  BlockVersion version;
  uint32_t length = 0;
  std::vector<uint32_t> bad_units;  // indices of 4 KiB units that are unreadable or do not match
};

struct StoreUsage {
  uint64_t used_bytes = 0;      // bytes of blocks, in whole units
  uint64_t capacity_bytes = 0;  // used + what may still be written, the reserve taken off
  uint64_t blocks = 0;
};

// A bucket that holds at least one block.
struct BucketUsage {
  PoolId pool{0};
  BucketId bucket{0};
  uint64_t blocks = 0;
};

}  // namespace ringfs::chunkserver
