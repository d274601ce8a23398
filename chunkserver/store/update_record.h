#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "chunkserver/store/block_state.h"
#include "chunkserver/store/coding.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// The records of the journal: docs/formats/store.md.
enum class RecordType : uint8_t { kBlock = 1, kDropTags = 2 };

struct JournalEntry {
  RecordType type = RecordType::kBlock;
  BlockUpdate update;    // kBlock; `journaled` is not in the record but after it
  SessionId session{0};  // kDropTags
  uint32_t journaled_units = 0;
};

std::string EncodeUpdate(const BlockUpdate& update);
std::string EncodeDropTags(SessionId session);
// At least the size of what EncodeUpdate makes of an update of so many units and copied tags.
uint64_t MaxUpdateBytes(uint64_t units, uint64_t copied_tags);

// kCorrupted: not a record, or one that could not be applied to any state (a unit outside the
// block, fewer checksums than units).
Result<JournalEntry> DecodeEntry(std::string_view record);

}  // namespace ringfs::chunkserver
