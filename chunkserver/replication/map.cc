#include "chunkserver/replication/map.h"

#include <algorithm>

#include "common/ring/ring.h"

namespace ringfs::chunkserver {
namespace {

std::optional<MemberState> StateFromWire(wire::MemberState state) {
  switch (state) {
    case wire::MEMBER_SERVING:
      return MemberState::kServing;
    case wire::MEMBER_SYNCING:
      return MemberState::kSyncing;
    case wire::MEMBER_OFFLINE:
      return MemberState::kOffline;
    default:
      return std::nullopt;
  }
}

Result<void> Check(const wire::ClusterMap& map) {
  for (const wire::Pool& pool : map.pools()) {
    if (pool.bucket_bits() > kMaxBucketBits) return Fail(Errc::kInvalid, "bucket_bits");
  }
  for (const wire::BucketTable& table : map.tables()) {
    for (const wire::Bucket& bucket : table.buckets()) {
      const bool known = std::all_of(bucket.states().begin(), bucket.states().end(), [](int state) {
        return StateFromWire(static_cast<wire::MemberState>(state)).has_value();
      });
      if (!known || bucket.servers_size() != bucket.states_size()) {
        return Fail(Errc::kInvalid, "members of bucket " + std::to_string(bucket.id()));
      }
    }
  }
  return {};
}

}  // namespace

ServerId Bucket::head() const {
  for (const Member& member : members) {
    if (member.state == MemberState::kServing) return member.server;
  }
  return ServerId{0};
}

std::optional<MemberState> Bucket::StateOf(ServerId server) const {
  for (const Member& member : members) {
    if (member.server == server) return member.state;
  }
  return std::nullopt;
}

std::vector<ServerId> Bucket::Serving() const {
  std::vector<ServerId> serving;
  for (const Member& member : members) {
    if (member.state == MemberState::kServing) serving.push_back(member.server);
  }
  return serving;
}

Result<std::vector<BucketKey>> ClusterMap::Install(const wire::ClusterMap& map, int64_t now_ms) {
  const Result<void> checked = Check(map);
  if (!checked) return Fail(checked.error());
  std::vector<BucketKey> changed;
  if (map.epoch() < epoch_) return changed;  // overtaken by a newer one
  epoch_ = map.epoch();
  TakeServers(map);
  for (const wire::BucketTable& table : map.tables()) {
    for (const wire::Bucket& wire : table.buckets()) {
      const BucketKey key{PoolId{table.pool()}, BucketId{wire.id()}};
      Bucket& bucket = buckets_[key];
      if (wire.version() <= bucket.version) continue;
      TakeBucket(bucket, wire, now_ms);
      changed.push_back(key);
    }
  }
  return changed;
}

void ClusterMap::TakeServers(const wire::ClusterMap& map) {
  for (const wire::Pool& pool : map.pools()) bucket_bits_[pool.id()] = pool.bucket_bits();
  for (const wire::Server& server : map.servers()) {
    const bool dead = server.state() == wire::SERVER_DOWN || server.state() == wire::SERVER_GONE;
    servers_[server.id()] = Server{server.address(), dead};
  }
}

void ClusterMap::TakeBucket(Bucket& bucket, const wire::Bucket& wire, int64_t now_ms) {
  std::vector<ServerId> former = bucket.Serving();
  former.insert(former.end(), bucket.former.begin(), bucket.former.end());
  if (bucket.version == 0 && wire.version() > 1) bucket.past_unknown_ms = now_ms;
  bucket.version = wire.version();
  bucket.since_ms = now_ms;
  bucket.members.clear();
  for (int i = 0; i < wire.servers_size(); ++i) {
    bucket.members.push_back(Member{ServerId{wire.servers(i)}, *StateFromWire(wire.states(i))});
  }
  bucket.former.clear();
  for (const ServerId server : former) {
    const auto known = servers_.find(Raw(server));
    const bool dead = known == servers_.end() || known->second.dead;
    if (dead || bucket.StateOf(server) == MemberState::kServing) continue;
    if (std::find(bucket.former.begin(), bucket.former.end(), server) == bucket.former.end()) {
      bucket.former.push_back(server);
    }
  }
}

std::optional<BucketKey> ClusterMap::BucketOfBlock(const BlockKey& key) const {
  const auto bits = bucket_bits_.find(Raw(key.pool));
  if (bits == bucket_bits_.end()) return std::nullopt;
  return BucketKey{key.pool, BucketOf(key.data, key.index, bits->second)};
}

const Bucket& ClusterMap::Find(const BucketKey& key) const {
  static const Bucket kUnknown;
  const auto found = buckets_.find(key);
  return found == buckets_.end() ? kUnknown : found->second;
}

std::optional<std::string> ClusterMap::AddressOf(ServerId server) const {
  const auto found = servers_.find(Raw(server));
  if (found == servers_.end()) return std::nullopt;
  return found->second.address;
}

std::vector<BucketKey> ClusterMap::BucketsWith(ServerId server, MemberState state) const {
  std::vector<BucketKey> keys;
  for (const auto& [key, bucket] : buckets_) {
    if (bucket.StateOf(server) == state) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace ringfs::chunkserver
