#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "chunkserver/store/coding.h"
#include "chunkserver/store/store_core.h"
#include "chunkserver/store/update_record.h"
#include "common/check.h"
#include "common/crc32c.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr uint64_t kFirstGeneration = 1;

// Tells the journal of this store from that of any other.
uint64_t SaltOf(const StoreIdentity& identity) {
  const std::string text = identity.cluster + '\n' + identity.server + '\n' + identity.store;
  return uint64_t{Crc32c(AsBytes(text))} << 32 | Crc32c(AsBytes(identity.store), 1);
}

Result<void> CheckOptions(const StoreOptions& options) {
  const uint64_t largest =
      Journal::RoomFor(MaxUpdateBytes(kMaxUnits + 2, kMaxTagRecords), uint64_t{2} * kClusterBytes) +
      2 * uint64_t{options.small_write_bytes};
  if (!options.bucket_of || options.journal_bytes < largest ||
      options.small_write_bytes > kDefaultBlockSize) {
    return Fail(Errc::kInvalid, "store options that do not fit together");
  }
  return {};
}

// Whether the checksums of the units that came with a record match them.
bool DataMatches(const BlockUpdate& update, const Buffer& data) {
  size_t at = 0;
  for (const UnitRun& run : update.runs) {
    for (uint32_t i = 0; i < run.count && run.kind == RunKind::kJournaled; ++i) {
      const uint32_t size = UnitBytes(update.length, run.first + i);
      if (Crc32c(data.bytes().subspan(at, size)) != run.crcs[i]) {
        return false;
      }
      at += kChecksumUnit;
    }
  }
  return true;
}

// Bytes after the end of the block have no checksum, and must be zeros.
void ZeroAfterEnd(const BlockUpdate& update, const Buffer& data) {
  size_t at = 0;
  for (const UnitRun& run : update.runs) {
    for (uint32_t i = 0; i < run.count && run.kind == RunKind::kJournaled; ++i) {
      const uint32_t size = UnitBytes(update.length, run.first + i);
      std::fill(data.data() + at + size, data.data() + at + kChecksumUnit, std::byte{0});
      at += kChecksumUnit;
    }
  }
}

}  // namespace

ChunkStore::Core::Core(Disk& disk, StoreOptions options, StoreIdentity identity,
                       std::unique_ptr<Index> index)
    : disk_(disk),
      options_(std::move(options)),
      identity_(std::move(identity)),
      segments_(disk),
      space_(disk, options_.reserve_bytes),
      journal_(disk, segments_, options_.journal_bytes, SaltOf(identity_)),
      index_(std::move(index)),
      table_(options_.cache_bytes) {}

ChunkStore::Core::~Core() {
  if (background_.joinable()) {
    {
      const std::lock_guard lock(background_mutex_);
      stopping_ = true;
      background_wake_.notify_one();
    }
    background_.join();
  }
}

Result<std::unique_ptr<ChunkStore::Core>> ChunkStore::Core::Open(Disk& disk,
                                                                 const StoreExpectation& expected,
                                                                 StoreOptions options) {
  if (Result<void> good = CheckOptions(options); !good) {
    return Fail(good.error());
  }
  if (Result<void> locked = disk.Lock(); !locked) {
    return Fail(locked.error());
  }
  const Result<StoreIdentity> found = ReadIdentity(disk);
  if (!found && found.code() == Errc::kNotFound && expected.create) {
    return Create(disk, expected, std::move(options));
  }
  if (!found) {
    return Fail(found.error());
  }
  if (Result<void> same = CheckIdentity(*found, expected, disk.Name()); !same) {
    return Fail(same.error());
  }
  return OpenExisting(disk, *found, std::move(options));
}

// The identity is written last: without it, everything is made again.
Result<std::unique_ptr<ChunkStore::Core>> ChunkStore::Core::Create(Disk& disk,
                                                                   const StoreExpectation& expected,
                                                                   StoreOptions options) {
  Result<std::unique_ptr<Index>> index = Index::Open(disk, options.bucket_of, true);
  if (!index) {
    return Fail(index.error());
  }
  if (const Result<uint64_t> generation = (*index)->Generation();
      generation && *generation >= kFirstGeneration) {
    return Fail(Errc::kExists, disk.Name() + " holds blocks but has lost its identity file");
  }
  {
    Core fresh(disk, options, expected.identity, std::move(*index));
    if (Result<void> made = fresh.segments_.MakeFolder(); !made) {
      return Fail(made.error());
    }
    if (Result<void> made = fresh.journal_.Create(); !made) {
      return Fail(made.error());
    }
    if (Result<void> written = fresh.WriteIndex({}, kFirstGeneration - 1); !written) {
      return Fail(written.error());
    }
  }
  if (Result<void> written = WriteIdentity(disk, expected.identity); !written) {
    return Fail(written.error());
  }
  return OpenExisting(disk, expected.identity, std::move(options));
}

Result<std::unique_ptr<ChunkStore::Core>> ChunkStore::Core::OpenExisting(Disk& disk,
                                                                         StoreIdentity identity,
                                                                         StoreOptions options) {
  Result<std::unique_ptr<Index>> index = Index::Open(disk, options.bucket_of, false);
  if (!index) {
    return Fail(index.error());
  }
  auto core =
      std::make_unique<Core>(disk, std::move(options), std::move(identity), std::move(*index));
  if (Result<void> recovered = core->Recover(); !recovered) {
    return Fail(recovered.error());
  }
  if (core->options_.background) {
    core->StartBackground();
  }
  return core;
}

// Afterwards everything is in the index and at its place, and both journal files are free.
Result<void> ChunkStore::Core::Recover() {
  const Result<uint64_t> checkpointed = index_->Generation();
  if (!checkpointed) {
    return Fail(Errc::kCorrupted, checkpointed.error().ToString());
  }
  if (Result<void> opened = journal_.Open(); !opened) {
    return opened;
  }
  if (Result<void> counted = CountIndexed(); !counted) {
    return counted;
  }
  // All that is replayed becomes one generation, the highest that may have been in use, so that
  // frames of none of them are ever taken for newer ones.
  const Result<uint64_t> highest = journal_.HighestGeneration(*checkpointed);
  if (!highest) {
    return Fail(highest.error());
  }
  const uint64_t last = *highest;
  Result<void> replayed = journal_.Replay(
      *checkpointed,
      [&](std::string_view record, const Buffer& data, bool check_only) {
        return ReplayRecord(record, data, check_only, last);
      },
      options_.accept_loss);
  if (!replayed) {
    return replayed;
  }
  space_.FinishMarking();
  const Changes changes = std::exchange(changes_, Changes{});
  if (Result<void> moved = MoveChanges(changes, last); !moved) {
    return moved;
  }
  checkpointed_ = last;
  space_.Free(changes.freed);
  Clean(changes, last);
  if (options_.accept_loss) {
    // What follows the damage may have any generation.
    if (Result<void> emptied = journal_.Create(); !emptied) {
      return emptied;
    }
  }
  journal_.Start(last + 1);
  return PunchUnused();
}

Result<void> ChunkStore::Core::CountIndexed() {
  Result<void> counted =
      index_->ForEachBlock([&](const BlockKey& key, const BlockState& state) -> Result<void> {
        for (const ClusterSlot& slot : state.clusters) {
          if (slot.address != kNoCluster && !space_.MarkUsed(slot.address)) {
            return Fail(Errc::kCorrupted, disk_.Name() + ": two blocks have one place");
          }
        }
        stored_units_ += static_cast<int64_t>(state.StoredUnits());
        ++blocks_;
        highest_data_ = std::max<uint64_t>(highest_data_, Raw(key.data));
        ++bucket_blocks_[{key.pool, options_.bucket_of(key)}];
        return {};
      });
  if (!counted) {
    return counted;
  }
  return index_->ForEachTag(
      [&](const TagKey& tag, const LastWrite& last) { tags_.emplace(tag, last); });
}

Result<uint32_t> ChunkStore::Core::ReplayRecord(std::string_view record, const Buffer& data,
                                                bool check_only, uint64_t generation) {
  Result<JournalEntry> entry = DecodeEntry(record);
  if (!entry) {
    return Fail(entry.error());
  }
  const size_t bytes = size_t{entry->journaled_units} * kChecksumUnit;
  if (bytes > data.size() || !DataMatches(entry->update, data)) {
    return Fail(Errc::kCorrupted, "a journal record whose data does not match");
  }
  if (check_only) {
    return entry->journaled_units;
  }
  if (entry->type == RecordType::kDropTags) {
    NoteDropTags(entry->session);
    return entry->journaled_units;
  }
  if (bytes > 0) {
    ZeroAfterEnd(entry->update, data);
    // A copy, as the frame that the units came in may be much larger than what is left of it.
    entry->update.journaled.push_back(Buffer::CopyOf(data.bytes().first(bytes)));
  }
  if (Result<void> replayed = ReplayUpdate(entry->update, generation); !replayed) {
    return Fail(replayed.error());
  }
  return entry->journaled_units;
}

Result<void> ChunkStore::Core::ReplayUpdate(const BlockUpdate& update, uint64_t generation) {
  const BlockEntryPtr entry = table_.Get(update.key);
  if (Result<void> loaded = Load(*entry, Patience::kWait); !loaded) {
    return loaded;
  }
  if (!update.remove && !Fits(update, *entry->state)) {
    return Fail(Errc::kCorrupted,
                fmt::format("{}: a journal record does not fit block {}/{}/{}", disk_.Name(),
                            Raw(update.key.pool), Raw(update.key.data), update.key.index));
  }
  for (const ClusterPlace& place : update.places) {
    if (!space_.MarkUsed(place.address)) {
      return Fail(Errc::kCorrupted, disk_.Name() + ": the journal gives one place to two blocks");
    }
  }
  BlockState& state = MutableState(entry, generation);
  NoteEffect(update, ApplyUpdate(update, generation, &state));
  NoteTags(update);
  return {};
}

// What writes that no record tells of have left in free clusters is given back.
Result<void> ChunkStore::Core::PunchUnused() {
  std::vector<ClusterRun> unused = space_.SparseRuns();
  const Result<uint32_t> segments_end = segments_.EndCluster();
  if (!segments_end) {
    return Fail(segments_end.error());
  }
  if (const uint32_t end = space_.end(); end < *segments_end) {
    unused.push_back({end, *segments_end - end});
  }
  if (const Result<void> punched = segments_.Punch(unused); !punched) {
    // The space is only not given back.
    spdlog::warn("store {}: {}", disk_.Name(), punched.error().ToString());
  }
  return {};
}

}  // namespace ringfs::chunkserver
