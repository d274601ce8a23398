#include "chunkserver/store/change_plan.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "chunkserver/store/journal.h"
#include "chunkserver/store/update_record.h"
#include "common/check.h"
#include "common/crc32c.h"

namespace ringfs::chunkserver {
namespace {

using Spans = std::vector<std::span<const std::byte>>;

uint64_t SizeOf(const std::vector<Buffer>& data) {
  uint64_t size = 0;
  for (const Buffer& buffer : data) {
    size += buffer.size();
  }
  return size;
}

bool IsZero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// Works out a kWrite or a kReplace.
class WritePlanner {
 public:
  WritePlanner(const BlockChange& change, const BlockState& state, uint32_t small_write_bytes,
               SegmentFiles& segments, ClusterSpace& space, Patience patience)
      : change_(change),
        state_(state),
        segments_(segments),
        space_(space),
        patience_(patience),
        begin_(change.kind == ChangeKind::kReplace ? 0 : change.offset),
        end_(begin_ + static_cast<uint32_t>(SizeOf(change.data))),
        first_unit_(begin_ / kChecksumUnit),
        end_unit_(CeilDiv(end_, kChecksumUnit)),
        bulk_(WritesDirect(change, small_write_bytes)) {
    plan_.update.length =
        change.kind == ChangeKind::kReplace ? change.length : std::max(state.length, end_);
    plan_.update.replaces = change.kind == ChangeKind::kReplace;
  }

  Result<ChangePlan> Plan() {
    if (begin_ == end_) {
      plan_.update.length = plan_.update.replaces ? change_.length : state_.length;
      return std::move(plan_);
    }
    if (Result<void> merged = MergeEdges(); !merged) {
      return Fail(merged.error());
    }
    SumUnits();
    ChooseClusters();
    if (Result<void> placed = PlaceClusters(); !placed) {
      return Fail(placed.error());
    }
    for (const Part& part : parts_) {
      AddPart(part);
    }
    return std::move(plan_);
  }

 private:
  // The units of one cluster of the block that are written.
  struct Part {
    uint32_t cluster = 0;
    uint32_t first = 0;
    uint32_t end = 0;
    bool direct = false;
    uint32_t address = kNoCluster;
  };

  // Adds the bytes [from, to) of the block, which are in the data, to `spans`.
  void AddData(uint32_t from, uint32_t to, Spans* spans) const {
    uint32_t at = begin_;
    for (const Buffer& buffer : change_.data) {
      const uint32_t next = at + static_cast<uint32_t>(buffer.size());
      const uint32_t low = std::max(from, at);
      const uint32_t high = std::min(to, next);
      if (low < high) {
        spans->push_back(buffer.bytes().subspan(low - at, high - low));
      }
      at = next;
    }
  }

  // Adds the bytes of the units [first, end), merged ones and padding too.
  void AddUnits(uint32_t first, uint32_t end, Spans* spans) const {
    const uint32_t plain_first = first + (edges_.contains(first) ? 1 : 0);
    if (first < plain_first) {
      spans->push_back(edges_.at(first).bytes());
    }
    const uint32_t last = end - 1;
    const bool last_is_edge = last >= plain_first && edges_.contains(last);
    const uint32_t plain_end = last_is_edge ? last : end;
    if (plain_first < plain_end) {
      AddData(plain_first * kChecksumUnit, plain_end * kChecksumUnit, spans);
    }
    if (last_is_edge) {
      spans->push_back(edges_.at(last).bytes());
    }
  }

  Result<void> MergeEdges() {
    for (const uint32_t unit : {first_unit_, end_unit_ - 1}) {
      const uint32_t start = unit * kChecksumUnit;
      const uint32_t low = std::max(start, begin_);
      const uint32_t high = std::min(start + kChecksumUnit, end_);
      if (high - low == kChecksumUnit || edges_.contains(unit)) {
        continue;
      }
      Buffer merged = Buffer::Allocate(kChecksumUnit);
      std::memset(merged.data(), 0, kChecksumUnit);
      const bool keeps_old =
          !plan_.update.replaces && state_.HasUnit(unit) && (low > start || high < state_.length);
      if (keeps_old) {
        const Result<Buffer> old = ReadUnit(segments_, state_, unit, patience_);
        if (!old) {
          return Fail(old.error());
        }
        std::memcpy(merged.data(), old->data(), kChecksumUnit);
      }
      Spans spans;
      AddData(low, high, &spans);
      std::byte* out = merged.data() + (low - start);
      for (const std::span<const std::byte> span : spans) {
        out = std::copy(span.begin(), span.end(), out);
      }
      edges_.emplace(unit, merged);
      plan_.edges.push_back(std::move(merged));
    }
    return {};
  }

  void SumUnits() {
    for (uint32_t unit = first_unit_; unit < end_unit_; ++unit) {
      const uint32_t size = UnitBytes(plan_.update.length, unit);
      if (const auto edge = edges_.find(unit); edge != edges_.end()) {
        crcs_.push_back(Crc32c(edge->second.bytes().first(size)));
      } else if (!change_.checksums.empty()) {
        crcs_.push_back(change_.checksums[unit - first_unit_]);
      } else {
        Spans spans;
        AddData(unit * kChecksumUnit, (unit + 1) * kChecksumUnit, &spans);
        uint32_t crc = 0;
        for (const std::span<const std::byte> span : spans) {
          crc = Crc32c(span, crc);
        }
        crcs_.push_back(crc);
      }
    }
  }

  void ChooseClusters() {
    for (uint32_t unit = first_unit_; unit < end_unit_;) {
      Part part;
      part.cluster = unit / kUnitsPerCluster;
      part.first = unit;
      part.end = std::min(end_unit_, (part.cluster + 1) * kUnitsPerCluster);
      unit = part.end;
      if (plan_.update.replaces && IsHole(part)) {
        continue;
      }
      if (!plan_.update.replaces && part.cluster < state_.clusters.size()) {
        part.address = state_.clusters[part.cluster].address;
      }
      // Fresh space would lose what the cluster keeps outside the written units.
      part.direct = bulk_ && !KeepsUnits(part);
      parts_.push_back(part);
    }
  }

  bool KeepsUnits(const Part& part) const {
    if (part.address == kNoCluster) {
      return false;
    }
    const uint32_t base = part.cluster * kUnitsPerCluster;
    const uint32_t written = (1u << (part.end - base)) - (1u << (part.first - base));
    return (state_.clusters[part.cluster].present & ~written) != 0;
  }

  bool IsHole(const Part& part) const {
    for (uint32_t unit = part.first; unit < part.end; ++unit) {
      if (crcs_[unit - first_unit_] != ZeroChecksum(UnitBytes(plan_.update.length, unit))) {
        return false;
      }
    }
    Spans spans;
    AddUnits(part.first, part.end, &spans);
    return std::all_of(spans.begin(), spans.end(), IsZero);
  }

  // Finds an address for each part that needs one.
  Result<void> PlaceClusters() {
    std::vector<Part*> direct;
    std::vector<Part*> fresh;
    uint64_t more_bytes = 0;  // in clusters that the block has
    for (Part& part : parts_) {
      if (part.direct) {
        direct.push_back(&part);
      } else if (part.address == kNoCluster) {
        fresh.push_back(&part);
      } else {
        for (uint32_t unit = part.first; unit < part.end; ++unit) {
          more_bytes += state_.HasUnit(unit) ? 0 : kChecksumUnit;
        }
      }
    }
    if (more_bytes > 0) {
      if (Result<void> admitted = space_.Admit(more_bytes); !admitted) {
        return admitted;
      }
    }
    Result<void> placed = Allocate(direct, true);
    if (placed) {
      placed = Allocate(fresh, false);
    }
    if (!placed) {
      space_.Free(std::exchange(plan_.allocated, {}));
    }
    return placed;
  }

  Result<void> Allocate(const std::vector<Part*>& parts, bool prefer_reusable) {
    if (parts.empty()) {
      return {};
    }
    const Result<std::vector<ClusterRun>> runs =
        space_.Allocate(static_cast<uint32_t>(parts.size()), prefer_reusable);
    if (!runs) {
      return Fail(runs.error());
    }
    size_t next = 0;
    for (const ClusterRun& run : *runs) {
      for (uint32_t i = 0; i < run.count; ++i) {
        parts[next]->address = run.first + i;
        plan_.allocated.push_back(run.first + i);
        plan_.update.places.push_back({parts[next]->cluster, run.first + i});
        ++next;
      }
    }
    return {};
  }

  void AddPart(const Part& part) {
    AddRun(part);
    if (!part.direct) {
      Spans spans;
      AddUnits(part.first, part.end, &spans);
      Buffer bytes = Buffer::Allocate(size_t{part.end - part.first} * kChecksumUnit);
      std::byte* out = bytes.data();
      for (const std::span<const std::byte> span : spans) {
        std::memcpy(out, span.data(), span.size());
        out += span.size();
      }
      plan_.update.journaled.push_back(std::move(bytes));
      return;
    }
    const uint64_t address =
        uint64_t{part.address} * kUnitsPerCluster + part.first % kUnitsPerCluster;
    std::vector<DirectWrite>& writes = plan_.writes;
    if (writes.empty() || writes.back().unit_address + writes.back().units != address) {
      writes.push_back({address, 0, {}});
    }
    writes.back().units += part.end - part.first;
    AddUnits(part.first, part.end, &writes.back().pieces);
  }

  void AddRun(const Part& part) {
    const RunKind kind = part.direct ? RunKind::kPlaced : RunKind::kJournaled;
    std::vector<UnitRun>& runs = plan_.update.runs;
    if (runs.empty() || runs.back().kind != kind ||
        runs.back().first + runs.back().count != part.first) {
      runs.push_back({kind, part.first, 0, {}});
    }
    runs.back().count += part.end - part.first;
    const auto crcs = crcs_.begin() - static_cast<std::ptrdiff_t>(first_unit_);
    runs.back().crcs.insert(runs.back().crcs.end(), crcs + part.first, crcs + part.end);
  }

  const BlockChange& change_;
  const BlockState& state_;
  SegmentFiles& segments_;
  ClusterSpace& space_;
  const Patience patience_;
  const uint32_t begin_;  // the bytes [begin_, end_) of the block are written
  const uint32_t end_;
  const uint32_t first_unit_;
  const uint32_t end_unit_;
  const bool bulk_;
  std::map<uint32_t, Buffer> edges_;  // units that are not written whole, merged
  std::vector<uint32_t> crcs_;        // of the units from first_unit_ on
  std::vector<Part> parts_;
  ChangePlan plan_;
};

// Zeros the bytes [low, high) of a stored unit, through the journal.
Result<void> ZeroInUnit(SegmentFiles& segments, const BlockState& state, uint32_t low,
                        uint32_t high, Patience patience, BlockUpdate* update) {
  const uint32_t unit = low / kChecksumUnit;
  if (low >= high || !state.HasUnit(unit)) {
    return {};
  }
  const Result<Buffer> old = ReadUnit(segments, state, unit, patience);
  if (!old) {
    return Fail(old.error());
  }
  Buffer merged = Buffer::CopyOf(old->bytes());
  std::memset(merged.data() + low % kChecksumUnit, 0, high - low);
  const uint32_t crc = Crc32c(merged.bytes().first(UnitBytes(update->length, unit)));
  update->runs.push_back({RunKind::kJournaled, unit, 1, {crc}});
  update->journaled.push_back(std::move(merged));
  return {};
}

Result<ChangePlan> PlanZero(const BlockChange& change, const BlockState& state,
                            SegmentFiles& segments, Patience patience) {
  ChangePlan plan;
  plan.update.length = state.length;
  const uint32_t begin = std::min(change.offset, state.length);
  const uint32_t end = std::min(change.offset + change.length, state.length);
  if (begin >= end) {
    return plan;
  }
  const uint32_t whole_begin = CeilDiv(begin, kChecksumUnit);
  const uint32_t whole_end = end == state.length ? UnitCount(end) : end / kChecksumUnit;
  if (begin % kChecksumUnit != 0) {
    const uint32_t high = std::min(end, whole_begin * kChecksumUnit);
    if (Result<void> zeroed = ZeroInUnit(segments, state, begin, high, patience, &plan.update);
        !zeroed) {
      return Fail(zeroed.error());
    }
  }
  if (whole_end >= whole_begin && end > whole_end * kChecksumUnit) {
    if (Result<void> zeroed =
            ZeroInUnit(segments, state, whole_end * kChecksumUnit, end, patience, &plan.update);
        !zeroed) {
      return Fail(zeroed.error());
    }
  }
  if (whole_begin < whole_end) {
    plan.update.runs.push_back({RunKind::kHole, whole_begin, whole_end - whole_begin, {}});
  }
  return plan;
}

Result<ChangePlan> PlanTruncate(const BlockChange& change, const BlockState& state,
                                SegmentFiles& segments, Patience patience) {
  ChangePlan plan;
  plan.update.length = change.length;
  if (change.length < state.length && change.length % kChecksumUnit != 0) {
    const uint32_t unit_end = UnitCount(change.length) * kChecksumUnit;
    if (Result<void> zeroed =
            ZeroInUnit(segments, state, change.length, unit_end, patience, &plan.update);
        !zeroed) {
      return Fail(zeroed.error());
    }
  }
  return plan;
}

}  // namespace

Result<void> CheckChange(const BlockChange& change) {
  const uint64_t size = SizeOf(change.data);
  const bool has_data = change.kind == ChangeKind::kWrite || change.kind == ChangeKind::kReplace;
  if (change.block_size == 0 || change.block_size > kMaxBlockSize) {
    return Fail(Errc::kInvalid, "a block size that is not supported");
  }
  const uint64_t begin =
      change.kind == ChangeKind::kWrite || change.kind == ChangeKind::kZero ? change.offset : 0;
  const uint64_t end = begin + (change.kind == ChangeKind::kWrite ? size : change.length);
  if (end > change.block_size || (change.kind == ChangeKind::kReplace && size > change.length)) {
    return Fail(Errc::kInvalid, "a change that reaches beyond the block");
  }
  if (!has_data && size > 0) {
    return Fail(Errc::kInvalid, "a change that takes no data has some");
  }
  const uint64_t pieces =
      size == 0 ? 0 : (begin + size - 1) / kChecksumUnit - begin / kChecksumUnit + 1;
  if (!change.checksums.empty() && change.checksums.size() != pieces) {
    return Fail(Errc::kInvalid, "a change whose checksums do not fit its data");
  }
  if (change.copied_tags.size() > kMaxTagRecords ||
      (!change.copied_tags.empty() && change.kind != ChangeKind::kReplace)) {
    return Fail(Errc::kInvalid, "a change with too many write tags");
  }
  if (change.version == BlockVersion{}) {
    return Fail(Errc::kInvalid, "a change without a version");
  }
  return {};
}

bool WritesDirect(const BlockChange& change, uint32_t small_write_bytes) {
  return SizeOf(change.data) > small_write_bytes;
}

uint64_t JournalRoom(const BlockChange& change, uint32_t small_write_bytes) {
  const uint64_t size = SizeOf(change.data);
  const uint64_t units = size / kChecksumUnit + 2;
  // Of a large write only units that share their cluster with others go through the journal.
  const uint64_t journaled =
      WritesDirect(change, small_write_bytes) ? std::min<uint64_t>(units, 2 * kUnitsPerCluster)
                                              : units;
  return Journal::RoomFor(MaxUpdateBytes(units, change.copied_tags.size()),
                          journaled * kChecksumUnit);
}

Result<Buffer> ReadUnit(SegmentFiles& segments, const BlockState& state, uint32_t unit,
                        Patience patience) {
  if (const auto pending = state.pending.find(unit); pending != state.pending.end()) {
    return pending->second.bytes;
  }
  Buffer bytes = Buffer::Allocate(kChecksumUnit);
  if (Result<void> read = segments.Read(state.UnitAddress(unit), bytes.bytes(), patience);
      !read) {
    return Fail(read.error());
  }
  const uint32_t size = UnitBytes(state.length, unit);
  if (Crc32c(bytes.bytes().first(size)) != state.Checksum(unit)) {
    return Fail(Errc::kCorrupted,
                "unit " + std::to_string(unit) + " of a block does not match its checksum");
  }
  std::memset(bytes.data() + size, 0, kChecksumUnit - size);
  return bytes;
}

Result<ChangePlan> PlanChange(const BlockChange& change, const BlockState& state,
                              uint32_t small_write_bytes, SegmentFiles& segments,
                              ClusterSpace& space, Patience patience) {
  Result<ChangePlan> plan = Fail(Errc::kInvalid);
  switch (change.kind) {
    case ChangeKind::kWrite:
    case ChangeKind::kReplace:
      plan = WritePlanner(change, state, small_write_bytes, segments, space, patience).Plan();
      break;
    case ChangeKind::kZero:
      plan = PlanZero(change, state, segments, patience);
      break;
    case ChangeKind::kTruncate:
      plan = PlanTruncate(change, state, segments, patience);
      break;
  }
  if (plan) {
    plan->update.key = change.key;
    plan->update.version = change.version;
    plan->update.tag = change.tag;
    plan->update.copied_tags = change.copied_tags;
  }
  return plan;
}

}  // namespace ringfs::chunkserver
