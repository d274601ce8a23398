#include "tests/chunkserver/simulation/fake_master.h"

#include <algorithm>

namespace ringfs::chunkserver::simulation {
namespace {

wire::MemberState ToWire(MemberState state) {
  switch (state) {
    case MemberState::kServing:
      return wire::MEMBER_SERVING;
    case MemberState::kSyncing:
      return wire::MEMBER_SYNCING;
    case MemberState::kOffline:
      return wire::MEMBER_OFFLINE;
  }
  return wire::MEMBER_UNKNOWN;
}

}  // namespace

FakeMaster::FakeMaster(World& world, uint32_t servers, uint32_t replicas, uint32_t bucket_bits)
    : world_(world), bucket_bits_(bucket_bits), buckets_(size_t{1} << bucket_bits) {
  for (uint32_t id = 1; id <= servers; ++id) servers_[ServerId{id}];
  for (size_t i = 0; i < buckets_.size(); ++i) {
    for (uint32_t r = 0; r < replicas; ++r) {
      const auto id = static_cast<uint32_t>((i + r) % servers + 1);
      buckets_[i].members.push_back(Member{ServerId{id}, MemberState::kServing});
    }
  }
}

wire::ClusterMap FakeMaster::Map() const {
  wire::ClusterMap map;
  map.set_epoch(epoch_);
  map.set_complete(true);
  for (const auto& [id, server] : servers_) {
    wire::Server& entry = *map.add_servers();
    entry.set_id(Raw(id));
    entry.set_state(server.up ? wire::SERVER_UP : wire::SERVER_DOWN);
  }
  wire::Pool& pool = *map.add_pools();
  pool.set_id(1);
  pool.set_bucket_bits(bucket_bits_);
  wire::BucketTable& table = *map.add_tables();
  table.set_pool(1);
  for (size_t i = 0; i < buckets_.size(); ++i) {
    wire::Bucket& bucket = *table.add_buckets();
    bucket.set_id(static_cast<uint32_t>(i));
    bucket.set_version(buckets_[i].version);
    for (const Member& member : buckets_[i].members) {
      bucket.add_servers(Raw(member.server));
      bucket.add_states(ToWire(member.state));
    }
  }
  return map;
}

bool FakeMaster::AllServe() const {
  for (const Bucket& bucket : buckets_) {
    for (const Member& member : bucket.members) {
      if (member.state != MemberState::kServing || !servers_.at(member.server).up) return false;
    }
  }
  return true;
}

size_t FakeMaster::ServingUp(const Bucket& bucket, ServerId but) const {
  size_t count = 0;
  for (const Member& member : bucket.members) {
    const bool counts = member.state == MemberState::kServing && member.server != but;
    if (counts && servers_.at(member.server).up) ++count;
  }
  return count;
}

// The server's copies may be behind: it is set aside wherever another still serves.
void FakeMaster::LoseServer(ServerId server) {
  for (Bucket& bucket : buckets_) {
    for (Member& member : bucket.members) {
      if (member.server != server || member.state == MemberState::kOffline) continue;
      if (member.state == MemberState::kServing && ServingUp(bucket, server) == 0) continue;
      member.state = MemberState::kOffline;
      Change(bucket);
    }
  }
}

void FakeMaster::TakeBack(ServerId server) {
  for (Bucket& bucket : buckets_) {
    for (Member& member : bucket.members) {
      if (member.server != server || member.state != MemberState::kOffline) continue;
      member.state = MemberState::kSyncing;
      Change(bucket);
    }
  }
}

void FakeMaster::Register(ServerId id, uint64_t incarnation) {
  Server& server = servers_[id];
  const bool first = server.incarnation == 0;
  server.heard_ms = world_.NowMs();
  if (server.incarnation == incarnation && server.up) return;
  const bool restarted = server.incarnation != incarnation;
  server.incarnation = incarnation;
  server.up = true;
  if (restarted) {
    for (auto& [session, waiting] : fences_) waiting.erase(id);
  }
  if (first) return Publish();
  if (restarted) {
    LoseServer(id);
    // Where it is the last one it stays, in a new version.
    for (Bucket& bucket : buckets_) {
      for (const Member& member : bucket.members) {
        if (member.server == id && member.state == MemberState::kServing) Change(bucket);
      }
    }
  }
  TakeBack(id);
  dirty_ = true;
  Publish();
}

Result<uint64_t> FakeMaster::Heartbeat(ServerId id, uint64_t incarnation) {
  Server& server = servers_[id];
  if (server.incarnation != incarnation) return Fail(Errc::kStale);
  server.heard_ms = world_.NowMs();
  if (!server.up) {
    server.up = true;
    dirty_ = true;
    TakeBack(id);
    Publish();
  }
  return epoch_;
}

Result<void> FakeMaster::Synced(ServerId server, uint64_t incarnation, BucketId bucket_id,
                                uint64_t version) {
  Bucket& bucket = buckets_[Raw(bucket_id)];
  if (bucket.version != version || servers_[server].incarnation != incarnation) return {};
  for (Member& member : bucket.members) {
    if (member.server != server || member.state != MemberState::kSyncing) continue;
    member.state = MemberState::kServing;
    Change(bucket);
  }
  Publish();
  return {};
}

void FakeMaster::Tick() {
  for (auto& [id, server] : servers_) {
    if (!server.up || world_.NowMs() < server.heard_ms + kLeaseMs) continue;
    server.up = false;
    dirty_ = true;
    LoseServer(id);
    for (auto& [session, waiting] : fences_) waiting.erase(id);
  }
  Publish();
}

void FakeMaster::Shuffle() {
  Bucket& bucket =
      buckets_[static_cast<size_t>(world_.Pick(0, static_cast<int64_t>(buckets_.size()) - 1))];
  const auto count = static_cast<int64_t>(bucket.members.size());
  const auto at = static_cast<size_t>(world_.Pick(0, count - 1));
  Member& member = bucket.members[at];
  if (world_.Chance(0.5)) {
    std::swap(bucket.members.front(), member);
  } else if (member.state == MemberState::kServing && ServingUp(bucket, member.server) > 0) {
    member.state = MemberState::kOffline;
    Change(bucket);
    if (world_.Chance(0.5)) member.state = MemberState::kSyncing;
  } else if (member.state == MemberState::kOffline && servers_[member.server].up) {
    member.state = MemberState::kSyncing;
  }
  Change(bucket);
  Publish();
}

void FakeMaster::Publish() {
  if (!dirty_) return;
  dirty_ = false;
  ++epoch_;
  if (changed) changed();
}

void FakeMaster::Fence(SessionId session) {
  live_.erase(session);
  std::set<ServerId>& waiting = fences_[session];
  for (const auto& [id, server] : servers_) {
    if (server.up) waiting.insert(id);
  }
}

std::set<ServerId> FakeMaster::Unconfirmed(SessionId session) const {
  const auto found = fences_.find(session);
  return found == fences_.end() ? std::set<ServerId>() : found->second;
}

}  // namespace ringfs::chunkserver::simulation
