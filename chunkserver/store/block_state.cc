#include "chunkserver/store/block_state.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "common/check.h"
#include "common/crc32c.h"

namespace ringfs::chunkserver {
namespace {

constexpr std::array<std::byte, kChecksumUnit> kZeros{};

uint64_t Mix(uint32_t unit, uint32_t crc) {
  // The finalizer of SplitMix64.
  uint64_t value = (uint64_t{unit} << 32 | crc) + 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

// What a unit adds to the digest.
uint64_t Term(const BlockState& state, uint32_t unit) {
  if (!state.HasUnit(unit)) {
    return 0;
  }
  const uint32_t crc = state.Checksum(unit);
  return crc == ZeroChecksum(UnitBytes(state.length, unit)) ? 0 : Mix(unit, crc);
}

// Applies one update to one state.
class Updater {
 public:
  Updater(uint64_t generation, BlockState* state) : generation_(generation), state_(*state) {}

  void Clear() {
    for (ClusterSlot& slot : state_.clusters) {
      Leave(&slot);
    }
    state_.clusters.clear();
    state_.groups.clear();
    state_.pending.clear();
    state_.digest = 0;
    state_.length = 0;
  }

  void SetLength(uint32_t length) {
    const uint32_t old_length = state_.length;
    if (length < old_length) {
      DropFrom(UnitCount(length));
    }
    const uint32_t edge = std::min(length, old_length);
    const uint32_t edge_unit = edge / kChecksumUnit;
    const bool edge_is_partial = edge % kChecksumUnit != 0 && state_.HasUnit(edge_unit);
    if (edge_is_partial) {
      state_.digest -= Term(state_, edge_unit);
    }
    state_.length = length;
    if (edge_is_partial) {
      if (length > old_length) {
        // The zeros stored after the old end become part of the block.
        const uint32_t gained = UnitBytes(length, edge_unit) - UnitBytes(old_length, edge_unit);
        uint32_t& crc = MutableChecksum(edge_unit);
        crc = Crc32c(std::span(kZeros).first(gained), crc);
      }
      state_.digest += Term(state_, edge_unit);
    }
    state_.clusters.resize(CeilDiv(UnitCount(length), kUnitsPerCluster));
    const size_t groups = CeilDiv(UnitCount(length), kUnitsPerGroup);
    state_.groups.resize(std::min(state_.groups.size(), groups));
    while (state_.groups.size() < groups) {
      state_.groups.push_back(std::make_shared<ChecksumGroup>());
      state_.groups.back()->generation = generation_;
    }
    state_.indexed_groups = std::max(state_.indexed_groups, static_cast<uint32_t>(groups));
  }

  void Place(const ClusterPlace& place) {
    ClusterSlot& slot = state_.clusters[place.cluster];
    DropUnits(place.cluster * kUnitsPerCluster, kUnitsPerCluster);
    RINGFS_CHECK(slot.address == kNoCluster);
    slot.address = place.address;
  }

  void DropUnits(uint32_t first, uint32_t count) {
    const auto end = static_cast<uint32_t>(std::min<uint64_t>(
        uint64_t{first} + count, uint64_t{state_.clusters.size()} * kUnitsPerCluster));
    for (uint32_t unit = first; unit < end; ++unit) {
      ClusterSlot& slot = state_.clusters[unit / kUnitsPerCluster];
      if (state_.HasUnit(unit)) {
        state_.digest -= Term(state_, unit);
        slot.present = static_cast<uint16_t>(slot.present & ~(1u << unit % kUnitsPerCluster));
        --effect_.units;
      }
      if (slot.present == 0) {
        Leave(&slot);
      }
    }
    if (first < end) {
      state_.pending.erase(state_.pending.lower_bound(first), state_.pending.lower_bound(end));
    }
  }

  // `bytes` is empty when the bytes are at their place.
  void StoreUnit(uint32_t unit, uint32_t crc, Buffer bytes) {
    ClusterSlot& slot = state_.clusters[unit / kUnitsPerCluster];
    RINGFS_CHECK(slot.address != kNoCluster);
    if (state_.HasUnit(unit)) {
      state_.digest -= Term(state_, unit);
    } else {
      slot.present = static_cast<uint16_t>(slot.present | 1u << unit % kUnitsPerCluster);
      ++effect_.units;
    }
    MutableChecksum(unit) = crc;
    state_.digest += Term(state_, unit);
    if (bytes.empty()) {
      state_.pending.erase(unit);
    } else {
      state_.pending[unit] = PendingUnit{std::move(bytes), generation_};
    }
  }

  UpdateEffect TakeEffect() { return std::move(effect_); }

 private:
  void DropFrom(uint32_t unit) {
    DropUnits(unit, static_cast<uint32_t>(state_.clusters.size()) * kUnitsPerCluster);
  }

  void Leave(ClusterSlot* slot) {
    if (slot->address != kNoCluster) {
      effect_.freed.push_back(slot->address);
      effect_.units -= std::popcount(slot->present);
      *slot = ClusterSlot{};
    }
  }

  uint32_t& MutableChecksum(uint32_t unit) {
    std::shared_ptr<ChecksumGroup>& group = state_.groups[unit / kUnitsPerGroup];
    if (group->generation != generation_) {
      group = std::make_shared<ChecksumGroup>(*group);
      group->generation = generation_;
    }
    return group->crcs[unit % kUnitsPerGroup];
  }

  const uint64_t generation_;
  BlockState& state_;
  UpdateEffect effect_;
};

}  // namespace

std::vector<DataRun> DataRunsOf(const BlockState& state) {
  std::vector<DataRun> runs;
  const uint32_t units = UnitCount(state.length);
  for (uint32_t unit = 0; unit < units; ++unit) {
    if (!state.HasUnit(unit)) continue;
    const uint32_t offset = unit * kChecksumUnit;
    if (runs.empty() || runs.back().offset + runs.back().length < offset) {
      runs.push_back(DataRun{offset, 0});
    }
    runs.back().length += kChecksumUnit;
  }
  return runs;
}

uint32_t ZeroChecksum(uint32_t size) {
  static const uint32_t kFullUnit = Crc32c(kZeros);
  return size == kChecksumUnit ? kFullUnit : Crc32c(std::span(kZeros).first(size));
}

uint64_t BlockState::StoredUnits() const {
  uint64_t units = 0;
  for (const ClusterSlot& slot : clusters) {
    units += static_cast<uint64_t>(std::popcount(slot.present));
  }
  return units;
}

uint64_t DigestOf(const BlockState& state) {
  uint64_t digest = 0;
  for (uint32_t unit = 0; unit < UnitCount(state.length); ++unit) {
    digest += Term(state, unit);
  }
  return digest;
}

bool Fits(const BlockUpdate& update, const BlockState& state) {
  const uint32_t clusters = CeilDiv(UnitCount(update.length), kUnitsPerCluster);
  std::vector<bool> has_address(clusters);
  for (size_t i = 0; i < clusters && i < state.clusters.size() && !update.replaces; ++i) {
    has_address[i] = state.clusters[i].address != kNoCluster;
  }
  std::vector<bool> placed(clusters);
  for (const ClusterPlace& place : update.places) {
    if (placed[place.cluster]) {
      return false;
    }
    placed[place.cluster] = true;
    has_address[place.cluster] = true;
  }
  bool holes = false;
  for (const UnitRun& run : update.runs) {
    holes = holes || run.kind == RunKind::kHole;
    for (uint32_t i = 0; i < run.count && run.kind != RunKind::kHole; ++i) {
      if (holes || !has_address[(run.first + i) / kUnitsPerCluster]) {
        return false;
      }
    }
  }
  return true;
}

UpdateEffect ApplyUpdate(const BlockUpdate& update, uint64_t generation, BlockState* state) {
  const bool was_present = state->present;
  Updater updater(generation, state);
  if (update.remove || update.replaces) {
    updater.Clear();
  }
  state->present = !update.remove;
  state->version = update.remove ? BlockVersion{} : update.version;
  if (!update.remove) {
    updater.SetLength(update.length);
    for (const ClusterPlace& place : update.places) {
      updater.Place(place);
    }
    size_t buffer = 0;
    size_t used = 0;  // bytes of journaled[buffer]
    for (const UnitRun& run : update.runs) {
      if (run.kind == RunKind::kHole) {
        updater.DropUnits(run.first, run.count);
        continue;
      }
      for (uint32_t i = 0; i < run.count; ++i) {
        Buffer bytes;
        if (run.kind == RunKind::kJournaled) {
          bytes = update.journaled[buffer].Slice(used, kChecksumUnit);
          used += kChecksumUnit;
          if (used == update.journaled[buffer].size()) {
            ++buffer;
            used = 0;
          }
        }
        updater.StoreUnit(run.first + i, run.crcs[i], std::move(bytes));
      }
    }
  }
  UpdateEffect effect = updater.TakeEffect();
  effect.blocks = int64_t{state->present} - int64_t{was_present};
  return effect;
}

}  // namespace ringfs::chunkserver
