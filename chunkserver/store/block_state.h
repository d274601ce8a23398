#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "chunkserver/store/block.h"
#include "common/buffer.h"
#include "common/ids.h"

namespace ringfs::chunkserver {

// A block's bytes lie in clusters of 16 units; the address of a cluster counts clusters from the
// start of the first segment file.
inline constexpr uint32_t kUnitsPerCluster = 16;
inline constexpr uint32_t kClusterBytes = kUnitsPerCluster * kChecksumUnit;
inline constexpr uint32_t kUnitsPerGroup = 64;  // checksums in one record of the index
inline constexpr uint32_t kNoCluster = 0xFFFFFFFF;
inline constexpr uint32_t kMaxUnits = kMaxBlockSize / kChecksumUnit;

constexpr uint32_t CeilDiv(uint32_t value, uint32_t by) { return value / by + (value % by != 0); }
constexpr uint32_t UnitCount(uint32_t length) { return CeilDiv(length, kChecksumUnit); }
// Bytes of a block of `length` bytes that lie in unit `unit`.
constexpr uint32_t UnitBytes(uint32_t length, uint32_t unit) {
  const uint64_t start = uint64_t{unit} * kChecksumUnit;
  if (start >= length) {
    return 0;
  }
  return static_cast<uint32_t>(std::min<uint64_t>(kChecksumUnit, length - start));
}
// CRC32C of `size` (at most 4096) zeros.
uint32_t ZeroChecksum(uint32_t size);

struct ClusterRun {
  uint32_t first = 0;
  uint32_t count = 0;

  auto operator<=>(const ClusterRun&) const = default;
};

// Where the 16 units of one cluster of a block are; bit i of `present`: unit i is stored, otherwise
// it is a hole. No unit present: no address.
struct ClusterSlot {
  uint32_t address = kNoCluster;
  uint16_t present = 0;
};

struct ChecksumGroup {
  uint64_t generation = 0;  // the last that changed it
  std::array<uint32_t, kUnitsPerGroup> crcs{};
};

// A unit whose bytes (4096, zeros after the end of the block) are in the journal and here, and not
// yet at their place.
struct PendingUnit {
  Buffer bytes;
  uint64_t generation = 0;
};

// All that the store knows of one block. Bytes that a present unit stores beyond the end of the
// block are zeros. Checksums cover the bytes of the unit within the block.
//
// Threads: guarded by the lock of its entry (block_table.h), except that a state of an older
//          generation than the current one is read by the checkpoint, and so never changed but by
//          it.
struct BlockState {
  bool present = false;
  BlockVersion version;
  uint32_t length = 0;
  uint64_t digest = 0;
  uint64_t generation = 0;  // the last that changed it
  std::vector<ClusterSlot> clusters;
  std::vector<std::shared_ptr<ChecksumGroup>> groups;
  uint32_t indexed_groups = 0;  // no group from here on can be in the index
  std::map<uint32_t, PendingUnit> pending;

  bool HasUnit(uint32_t unit) const {
    const uint32_t cluster = unit / kUnitsPerCluster;
    return cluster < clusters.size() && (clusters[cluster].present >> unit % kUnitsPerCluster & 1);
  }
  // The checksum of a unit within the block; of zeros when it is a hole.
  uint32_t Checksum(uint32_t unit) const {
    return HasUnit(unit) ? groups[unit / kUnitsPerGroup]->crcs[unit % kUnitsPerGroup]
                         : ZeroChecksum(UnitBytes(length, unit));
  }
  // Number of the unit in the segment files; the unit is present.
  uint64_t UnitAddress(uint32_t unit) const {
    return uint64_t{clusters[unit / kUnitsPerCluster].address} * kUnitsPerCluster +
           unit % kUnitsPerCluster;
  }
  uint64_t StoredUnits() const;
};

// The digest of BlockInfo, from nothing but the state.
uint64_t DigestOf(const BlockState& state);

enum class RunKind : uint8_t {
  kHole = 0,       // the units are absent from now on
  kPlaced = 1,     // their bytes are at their place, on the platter before the record is
  kJournaled = 2,  // their bytes are in the record
};

struct UnitRun {
  RunKind kind = RunKind::kHole;
  uint32_t first = 0;
  uint32_t count = 0;
  std::vector<uint32_t> crcs;  // one a unit, none for holes
};

// Where the block has bytes stored, as BlockInfo::data says it.
std::vector<DataRun> DataRunsOf(const BlockState& state);

struct ClusterPlace {
  uint32_t cluster = 0;  // within the block
  uint32_t address = 0;
};

// A change worked out to what the journal records and what memory becomes. A cluster that gets a
// place loses what it had; runs come after that, in order.
struct BlockUpdate {
  BlockKey key;
  bool remove = false;    // nothing below counts but the tag
  bool replaces = false;  // everything that the block had goes first
  BlockVersion version;
  uint32_t length = 0;
  std::optional<WriteTag> tag;
  std::vector<TagRecord> copied_tags;  // with `replaces`: all that is remembered of the block
  std::vector<ClusterPlace> places;
  std::vector<UnitRun> runs;  // those of holes come last
  // The bytes of the kJournaled runs, in order; each is a whole number of units.
  std::vector<Buffer> journaled;
};

// What an update did beside changing the state.
struct UpdateEffect {
  std::vector<uint32_t> freed;  // addresses of clusters that the block has left
  int64_t units = 0;            // change of the number of stored units
  int64_t blocks = 0;
};

// Whether every unit that the update stores has a cluster: false only for damaged records.
bool Fits(const BlockUpdate& update, const BlockState& state);

// Changes `state`, which is of generation `generation`, as `update` says. The same update makes the
// same state at recovery.
UpdateEffect ApplyUpdate(const BlockUpdate& update, uint64_t generation, BlockState* state);

}  // namespace ringfs::chunkserver
