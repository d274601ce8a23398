#include "chunkserver/store/update_record.h"

#include <utility>

namespace ringfs::chunkserver {
namespace {

constexpr uint8_t kRemoveFlag = 1;
constexpr uint8_t kReplacesFlag = 2;
constexpr uint8_t kTagFlag = 4;
constexpr uint8_t kCopiedTagsFlag = 8;
constexpr size_t kFixedBytes = 128;  // more than all that is in a record once
constexpr size_t kTagRecordBytes = 36;
constexpr size_t kPlaceBytes = 8;
constexpr size_t kRunBytes = 9;

bool DecodePlaces(Decoder* in, BlockUpdate* update) {
  const uint32_t clusters = CeilDiv(UnitCount(update->length), kUnitsPerCluster);
  const auto count = in->Little<uint32_t>();
  if (!in->ok() || count > in->left() / kPlaceBytes) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const auto cluster = in->Little<uint32_t>();
    const auto address = in->Little<uint32_t>();
    if (cluster >= clusters || address == kNoCluster) {
      return false;
    }
    update->places.push_back({cluster, address});
  }
  return true;
}

bool DecodeRuns(Decoder* in, JournalEntry* entry) {
  const uint32_t units = UnitCount(entry->update.length);
  const auto count = in->Little<uint32_t>();
  if (!in->ok() || count > in->left() / kRunBytes) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    UnitRun run;
    const auto kind = in->Little<uint8_t>();
    run.kind = static_cast<RunKind>(kind);
    run.first = in->Little<uint32_t>();
    run.count = in->Little<uint32_t>();
    if (!in->ok() || kind > static_cast<uint8_t>(RunKind::kJournaled) || run.first > units ||
        run.count > units - run.first) {
      return false;
    }
    if (run.kind != RunKind::kHole) {
      if (run.count > in->left() / sizeof(uint32_t)) {
        return false;
      }
      for (uint32_t unit = 0; unit < run.count; ++unit) {
        run.crcs.push_back(in->Little<uint32_t>());
      }
    }
    if (run.kind == RunKind::kJournaled) {
      entry->journaled_units += run.count;
    }
    entry->update.runs.push_back(std::move(run));
  }
  return entry->journaled_units <= kMaxUnits;
}

WriteTag DecodeWriteTag(Decoder* in) {
  WriteTag tag;
  tag.session = in->Little<SessionId>();
  tag.channel = in->Little<uint32_t>();
  tag.sequence = in->Little<uint64_t>();
  return tag;
}

void PutWriteTag(std::string* out, const WriteTag& tag) {
  PutLittle(out, tag.session);
  PutLittle(out, tag.channel);
  PutLittle(out, tag.sequence);
}

bool DecodeCopiedTags(Decoder* in, BlockUpdate* update) {
  const auto count = in->Little<uint32_t>();
  if (!in->ok() || count > kMaxTagRecords || count > in->left() / kTagRecordBytes) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    TagRecord record;
    record.tag = DecodeWriteTag(in);
    record.version.bucket_version = in->Little<uint64_t>();
    record.version.counter = in->Little<uint64_t>();
    update->copied_tags.push_back(record);
  }
  return true;
}

bool DecodeBlock(Decoder* in, JournalEntry* entry) {
  BlockUpdate& update = entry->update;
  const auto flags = in->Little<uint8_t>();
  update.remove = (flags & kRemoveFlag) != 0;
  update.replaces = (flags & kReplacesFlag) != 0;
  update.key.pool = in->Little<PoolId>();
  update.key.data = in->Little<DataId>();
  update.key.index = in->Little<uint32_t>();
  update.version.bucket_version = in->Little<uint64_t>();
  update.version.counter = in->Little<uint64_t>();
  update.length = in->Little<uint32_t>();
  if ((flags & kTagFlag) != 0) {
    update.tag = DecodeWriteTag(in);
  }
  if ((flags & kCopiedTagsFlag) != 0 && !DecodeCopiedTags(in, &update)) {
    return false;
  }
  return in->ok() && update.length <= kMaxBlockSize && DecodePlaces(in, &update) &&
         DecodeRuns(in, entry);
}

}  // namespace

std::string EncodeUpdate(const BlockUpdate& update) {
  std::string out;
  out.reserve(kFixedBytes + update.places.size() * kPlaceBytes);
  PutLittle(&out, static_cast<uint8_t>(RecordType::kBlock));
  PutLittle(&out, static_cast<uint8_t>((update.remove ? kRemoveFlag : 0) |
                                       (update.replaces ? kReplacesFlag : 0) |
                                       (update.tag ? kTagFlag : 0) |
                                       (update.copied_tags.empty() ? 0 : kCopiedTagsFlag)));
  PutLittle(&out, update.key.pool);
  PutLittle(&out, update.key.data);
  PutLittle(&out, update.key.index);
  PutLittle(&out, update.version.bucket_version);
  PutLittle(&out, update.version.counter);
  PutLittle(&out, update.length);
  if (update.tag) {
    PutWriteTag(&out, *update.tag);
  }
  if (!update.copied_tags.empty()) {
    PutLittle(&out, static_cast<uint32_t>(update.copied_tags.size()));
    for (const TagRecord& record : update.copied_tags) {
      PutWriteTag(&out, record.tag);
      PutLittle(&out, record.version.bucket_version);
      PutLittle(&out, record.version.counter);
    }
  }
  PutLittle(&out, static_cast<uint32_t>(update.places.size()));
  for (const ClusterPlace& place : update.places) {
    PutLittle(&out, place.cluster);
    PutLittle(&out, place.address);
  }
  PutLittle(&out, static_cast<uint32_t>(update.runs.size()));
  for (const UnitRun& run : update.runs) {
    PutLittle(&out, static_cast<uint8_t>(run.kind));
    PutLittle(&out, run.first);
    PutLittle(&out, run.count);
    for (const uint32_t crc : run.crcs) {
      PutLittle(&out, crc);
    }
  }
  return out;
}

std::string EncodeDropTags(SessionId session) {
  std::string out;
  PutLittle(&out, static_cast<uint8_t>(RecordType::kDropTags));
  PutLittle(&out, session);
  return out;
}

uint64_t MaxUpdateBytes(uint64_t units, uint64_t copied_tags) {
  // Every cluster may have a place and a run of its own; the ends add one each.
  const uint64_t clusters = units / kUnitsPerCluster + 2;
  return kFixedBytes + copied_tags * kTagRecordBytes + clusters * (kPlaceBytes + kRunBytes) +
         2 * kRunBytes + units * 4;
}

Result<JournalEntry> DecodeEntry(std::string_view record) {
  Decoder in(record);
  JournalEntry entry;
  entry.type = in.Little<RecordType>();
  bool good = false;
  if (entry.type == RecordType::kBlock) {
    good = DecodeBlock(&in, &entry);
  } else if (entry.type == RecordType::kDropTags) {
    entry.session = in.Little<SessionId>();
    good = true;
  }
  if (!good || !in.AtEnd()) {
    return Fail(Errc::kCorrupted, "a journal record that makes no sense");
  }
  return entry;
}

}  // namespace ringfs::chunkserver
