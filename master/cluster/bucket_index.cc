#include "master/cluster/bucket_index.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace ringfs::master {
namespace {

KnownBucket FromWire(const wire::Bucket& bucket) {
  KnownBucket known;
  known.version = bucket.version();
  for (int i = 0; i < bucket.servers_size() && i < bucket.states_size(); ++i) {
    known.members.push_back(Member{ServerId{bucket.servers(i)}, bucket.states(i)});
  }
  return known;
}

bool Names(const Members& members, ServerId server) {
  return std::any_of(members.begin(), members.end(),
                     [&](const Member& member) { return member.server == server; });
}

}  // namespace

void BucketIndex::Load(const ClusterView& view, PoolId pool) {
  const std::vector<wire::BucketRecord>& records = view.Buckets(pool);
  pools_[pool].resize(records.size());
  for (const wire::BucketRecord& record : records) {
    Put(BucketRef{pool, BucketId{record.bucket().id()}}, FromWire(record.bucket()));
  }
}

bool BucketIndex::Reload(const ClusterView& view, const BucketRef& ref) {
  const std::vector<wire::BucketRecord>& records = view.Buckets(ref.pool);
  RINGFS_CHECK(Raw(ref.bucket) < records.size());
  const wire::Bucket& bucket = records[Raw(ref.bucket)].bucket();
  const KnownBucket* known = Find(ref);
  RINGFS_CHECK(known != nullptr);
  if (bucket.version() == known->version) return false;
  Put(ref, FromWire(bucket));
  return true;
}

const KnownBucket* BucketIndex::Find(const BucketRef& ref) const {
  const auto found = pools_.find(ref.pool);
  if (found == pools_.end() || Raw(ref.bucket) >= found->second.size()) return nullptr;
  return &found->second[Raw(ref.bucket)];
}

// Most changes leave the servers what they are: the sets are touched only where they change.
void BucketIndex::Put(const BucketRef& ref, KnownBucket bucket) {
  KnownBucket& known = pools_.at(ref.pool).at(Raw(ref.bucket));
  for (const Member& member : known.members) {
    PerServer& server = servers_[member.server];
    if (!Names(bucket.members, member.server)) server.buckets.erase(ref);
    if (member.state != wire::MEMBER_SYNCING) continue;
    --server.syncing;
    --syncing_;
  }
  for (const Member& member : bucket.members) {
    PerServer& server = servers_[member.server];
    if (!Names(known.members, member.server)) server.buckets.insert(ref);
    if (member.state != wire::MEMBER_SYNCING) continue;
    ++server.syncing;
    ++syncing_;
  }
  known = std::move(bucket);
}

const std::set<BucketRef>& BucketIndex::Of(ServerId server) const {
  static const std::set<BucketRef> kNone;
  const auto found = servers_.find(server);
  return found == servers_.end() ? kNone : found->second.buckets;
}

uint32_t BucketIndex::Syncing(ServerId server) const {
  const auto found = servers_.find(server);
  return found == servers_.end() ? 0 : found->second.syncing;
}

}  // namespace ringfs::master
