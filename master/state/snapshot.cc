#include "master/state/snapshot.h"

#include "master/state/status.h"
#include "proto/backup.pb.h"

namespace ringfs::master {

Snapshot::Snapshot(leveldb::DB& db) : db_(db), snapshot_(db.GetSnapshot()) {
  leveldb::ReadOptions options;
  options.snapshot = snapshot_;
  options.verify_checksums = true;
  options.fill_cache = false;  // what is at work keeps its place there
  next_.reset(db_.NewIterator(options));
  next_->SeekToFirst();
}

Snapshot::~Snapshot() {
  next_.reset();
  db_.ReleaseSnapshot(snapshot_);
}

Result<std::string> Snapshot::Next(size_t size) {
  wire::BackupRecords records;
  size_t bytes = 0;
  for (; next_->Valid() && bytes < size; next_->Next()) {
    wire::BackupRecords::Record& record = *records.add_records();
    record.set_key(next_->key().ToString());
    record.set_value(next_->value().ToString());
    bytes += record.ByteSizeLong();
  }
  if (!next_->status().ok()) return Fail(FromStatus(next_->status()));
  return records.SerializeAsString();
}

}  // namespace ringfs::master
