#include "master/state/cluster_table.h"

#include <set>
#include <utility>

#include "master/state/database.h"
#include "master/state/keys.h"
#include "master/state/record.h"

namespace ringfs::master {
namespace {

constexpr size_t kUuidBytes = 16;
constexpr uint32_t kMaxReplicas = 16;
constexpr uint32_t kMaxBucketBits = 20;
constexpr uint32_t kDefaultWeight = 100;
constexpr uint32_t kMaxWeight = 1'000'000;
constexpr int kMaxServerTextBytes = 1024;

Result<void> CheckRegistration(const wire::RegisterServerRequest& ask,
                               const std::string& cluster_id) {
  if (cluster_id.empty()) return Fail(Errc::kUnavailable, "the cluster has not been formatted");
  if (!ask.cluster_id().empty() && ask.cluster_id() != cluster_id) {
    return Fail(Errc::kWrongCluster, "the chunkserver's data belongs to another cluster");
  }
  if (ask.uuid().size() != kUuidBytes) {
    return Fail(Errc::kInvalid, "the identity of a chunkserver must have 16 bytes");
  }
  if (ask.address().empty() || ask.address().size() > kMaxServerTextBytes ||
      ask.zone().size() > kMaxServerTextBytes || ask.host().size() > kMaxServerTextBytes ||
      ask.version().size() > kMaxServerTextBytes) {
    return Fail(Errc::kInvalid, "address, zone or host is missing or too long");
  }
  if (ask.weight() > kMaxWeight) return Fail(Errc::kInvalid, "the weight is too large");
  return {};
}

// What every map says of a server.
void Describe(const wire::RegisterServerRequest& ask, wire::Server& server) {
  server.set_uuid(ask.uuid());
  server.set_address(ask.address());
  server.set_zone(ask.zone());
  server.set_host(ask.host());
  server.set_version(ask.version());
  if (server.state() != wire::SERVER_DRAINING) server.set_state(wire::SERVER_UP);
}

}  // namespace

Result<void> ClusterTable::Load() {
  Result<std::optional<std::string>> bytes = overlay_.Get(kFormatKey);
  if (!bytes) return Fail(bytes.error());
  if (!*bytes) return {};
  Result<wire::FormatRecord> format = ParseRecord<wire::FormatRecord>(**bytes, "format");
  if (!format) return Fail(format.error());
  format_ = std::move(*format);

  bool damaged = false;
  auto server = [&](std::string_view, std::string_view value) {
    Result<wire::ServerRecord> record = ParseRecord<wire::ServerRecord>(value, "server");
    damaged = !record;
    if (record) servers_[ServerId{record->server().id()}] = std::move(*record);
    return !damaged;
  };
  auto pool = [&](std::string_view, std::string_view value) {
    Result<wire::Pool> record = ParseRecord<wire::Pool>(value, "pool");
    damaged = !record;
    if (record) pools_.push_back(std::move(*record));
    return !damaged;
  };
  auto bucket = [&](std::string_view key, std::string_view value) {
    Result<wire::BucketRecord> record = ParseRecord<wire::BucketRecord>(value, "bucket");
    auto& table = tables_[PoolId{Number32(key, kBucketPrefix.size())}];
    damaged = !record || record->bucket().id() != table.size();
    if (!damaged) table.push_back(std::move(*record));
    return !damaged;
  };
  Result<void> scanned = overlay_.Scan(kServerPrefix, kServerPrefix, server);
  if (scanned && !damaged) scanned = overlay_.Scan(kPoolPrefix, kPoolPrefix, pool);
  if (scanned && !damaged) scanned = overlay_.Scan(kBucketPrefix, kBucketPrefix, bucket);
  if (!scanned) return scanned;
  for (const wire::Pool& known : pools_) {
    if (known.bucket_bits() > kMaxBucketBits) damaged = true;
    if (!damaged && Buckets(PoolId{known.id()}).size() != size_t{1} << known.bucket_bits()) {
      damaged = true;
    }
  }
  if (damaged) return Fail(Errc::kCorrupted, "the database has a damaged cluster map");
  return {};
}

Result<void> ClusterTable::Format(const wire::FormatCluster& ask) {
  if (!cluster_id().empty()) return Fail(Errc::kExists, "the cluster has been formatted before");
  if (ask.cluster_id().size() != kUuidBytes || ask.replicas() < 1 ||
      ask.replicas() > kMaxReplicas || ask.bucket_bits() > kMaxBucketBits) {
    return Fail(Errc::kInvalid,
                "a cluster has an identity of 16 bytes, 1 to 16 replicas, and at "
                "most 2^20 buckets");
  }
  format_.set_version(kFormatVersion);
  format_.set_cluster_id(ask.cluster_id());
  overlay_.Put(kFormatKey, format_.SerializeAsString());
  AddPool(ask.replicas(), ask.bucket_bits(), "default");
  return {};
}

Result<PoolId> ClusterTable::PoolOf(uint32_t replicas) {
  if (replicas < 1 || replicas > kMaxReplicas || pools_.empty()) {
    return Fail(Errc::kInvalid, "a file has 1 to 16 replicas, in a cluster");
  }
  for (const wire::Pool& pool : pools_) {
    if (pool.replicas() == replicas) return PoolId{pool.id()};
  }
  AddPool(replicas, pools_.front().bucket_bits(), std::to_string(replicas) + " replicas");
  return PoolId{pools_.back().id()};
}

void ClusterTable::AddPool(uint32_t replicas, uint32_t bucket_bits, const std::string& name) {
  RaiseEpoch();
  wire::Pool pool;
  pool.set_id(static_cast<uint32_t>(pools_.size()) + 1);
  pool.set_replicas(replicas);
  pool.set_bucket_bits(bucket_bits);
  pool.set_name(name);
  overlay_.Put(PoolKey(pool.id()), pool.SerializeAsString());
  std::vector<wire::BucketRecord>& table = tables_[PoolId{pool.id()}];
  for (uint32_t id = 0; id < uint32_t{1} << bucket_bits; ++id) {
    wire::BucketRecord& record = table.emplace_back();
    record.mutable_bucket()->set_id(id);
    record.set_epoch(counters_.epoch());
    overlay_.Put(BucketKey(pool.id(), id), record.SerializeAsString());
  }
  pools_.push_back(std::move(pool));
}

void ClusterTable::Put(const wire::ServerRecord& record) {
  overlay_.Put(ServerKey(record.server().id()), record.SerializeAsString());
  servers_[ServerId{record.server().id()}] = record;
}

Result<ClusterTable::Registered> ClusterTable::Register(const wire::RegisterServerRequest& ask) {
  Result<void> checked = CheckRegistration(ask, cluster_id());
  if (!checked) return Fail(checked.error());
  uint32_t weight = ask.weight() == 0 ? kDefaultWeight : ask.weight();
  wire::ServerRecord record;
  for (const auto& [id, known] : servers_) {
    if (known.server().uuid() == ask.uuid()) record = known;
  }
  bool known = record.server().id() != 0;
  if (known && record.server().state() == wire::SERVER_GONE) {
    return Fail(Errc::kNotPermitted, "server " + std::to_string(record.server().id()) +
                                         " was removed from the cluster; only with empty data "
                                         "directories can it come as a new one");
  }
  if (!known) {
    record.mutable_server()->set_id(counters_.next_server());
    counters_.set_next_server(counters_.next_server() + 1);
  }
  Registered registered;
  registered.server = ServerId{record.server().id()};
  registered.restarted = known && record.incarnation() != ask.incarnation();
  std::string before = record.server().SerializeAsString();
  Describe(ask, *record.mutable_server());
  if (record.offered_weight() != weight) {
    record.set_offered_weight(weight);
    record.mutable_server()->set_weight(weight);
  }
  record.set_incarnation(ask.incarnation());
  if (record.server().SerializeAsString() != before) RaiseEpoch();
  Put(record);
  return registered;
}

Result<void> ClusterTable::CheckMembers(const wire::Bucket& bucket) const {
  if (bucket.servers_size() != bucket.states_size() ||
      bucket.servers_size() > int{kMaxReplicas} * 2) {
    return Fail(Errc::kInvalid, "a bucket with a wrong list of members");
  }
  std::set<uint32_t> seen;
  for (int i = 0; i < bucket.servers_size(); ++i) {
    bool known = servers_.contains(ServerId{bucket.servers(i)});
    bool state = bucket.states(i) == wire::MEMBER_SERVING ||
                 bucket.states(i) == wire::MEMBER_SYNCING ||
                 bucket.states(i) == wire::MEMBER_OFFLINE;
    if (!known || !state || !seen.insert(bucket.servers(i)).second) {
      return Fail(Errc::kInvalid, "bucket " + std::to_string(bucket.id()) +
                                      " would have a wrong member " +
                                      std::to_string(bucket.servers(i)));
    }
  }
  return {};
}

Result<void> ClusterTable::ChangeMembers(const wire::ChangeMembers& ask) {
  std::set<std::pair<uint32_t, uint32_t>> named;
  for (const wire::BucketTable& table : ask.tables()) {
    const std::vector<wire::BucketRecord>& buckets = Buckets(PoolId{table.pool()});
    for (const wire::Bucket& bucket : table.buckets()) {
      if (bucket.id() >= buckets.size() || !named.emplace(table.pool(), bucket.id()).second) {
        return Fail(Errc::kInvalid, "a bucket that does not exist, or twice");
      }
      if (bucket.version() != 0 && bucket.version() != buckets[bucket.id()].bucket().version()) {
        return Fail(Errc::kStaleEpoch, "bucket " + std::to_string(bucket.id()) + " has changed");
      }
      Result<void> checked = CheckMembers(bucket);
      if (!checked) return checked;
    }
  }
  if (named.empty()) return {};
  RaiseEpoch();
  for (const wire::BucketTable& table : ask.tables()) {
    std::vector<wire::BucketRecord>& buckets = tables_[PoolId{table.pool()}];
    for (const wire::Bucket& bucket : table.buckets()) {
      wire::BucketRecord& record = buckets[bucket.id()];
      uint64_t version = record.bucket().version() + 1;
      *record.mutable_bucket() = bucket;
      record.mutable_bucket()->set_version(version);
      record.set_epoch(counters_.epoch());
      overlay_.Put(BucketKey(table.pool(), bucket.id()), record.SerializeAsString());
    }
  }
  return {};
}

Result<void> ClusterTable::ChangeServer(const wire::ChangeServer& ask) {
  auto found = servers_.find(ServerId{ask.server()});
  if (found == servers_.end()) {
    return Fail(Errc::kNotFound, "no server " + std::to_string(ask.server()));
  }
  wire::ServerRecord record = found->second;
  if (record.server().state() == wire::SERVER_GONE) {
    return Fail(Errc::kNotPermitted, "server " + std::to_string(ask.server()) + " was removed");
  }
  bool weight_ok = !ask.has_weight() || (ask.weight() >= 1 && ask.weight() <= kMaxWeight);
  bool state_ok = !ask.has_state() ||
                  (ask.state() > wire::SERVER_UNKNOWN && wire::ServerState_IsValid(ask.state()));
  if (!weight_ok || !state_ok) return Fail(Errc::kInvalid, "a wrong weight or state of a server");
  if (ask.has_weight()) record.mutable_server()->set_weight(ask.weight());
  if (ask.has_state()) record.mutable_server()->set_state(ask.state());
  if (record.SerializeAsString() == found->second.SerializeAsString()) return {};
  RaiseEpoch();
  Put(record);
  return {};
}

const std::vector<wire::BucketRecord>& ClusterTable::Buckets(PoolId pool) const {
  static const std::vector<wire::BucketRecord> kNone;
  auto found = tables_.find(pool);
  return found != tables_.end() ? found->second : kNone;
}

wire::ClusterMap ClusterTable::Map(uint64_t since) const {
  wire::ClusterMap map;
  map.set_epoch(counters_.epoch());
  map.set_cluster_id(cluster_id());
  map.set_complete(since == 0 || since > counters_.epoch());
  for (const auto& [id, record] : servers_) *map.add_servers() = record.server();
  for (const wire::Pool& pool : pools_) {
    *map.add_pools() = pool;
    wire::BucketTable table;
    table.set_pool(pool.id());
    for (const wire::BucketRecord& record : Buckets(PoolId{pool.id()})) {
      if (map.complete() || record.epoch() > since) *table.add_buckets() = record.bucket();
    }
    if (table.buckets_size() > 0) *map.add_tables() = std::move(table);
  }
  return map;
}

}  // namespace ringfs::master
