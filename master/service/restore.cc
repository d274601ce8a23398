#include "master/service/restore.h"

#include <leveldb/write_batch.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "common/backup_file.h"
#include "master/state/database.h"
#include "master/state/keys.h"
#include "master/state/status.h"
#include "proto/record.pb.h"

namespace ringfs::master {
namespace {

namespace fs = std::filesystem;

// Numbers are taken up at (seconds since 1970) << this: beyond what any master has given out that
// gave fewer than a million a second, and beyond an earlier restore of the same backup.
constexpr int kNumbersASecondBits = 20;

Failure DamagedRecord(const std::string& file) {
  return Fail(Errc::kCorrupted, file + ": a record of the backup is damaged");
}

// Changes records so that a cluster that has gone on can take them.
class Renewal {
 public:
  explicit Renewal(int64_t wall_ns)
      : floor_(static_cast<uint64_t>(wall_ns / kNsPerSecond) << kNumbersASecondBits) {}

  // False: the value is no such record.
  bool Change(const std::string& key, std::string& value) const {
    if (key == kCountersKey) return ChangeAs<wire::CountersRecord>(value);
    if (key.starts_with(kSessionPrefix)) return ChangeAs<wire::SessionRecord>(value);
    if (key.starts_with(kBucketPrefix)) return ChangeAs<wire::BucketRecord>(value);
    return true;
  }

 private:
  template <typename Record>
  bool ChangeAs(std::string& value) const {
    Record record;
    if (!record.ParseFromString(value)) return false;
    Renew(record);
    value = record.SerializeAsString();
    return true;
  }

  uint64_t Raised(uint64_t number) const { return std::max(number + 1, floor_); }

  void Renew(wire::CountersRecord& counters) const {
    counters.set_next_inode(Raised(counters.next_inode()));
    counters.set_next_data(Raised(counters.next_data()));
    counters.set_next_session(Raised(counters.next_session()));
    counters.set_next_garbage(Raised(counters.next_garbage()));
    counters.set_lock_counter(Raised(counters.lock_counter()));
    counters.set_epoch(Raised(counters.epoch()));
  }
  // Its mount may hold other locks by now than this state knows.
  void Renew(wire::SessionRecord& session) const { session.set_fenced(true); }
  // To be taken also by who had a later one.
  void Renew(wire::BucketRecord& bucket) const {
    bucket.set_epoch(std::max(bucket.epoch(), floor_));
    bucket.mutable_bucket()->set_version(Raised(bucket.bucket().version()));
  }

  uint64_t floor_;
};

// Reads all of it once.
Result<void> Verify(const std::string& file) {
  Result<BackupReader> reader = BackupReader::Open(file);
  if (!reader) return Fail(reader.error());
  if (reader->header().state_version() > kFormatVersion) {
    return Fail(Errc::kVersion, file + ": the backup of a newer ringfs-master, of state format " +
                                    std::to_string(reader->header().state_version()) +
                                    "; this one knows up to " + std::to_string(kFormatVersion));
  }
  wire::BackupRecords records;
  for (;;) {
    const Result<bool> more = reader->Next(records);
    if (!more) return Fail(more.error());
    if (!*more) return {};
  }
}

Result<void> CheckEmpty(const std::string& directory) {
  std::error_code error;
  if (!fs::exists(directory, error) && !error) return {};
  const bool empty = fs::is_empty(directory, error);
  if (error) return Fail(ErrcFromErrno(error.value()), directory + ": " + error.message());
  if (!empty) return Fail(Errc::kExists, directory + " is not empty: restore into a new directory");
  return {};
}

Result<uint64_t> Fill(leveldb::DB& db, const std::string& file, const Renewal& renewal) {
  Result<BackupReader> reader = BackupReader::Open(file);
  if (!reader) return Fail(reader.error());
  uint64_t count = 0;
  wire::BackupRecords records;
  // A database that has a part of the state must not be taken for a whole one after a crash.
  const leveldb::Slice unfinished(kUnfinishedKey.data(), kUnfinishedKey.size());
  leveldb::WriteBatch batch;
  batch.Put(unfinished, {});
  for (;;) {
    const Result<bool> more = reader->Next(records);
    if (!more) return Fail(more.error());
    for (wire::BackupRecords::Record& record : *records.mutable_records()) {
      if (*more && !renewal.Change(record.key(), *record.mutable_value())) {
        return DamagedRecord(file);
      }
      if (*more) batch.Put(record.key(), record.value());
    }
    if (*more) count += static_cast<uint64_t>(records.records_size());
    if (!*more) batch.Delete(unfinished);
    leveldb::WriteOptions options;
    options.sync = true;
    const leveldb::Status status = db.Write(options, &batch);
    if (!status.ok()) return Fail(FromStatus(status));
    if (!*more) return count;
    batch.Clear();
  }
}

}  // namespace

Result<Restored> Restore(const std::string& file, const std::string& directory,
                         const Clock& clock) {
  const Result<void> empty = CheckEmpty(directory);
  if (!empty) return Fail(empty.error());
  const Result<void> verified = Verify(file);
  if (!verified) return Fail(verified.error());
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return Fail(ErrcFromErrno(error.value()), directory + ": " + error.message());
  Result<Database> database = OpenDatabase(directory);
  if (!database) return Fail(database.error());
  Result<uint64_t> records = Fill(*database->db, file, Renewal(clock.WallNs()));
  if (records) {
    const Result<BackupReader> reader = BackupReader::Open(file);
    if (!reader) return Fail(reader.error());
    return Restored{*records, reader->header().taken_ns()};
  }
  database->db.reset();
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    fs::remove_all(entry.path(), error);
  }
  return Fail(records.error());
}

}  // namespace ringfs::master
