#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chunkserver/store/disk.h"
#include "common/buffer.h"
#include "common/result.h"

namespace ringfs::chunkserver {

inline constexpr uint32_t kFrameHeaderBytes = 64;
inline constexpr uint32_t kFrameAlignment = 4096;
inline constexpr uint32_t kMaxFrameRecords = 256;
inline constexpr uint32_t kMaxFrameUnits = 512;  // of one frame, or those of its only record

// One record on its way to the journal.
struct JournalRecord {
  std::string bytes;
  std::vector<Buffer> data;  // whole units
  uint64_t lsn = 0;
};

// What a frame says of itself: docs/formats/store.md.
struct FrameHeader {
  uint64_t salt = 0;        // of the store
  uint64_t generation = 0;  // of the journal file's use
  uint64_t sequence = 0;    // from 0 in each generation
  uint64_t synced = 0;      // so many frames of the generation were durable before this was written
  uint64_t previous = 0;    // so many frames has the generation before, all durable
  uint32_t records = 0;
  uint32_t record_bytes = 0;
  uint32_t data_units = 0;

  // Where its data begins and where the next frame does, from the start of this one.
  uint64_t DataOffset() const;
  uint64_t End() const;
};

// Writes one frame at `offset`, not synced; `header`'s counts are filled in.
Result<void> WriteFrame(DiskFile& file, uint64_t offset, FrameHeader* header,
                        const std::vector<JournalRecord>& records);

struct JournalContent {
  uint64_t frames = 0;
  bool damaged = false;  // a frame that was durable is not whole: those before it are `frames`
};

// The header of the file's first frame, whichever it is; nothing if that is not whole.
Result<std::optional<FrameHeader>> FirstHeader(DiskFile& file, uint64_t salt);

// Called with each record and the frame's data from the record's first unit on. Returns how many
// units the record took; kCorrupted makes the frame count as torn if it is the last one.
using RecordVisitor =
    std::function<Result<uint32_t>(std::string_view record, const Buffer& data, bool check_only)>;

// Reads the frames of one generation, each first with `check_only`, and then, if all of its records
// are good, once more to be taken. Ends at the first that is not whole, as after a crash. kIo; and
// what `visit` says when it takes a record.
Result<JournalContent> ReadFrames(DiskFile& file, uint64_t salt, uint64_t generation,
                                  const RecordVisitor& visit);

}  // namespace ringfs::chunkserver
