#include "client/cluster_view.h"

#include <fmt/format.h>

#include <set>

#include "common/ring/ring.h"

namespace ringfs::client {
namespace {

// kCorrupted unless the buckets are numbered 0, 1, 2... up to all of the pool's. A pool whose
// buckets were not assigned yet has none.
Result<void> CheckComplete(const wire::BucketTable& table, uint32_t bits) {
  if (table.buckets_size() == 0) return {};
  if (table.buckets_size() != 1 << bits) {
    return Fail(Errc::kCorrupted, fmt::format("a map with {} of 2^{} buckets of pool {}",
                                              table.buckets_size(), bits, table.pool()));
  }
  for (int i = 0; i < table.buckets_size(); ++i) {
    if (table.buckets(i).id() != static_cast<uint32_t>(i)) {
      return Fail(Errc::kCorrupted, fmt::format("a map without bucket {}", i));
    }
  }
  return {};
}

Result<void> CheckChanges(const wire::BucketTable& table, uint32_t bits) {
  for (const wire::Bucket& bucket : table.buckets()) {
    if (bucket.id() >> bits != 0) {
      return Fail(Errc::kCorrupted,
                  fmt::format("a change of bucket {} of 2^{}", bucket.id(), bits));
    }
  }
  return {};
}

Result<void> CheckMembers(const wire::BucketTable& table) {
  for (const wire::Bucket& bucket : table.buckets()) {
    if (bucket.servers_size() != bucket.states_size()) {
      return Fail(Errc::kCorrupted,
                  fmt::format("a map whose bucket {} has {} members with {} states", bucket.id(),
                              bucket.servers_size(), bucket.states_size()));
    }
  }
  return {};
}

}  // namespace

Result<void> ClusterView::Apply(const wire::ClusterMap& map) {
  if (map.epoch() < map_.epoch()) return {};
  std::unordered_map<uint32_t, uint32_t> bits;
  for (const wire::Pool& pool : map.pools()) {
    if (pool.bucket_bits() > kMaxBucketBits) {
      return Fail(Errc::kCorrupted, fmt::format("a map with 2^{} buckets", pool.bucket_bits()));
    }
    bits[pool.id()] = pool.bucket_bits();
  }
  for (const wire::BucketTable& table : map.tables()) {
    if (!bits.contains(table.pool())) {
      return Fail(Errc::kCorrupted, fmt::format("a map with buckets of no pool {}", table.pool()));
    }
    if (auto checked = CheckMembers(table); !checked) return checked;
    const bool whole = map.complete() || !FindTable(PoolId{table.pool()});
    auto checked =
        whole ? CheckComplete(table, bits[table.pool()]) : CheckChanges(table, bits[table.pool()]);
    if (!checked) return checked;
  }
  bits_ = std::move(bits);
  if (map.complete()) {
    map_ = map;
    return {};
  }
  map_.set_epoch(map.epoch());
  *map_.mutable_servers() = map.servers();
  *map_.mutable_pools() = map.pools();
  for (const wire::BucketTable& table : map.tables()) Merge(table);
  return {};
}

void ClusterView::Merge(const wire::BucketTable& changes) {
  for (wire::BucketTable& table : *map_.mutable_tables()) {
    if (table.pool() != changes.pool()) continue;
    if (table.buckets_size() == 0) {  // the pool's first placement
      table = changes;
      return;
    }
    for (const wire::Bucket& bucket : changes.buckets()) {
      *table.mutable_buckets(static_cast<int>(bucket.id())) = bucket;
    }
    return;
  }
  *map_.add_tables() = changes;
}

const wire::BucketTable* ClusterView::FindTable(PoolId pool) const {
  for (const wire::BucketTable& table : map_.tables()) {
    if (table.pool() == Raw(pool) && table.buckets_size() > 0) return &table;
  }
  return nullptr;
}

Result<BucketPlace> ClusterView::Find(const BlockKey& key) const {
  const auto bits = bits_.find(Raw(key.pool));
  // A newer map may have it.
  if (bits == bits_.end()) {
    return Fail(Errc::kNoServers, fmt::format("no pool {}", Raw(key.pool)));
  }
  const wire::BucketTable* table = FindTable(key.pool);
  const uint32_t number = Raw(BucketOf(key.data, key.index, bits->second));
  if (!table || number >= static_cast<uint32_t>(table->buckets_size())) {
    return Fail(Errc::kNoServers, "the cluster has not got enough chunkservers yet");
  }
  const wire::Bucket& bucket = table->buckets(static_cast<int>(number));
  BucketPlace place;
  place.version = bucket.version();
  for (int i = 0; i < bucket.servers_size(); ++i) {
    if (bucket.states(i) == wire::MEMBER_SERVING) {
      place.serving.push_back(ServerId{bucket.servers(i)});
    }
  }
  if (place.serving.empty()) {
    return Fail(Errc::kNoServers, fmt::format("no server serves bucket {}", number));
  }
  place.head = place.serving.front();
  return place;
}

const wire::Server* ClusterView::FindServer(ServerId server) const {
  for (const wire::Server& each : map_.servers()) {
    if (each.id() == Raw(server)) return &each;
  }
  return nullptr;
}

std::vector<ServerId> ClusterView::ServersOf(PoolId pool) const {
  std::set<ServerId> servers;
  const wire::BucketTable* table = FindTable(pool);
  if (!table) return {};
  for (const wire::Bucket& bucket : table->buckets()) {
    for (int i = 0; i < bucket.servers_size(); ++i) {
      if (bucket.states(i) == wire::MEMBER_SERVING || bucket.states(i) == wire::MEMBER_SYNCING) {
        servers.insert(ServerId{bucket.servers(i)});
      }
    }
  }
  return {servers.begin(), servers.end()};
}

}  // namespace ringfs::client
