#include "chunkserver/store/journal.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/check.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr std::array<const char*, 2> kPaths = {"journal.0", "journal.1"};
constexpr size_t kFillBytes = 1 << 20;

Result<void> Fill(DiskFile& file, uint64_t size) {
  const std::vector<std::byte> zeros(kFillBytes);
  for (uint64_t offset = 0; offset < size; offset += kFillBytes) {
    const std::array pieces{
        std::span<const std::byte>(zeros).first(std::min<uint64_t>(kFillBytes, size - offset))};
    if (Result<void> written = file.Write(offset, pieces); !written) {
      return written;
    }
  }
  return file.Sync();
}

// Moves records into frames: the end of the frame that begins at `first`.
size_t FrameEnd(const std::vector<JournalRecord>& records, size_t first) {
  uint64_t units = 0;
  size_t end = first;
  for (; end < records.size() && end - first < kMaxFrameRecords; ++end) {
    for (const Buffer& buffer : records[end].data) {
      units += buffer.size() / kChecksumUnit;
    }
    if (units > kMaxFrameUnits && end > first) {
      break;
    }
  }
  return end;
}

}  // namespace

Result<void> Journal::Create() {
  for (const char* path : kPaths) {
    const Result<std::unique_ptr<DiskFile>> file = disk_.Open(path, OpenMode::kTruncate);
    if (!file) {
      return Fail(file.error());
    }
    if (Result<void> filled = Fill(**file, file_bytes_); !filled) {
      return filled;
    }
  }
  return disk_.SyncFolder("");
}

Result<void> Journal::Open() {
  for (size_t i = 0; i < files_.size(); ++i) {
    Result<std::unique_ptr<DiskFile>> file = disk_.Open(kPaths[i], OpenMode::kWrite);
    if (!file && file.code() == Errc::kNotFound) {
      return Fail(Errc::kCorrupted, disk_.Name() + "/" + kPaths[i] + " is missing");
    }
    if (!file) {
      return Fail(file.error());
    }
    files_[i] = std::move(*file);
  }
  return {};
}

Result<uint64_t> Journal::HighestGeneration(uint64_t checkpointed) {
  uint64_t highest = checkpointed + 2;
  for (const std::unique_ptr<DiskFile>& file : files_) {
    const Result<std::optional<FrameHeader>> header = FirstHeader(*file, salt_);
    if (!header) {
      return Fail(header.error());
    }
    if (*header) {
      highest = std::max(highest, (*header)->generation);
    }
  }
  return highest;
}

// Frames that follow lost ones are not taken: they would make blocks that never were.
Result<void> Journal::Replay(uint64_t checkpointed, const RecordVisitor& visit, bool accept_loss) {
  const uint64_t first = checkpointed + 1;
  const auto lost = [&](const char* why) -> Result<void> {
    if (!accept_loss) {
      return Fail(Errc::kCorrupted, disk_.Name() + ": " + why);
    }
    spdlog::warn("store {}: {}; it goes on with what was before", disk_.Name(), why);
    return {};
  };
  const Result<uint64_t> highest = HighestGeneration(checkpointed);
  if (!highest) {
    return Fail(highest.error());
  }
  // A generation begins only when all but the one before it are in the index.
  if (*highest > first + 1) {
    return lost("the index is older than the journal");
  }
  const Result<JournalContent> older = ReadFrames(*files_[first % 2], salt_, first, visit);
  if (!older) {
    return Fail(older.error());
  }
  if (older->damaged) {
    return lost("the journal is damaged at a frame that was durable");
  }
  DiskFile& next = *files_[(first + 1) % 2];
  const Result<std::optional<FrameHeader>> header = FirstHeader(next, salt_);
  if (!header) {
    return Fail(header.error());
  }
  if (*header && (*header)->generation == first + 1 && (*header)->previous != older->frames) {
    return lost("the journal lacks frames that were durable");
  }
  const Result<JournalContent> newer = ReadFrames(next, salt_, first + 1, visit);
  if (!newer) {
    return Fail(newer.error());
  }
  return newer->damaged ? lost("the journal is damaged at a frame that was durable")
                        : Result<void>();
}

void Journal::Start(uint64_t generation) {
  generation_ = generation;
  current_.number = generation;
}

bool Journal::Reserve(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (used_bytes_ + reserved_bytes_ + bytes > file_bytes_) {
    return false;
  }
  reserved_bytes_ += bytes;
  return true;
}

void Journal::Unreserve(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  reserved_bytes_ -= bytes;
}

bool Journal::HalfFull() {
  const std::lock_guard lock(mutex_);
  return used_bytes_ > file_bytes_ / 2;
}

uint64_t Journal::RoomFor(uint64_t record_bytes, uint64_t data_bytes) {
  FrameHeader alone;
  alone.record_bytes = static_cast<uint32_t>(sizeof(uint32_t) + record_bytes);
  return alone.DataOffset() + data_bytes;
}

uint64_t Journal::Append(JournalRecord record, bool bulk, const std::set<SegmentId>& segments,
                         uint64_t reserved) {
  record.lsn = ++last_lsn_;
  reserved_bytes_ -= reserved;
  used_bytes_ += reserved;
  if (bulk) {
    current_.bulk.push_back({std::move(record), segments});
  } else {
    current_.small.push_back(std::move(record));
  }
  return last_lsn_;
}

void Journal::Freeze(const std::function<void()>& swap) {
  const std::lock_guard write_lock(write_mutex_);
  const std::lock_guard lock(mutex_);
  RINGFS_CHECK(!frozen_.has_value());
  current_.last_lsn = last_lsn_;
  frozen_ = std::move(current_);
  current_ = Generation{};
  current_.number = ++generation_;
  used_bytes_ = 0;
  swap();
}

void Journal::ReleaseFrozen() {
  const std::lock_guard write_lock(write_mutex_);
  const std::lock_guard lock(mutex_);
  RINGFS_CHECK(frozen_.has_value() && frozen_->closed);
  frozen_.reset();
}

Result<void> Journal::Flush(uint64_t small_lsn, uint64_t bulk_lsn) {
  if (Result<void> flushed = FlushBulk(bulk_lsn); !flushed) {
    return flushed;
  }
  return FlushSmall(small_lsn);
}

Result<void> Journal::CloseFrozen() {
  const std::lock_guard write_lock(write_mutex_);
  if (Result<void> health = CheckHealth(); !health) {
    return health;
  }
  return WriteFrozen();
}

Result<void> Journal::FlushSmall(uint64_t lsn) {
  {
    const std::lock_guard lock(mutex_);
    if (lsn <= durable_small_) {
      return {};
    }
  }
  // Whoever waits here finds, mostly, that the one before has written its record too.
  const std::lock_guard write_lock(write_mutex_);
  uint64_t synced_bulk_lsn = 0;
  {
    const std::lock_guard lock(mutex_);
    if (lsn <= durable_small_) {
      return {};
    }
    synced_bulk_lsn = durable_bulk_;
  }
  return WriteQueued(synced_bulk_lsn);
}

Result<void> Journal::FlushBulk(uint64_t lsn) {
  {
    const std::lock_guard lock(mutex_);
    if (lsn <= durable_bulk_) {
      return {};
    }
  }
  const std::lock_guard bulk_lock(bulk_mutex_);
  std::set<SegmentId> segments;
  uint64_t synced_bulk_lsn = 0;
  {
    const std::lock_guard lock(mutex_);
    if (lsn <= durable_bulk_) {
      return {};
    }
    for (const BulkRecord& bulk : current_.bulk) {
      segments.insert(bulk.segments.begin(), bulk.segments.end());
    }
    // What is frozen is synced by the one who writes it.
    synced_bulk_lsn = last_lsn_;
  }
  if (Result<void> health = CheckHealth(); !health) {
    return health;
  }
  if (const Result<void> synced = segments_.Sync(segments); !synced) {
    return Failing(synced.error());
  }
  const std::lock_guard write_lock(write_mutex_);
  return WriteQueued(synced_bulk_lsn);
}

Result<void> Journal::WriteQueued(uint64_t synced_bulk_lsn) {
  if (Result<void> health = CheckHealth(); !health) {
    return health;
  }
  if (frozen_ && !frozen_->closed) {
    if (Result<void> written = WriteFrozen(); !written) {
      return written;
    }
  }
  std::vector<JournalRecord> records;
  uint64_t small_lsn = 0;
  uint64_t bulk_lsn = 0;
  {
    const std::lock_guard lock(mutex_);
    std::move(current_.small.begin(), current_.small.end(), std::back_inserter(records));
    current_.small.clear();
    while (!current_.bulk.empty() && current_.bulk.front().record.lsn <= synced_bulk_lsn) {
      records.push_back(std::move(current_.bulk.front().record));
      current_.bulk.pop_front();
    }
    small_lsn = last_lsn_;
    bulk_lsn = current_.bulk.empty() ? last_lsn_ : current_.bulk.front().record.lsn - 1;
  }
  if (Result<void> written = WriteRecords(&current_, std::move(records)); !written) {
    return written;
  }
  const std::lock_guard lock(mutex_);
  durable_small_ = std::max(durable_small_, small_lsn);
  durable_bulk_ = std::max(durable_bulk_, bulk_lsn);
  return {};
}

Result<void> Journal::WriteFrozen() {
  if (!frozen_ || frozen_->closed) {
    return {};
  }
  // Nobody else touches the queues of the frozen generation.
  std::set<SegmentId> segments;
  std::vector<JournalRecord> records(std::make_move_iterator(frozen_->small.begin()),
                                     std::make_move_iterator(frozen_->small.end()));
  for (BulkRecord& bulk : frozen_->bulk) {
    segments.insert(bulk.segments.begin(), bulk.segments.end());
    records.push_back(std::move(bulk.record));
  }
  frozen_->small.clear();
  frozen_->bulk.clear();
  if (const Result<void> synced = segments_.Sync(segments); !synced) {
    return Failing(synced.error());
  }
  if (Result<void> written = WriteRecords(&*frozen_, std::move(records)); !written) {
    return written;
  }
  frozen_->closed = true;
  current_.previous_frames = frozen_->frames;
  const std::lock_guard lock(mutex_);
  durable_small_ = std::max(durable_small_, frozen_->last_lsn);
  durable_bulk_ = std::max(durable_bulk_, frozen_->last_lsn);
  return {};
}

Result<void> Journal::WriteRecords(Generation* generation, std::vector<JournalRecord> records) {
  if (records.empty()) {
    return {};
  }
  DiskFile& file = *files_[generation->number % 2];
  for (size_t first = 0; first < records.size();) {
    const size_t end = FrameEnd(records, first);
    const std::vector<JournalRecord> part(
        std::make_move_iterator(records.begin() + static_cast<std::ptrdiff_t>(first)),
        std::make_move_iterator(records.begin() + static_cast<std::ptrdiff_t>(end)));
    FrameHeader header;
    header.salt = salt_;
    header.generation = generation->number;
    header.sequence = generation->frames;
    header.synced = generation->synced_frames;
    header.previous = generation->previous_frames;
    if (const Result<void> written = WriteFrame(file, generation->offset, &header, part);
        !written) {
      return Failing(written.error());
    }
    generation->offset += header.End();
    RINGFS_CHECK(generation->offset <= file_bytes_);
    ++generation->frames;
    first = end;
  }
  if (const Result<void> synced = file.Sync(); !synced) {
    return Failing(synced.error());
  }
  generation->synced_frames = generation->frames;
  return {};
}

Result<void> Journal::CheckHealth() {
  const std::lock_guard lock(mutex_);
  return failed_ ? Result<void>(Fail(*failed_)) : Result<void>();
}

std::optional<Error> Journal::failed() {
  const std::lock_guard lock(mutex_);
  return failed_;
}

void Journal::SetFailed(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (!failed_) {
    failed_ = Error{Errc::kIo, disk_.Name() + " has failed: " + error.ToString()};
    spdlog::error("store {}", failed_->detail);
  }
}

Result<void> Journal::Failing(const Error& error) {
  SetFailed(error);
  return CheckHealth();
}

}  // namespace ringfs::chunkserver
