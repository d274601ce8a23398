#include "chunkserver/replication/drop_order.h"

#include <algorithm>
#include <optional>

namespace ringfs::chunkserver {
namespace {

bool Counts(wire::MemberState state) {
  return state == wire::MEMBER_SERVING || state == wire::MEMBER_SYNCING;
}

// Whether this server gains a place by the change of a bucket, or has lost one in between.
bool Gains(ServerId self, const Bucket& before, const wire::Bucket& after) {
  for (int i = 0; i < after.servers_size(); ++i) {
    if (ServerId{after.servers(i)} != self || !Counts(after.states(i))) continue;
    const std::optional<MemberState> was = before.StateOf(self);
    if (!was || *was == MemberState::kOffline) return true;
    return *was == MemberState::kServing && after.states(i) == wire::MEMBER_SYNCING;
  }
  return false;
}

}  // namespace

void DropOrder::Learn(ServerId self, const ClusterMap& known, const wire::ClusterMap& map) {
  if (map.epoch() <= known.epoch()) return;
  for (const wire::BucketTable& table : map.tables()) {
    for (const wire::Bucket& bucket : table.buckets()) {
      const Bucket& before = known.Find({PoolId{table.pool()}, BucketId{bucket.id()}});
      if (bucket.version() <= before.version || !Gains(self, before, bucket)) continue;
      counted_since_ = map.epoch();
      return;
    }
  }
}

void DropOrder::Registered(uint64_t epoch) { counted_since_ = std::max(counted_since_, epoch); }

Result<void> DropOrder::Begin(SessionId session, uint64_t number, uint64_t epoch) {
  if (number == 0) return {};
  if (epoch < counted_since_) {
    return Fail(Errc::kStaleEpoch, "the drop was sent before this server had its place");
  }
  uint64_t& newest = newest_[session];
  if (number <= newest) {
    return Fail(Errc::kVersionMismatch, "a newer drop of the session came first");
  }
  newest = number;
  return {};
}

std::vector<SessionId> DropOrder::Sessions() const {
  std::vector<SessionId> sessions;
  for (const auto& [session, number] : newest_) sessions.push_back(session);
  return sessions;
}

}  // namespace ringfs::chunkserver
