#include "master/state/database.h"

#include <leveldb/helpers/memenv.h>

#include <algorithm>

#include "master/state/bounded_env.h"
#include "master/state/keys.h"
#include "master/state/status.h"
#include "proto/record.pb.h"

namespace ringfs::master {
namespace {

// Most names that are looked up before they are made do not exist; the filter answers those without
// a read of the disk.
constexpr int kFilterBitsPerKey = 10;

Result<void> CheckFormat(leveldb::DB& db, const std::string& where, const std::string& cluster_id) {
  std::string stored;
  leveldb::Status status = db.Get({}, {kUnfinishedKey.data(), kUnfinishedKey.size()}, &stored);
  if (status.ok()) {
    return Fail(Errc::kCorrupted, where + ": a restore into it was interrupted; empty it and " +
                                      "restore again");
  }
  if (!status.IsNotFound()) return Fail(FromStatus(status));
  status = db.Get({}, {kFormatKey.data(), kFormatKey.size()}, &stored);
  if (status.IsNotFound()) return {};
  if (!status.ok()) return Fail(FromStatus(status));
  wire::FormatRecord format;
  if (!format.ParseFromString(stored)) {
    return Fail(Errc::kCorrupted, where + ": its format record is damaged");
  }
  if (format.version() > kFormatVersion) {
    return Fail(Errc::kVersion, where + " was written by a newer ringfs-master, in format " +
                                    std::to_string(format.version()) + "; this one knows up to " +
                                    std::to_string(kFormatVersion));
  }
  if (!cluster_id.empty() && format.cluster_id() != cluster_id) {
    return Fail(Errc::kWrongCluster, where + " belongs to another cluster");
  }
  return {};
}

Result<Database> Open(leveldb::Options options, const std::string& where,
                      const std::string& cluster_id, const DatabaseLimits& limits) {
  Database database;
  database.filter.reset(leveldb::NewBloomFilterPolicy(kFilterBitsPerKey));
  database.cache.reset(leveldb::NewLRUCache(limits.block_cache_bytes));
  options.create_if_missing = true;
  options.filter_policy = database.filter.get();
  options.block_cache = database.cache.get();
  options.write_buffer_size = limits.write_buffer_bytes;
  options.max_open_files = limits.open_tables;
  leveldb::DB* db = nullptr;
  leveldb::Status status = leveldb::DB::Open(options, where, &db);
  if (!status.ok()) {
    Error error = FromStatus(status);
    // LevelDB has one code for this and for a disk that fails; only its words tell.
    if (status.ToString().find("lock") == std::string::npos) return Fail(std::move(error));
    return Fail(Errc::kUnavailable, where + " is in use by another process");
  }
  database.db.reset(db);
  Result<void> checked = CheckFormat(*db, where, cluster_id);
  if (!checked) return Fail(checked.error());
  return database;
}

}  // namespace

DatabaseLimits DatabaseLimits::Within(uint64_t memory_bytes) {
  DatabaseLimits limits;
  limits.block_cache_bytes = memory_bytes / 4;
  limits.write_buffer_bytes = memory_bytes / 16;
  limits.open_tables = static_cast<int>(std::clamp<uint64_t>(memory_bytes >> 18, 64, 10'000));
  return limits;
}

Result<Database> OpenDatabase(const std::string& directory, const std::string& cluster_id,
                              const DatabaseLimits& limits) {
  auto env = std::make_unique<BoundedEnv>();
  leveldb::Options options;
  options.env = env.get();
  Result<Database> database = Open(options, directory, cluster_id, limits);
  if (database) database->env = std::move(env);
  return database;
}

MemoryDisk::MemoryDisk() : env_(leveldb::NewMemEnv(leveldb::Env::Default())) {}
MemoryDisk::~MemoryDisk() = default;

Result<Database> MemoryDisk::Open(const std::string& name, const std::string& cluster_id) {
  leveldb::Options options;
  options.env = env_.get();
  return master::Open(options, "/" + name, cluster_id, DatabaseLimits::Within(4 << 20));
}

}  // namespace ringfs::master
