#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chunkserver/store/disk.h"
#include "chunkserver/store/journal_file.h"
#include "chunkserver/store/segment_files.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// Makes records durable, in two files that take turns: one takes the records of the current
// generation while a checkpoint moves those of the one before to their place.
//
// A small record needs nothing but the journal. A bulk record names bytes in segment files, which
// are synced before it is written; it waits in a queue of its own, so that no small record waits
// for other blocks' data. Records of one block keep their order: one that follows a bulk record
// which is not durable yet is bulk too, and small records are written first.
//
// Threads: any. Lock order: bulk_mutex_, write_mutex_, mutex().
class Journal {
 public:
  Journal(Disk& disk, SegmentFiles& segments, uint64_t file_bytes, uint64_t salt)
      : disk_(disk), segments_(segments), file_bytes_(file_bytes), salt_(salt) {}

  // Makes the two files, filled so that later writes need no metadata of the disk. Durable.
  Result<void> Create();
  Result<void> Open();
  // The highest generation that may have been in use, when the index has those to `checkpointed`.
  Result<uint64_t> HighestGeneration(uint64_t checkpointed);
  // Recovery: reads what follows `checkpointed`. kCorrupted: records that were durable are lost;
  // with `accept_loss` what was before them has been read then, and there is no error.
  Result<void> Replay(uint64_t checkpointed, const RecordVisitor& visit, bool accept_loss);
  // After recovery; nothing of `generation` was ever written.
  void Start(uint64_t generation);

  // Guards the members that are said to be under it, and whatever the store changes together with
  // the journal's records. Never held during I/O.
  std::mutex& mutex() { return mutex_; }

  // Takes `bytes` of the current generation, given back or used by Append. False: no room.
  bool Reserve(uint64_t bytes);
  void Unreserve(uint64_t bytes);
  bool HalfFull();
  // Room for a record in the worst case.
  static uint64_t RoomFor(uint64_t record_bytes, uint64_t data_bytes);
  uint64_t MaxRoom() const { return file_bytes_; }

  // Under mutex(). ----
  uint64_t generation() const { return generation_; }
  bool BulkIsDurable(uint64_t lsn) const { return lsn <= durable_bulk_; }
  // Queues a record that has reserved `reserved` bytes; returns its number.
  uint64_t Append(JournalRecord record, bool bulk, const std::set<SegmentId>& segments,
                  uint64_t reserved);
  uint64_t last_lsn() const { return last_lsn_; }
  // ----

  // The records so far become the frozen generation and the next begins; `swap` is called under
  // mutex() at that point. There is no frozen one.
  void Freeze(const std::function<void()>& swap);
  // The frozen generation is in the index: its file is free for the next.
  void ReleaseFrozen();

  // All small, and all bulk, records up to these numbers are durable on return.
  Result<void> Flush(uint64_t small_lsn, uint64_t bulk_lsn);
  // All records of the frozen generation are durable on return.
  Result<void> CloseFrozen();

  std::optional<Error> failed();
  void SetFailed(const Error& error);

 private:
  struct BulkRecord {
    JournalRecord record;
    std::set<SegmentId> segments;
  };
  struct Generation {
    uint64_t number = 0;
    uint64_t previous_frames = 0;
    uint64_t last_lsn = 0;  // once it is frozen
    std::deque<JournalRecord> small;
    std::deque<BulkRecord> bulk;
    // Under write_mutex_.
    uint64_t offset = 0;
    uint64_t frames = 0;
    uint64_t synced_frames = 0;
    bool closed = false;
  };
  Result<void> FlushSmall(uint64_t lsn);
  Result<void> FlushBulk(uint64_t lsn);
  // With write_mutex_ held.
  Result<void> WriteQueued(uint64_t synced_bulk_lsn);
  Result<void> WriteFrozen();
  Result<void> WriteRecords(Generation* generation, std::vector<JournalRecord> records);
  Result<void> CheckHealth();
  Result<void> Failing(const Error& error);

  Disk& disk_;
  SegmentFiles& segments_;
  const uint64_t file_bytes_;
  const uint64_t salt_;
  std::array<std::unique_ptr<DiskFile>, 2> files_;  // of even and odd generations

  std::mutex bulk_mutex_;   // held by the one who syncs segments
  std::mutex write_mutex_;  // held by the one who writes frames
  std::mutex mutex_;
  // Under mutex_; the generations are exchanged under write_mutex_ too.
  uint64_t generation_ = 0;
  Generation current_;
  std::optional<Generation> frozen_;
  uint64_t used_bytes_ = 0;      // of the current generation, queued or written
  uint64_t reserved_bytes_ = 0;  // promised
  uint64_t last_lsn_ = 0;
  uint64_t durable_small_ = 0;
  uint64_t durable_bulk_ = 0;
  std::optional<Error> failed_;
};

}  // namespace ringfs::chunkserver
