#include "master/cluster/planner.h"

#include <algorithm>

#include "common/clock.h"
#include "common/log.h"
#include "master/cluster/bucket_step.h"

namespace ringfs::master {
namespace {

constexpr int kBucketsPerCommand = 1 << 14;

wire::Bucket ToWire(BucketId id, const KnownBucket& bucket) {
  wire::Bucket wire;
  wire.set_id(Raw(id));
  // The one that it is to be changed from.
  wire.set_version(bucket.version - 1);
  for (const Member& member : bucket.members) {
    wire.add_servers(Raw(member.server));
    wire.add_states(member.state);
  }
  return wire;
}

// The changes of buckets, in commands of bounded size.
std::vector<wire::ChangeMembers> ToCommands(const std::set<BucketRef>& changed,
                                            const BucketIndex& index) {
  std::vector<wire::ChangeMembers> commands;
  wire::BucketTable* table = nullptr;
  for (const BucketRef& ref : changed) {
    if (table == nullptr || table->buckets_size() == kBucketsPerCommand ||
        table->pool() != Raw(ref.pool)) {
      table = commands.emplace_back().add_tables();
      table->set_pool(Raw(ref.pool));
    }
    *table->add_buckets() = ToWire(ref.bucket, *index.Find(ref));
  }
  return commands;
}

uint64_t CountServing(const Members& members) {
  return static_cast<uint64_t>(
      std::count_if(members.begin(), members.end(),
                    [](const Member& member) { return member.state == wire::MEMBER_SERVING; }));
}

}  // namespace

Planner::Planner(const PlannerOptions& options)
    : options_(options),
      servers_(options.grace_ms * kNsPerMs, options.lease_ms * kNsPerMs),
      throttle_(options.syncing_per_server, options.starts_per_span, options.span_ms * kNsPerMs) {}

void Planner::BucketsSynced(ServerId server, const std::vector<wire::SyncedBucket>& buckets) {
  for (const wire::SyncedBucket& synced : buckets) {
    const BucketRef ref{PoolId{synced.pool()}, BucketId{synced.bucket()}};
    const KnownBucket* bucket = index_.Find(ref);
    if (bucket == nullptr || bucket->version != synced.version()) continue;
    const Member syncing{server, wire::MEMBER_SYNCING};
    if (std::count(bucket->members.begin(), bucket->members.end(), syncing) == 0) continue;
    auto& reports = synced_[ref];
    const std::pair report(server, synced.version());
    if (std::count(reports.begin(), reports.end(), report) > 0) continue;
    reports.push_back(report);
    ++reports_[server];
  }
}

std::vector<wire::ChangeMembers> Planner::Decide(const ClusterView& view, int64_t now_ns) {
  if (!loaded_) Load(view, now_ns);
  if (!loaded_) return {};
  AddPools(view);
  Confirm(view);
  for (const ServerTable::Change& change : servers_.Refresh(view, now_ns)) Touch(change);
  if (placed_) {
    RenewWish(now_ns);
    throttle_.LookAtTime(now_ns);
    TakeReports(now_ns);
    for (const BucketRef& ref : std::exchange(dirty_, {})) Judge(ref);
    // Each round leaves fewer that wait, or no room for them.
    for (auto ready = throttle_.TakeReady(index_, servers_); !ready.empty();
         ready = throttle_.TakeReady(index_, servers_)) {
      for (const BucketRef& ref : ready) Judge(ref);
    }
  }
  if (!unplaced_.empty()) PlaceFirst();
  servers_.RestartsDone();
  if (reports_.empty()) synced_.clear();
  TakeTime(now_ns);
  return ToCommands(decided_, index_);
}

void Planner::Load(const ClusterView& view, int64_t now_ns) {
  if (view.Pools().empty()) return;
  loaded_ = true;
  servers_.Load(view, now_ns);
  servers_.Refresh(view, now_ns);
  AddPools(view);
}

void Planner::AddPools(const ClusterView& view) {
  for (const wire::Pool& pool : view.Pools()) {
    const PoolId id{pool.id()};
    if (!pools_.emplace(id, pool).second) continue;
    index_.Load(view, id);
    bool placed = false;
    const std::vector<KnownBucket>& buckets = index_.pools().at(id);
    for (uint32_t bucket = 0; bucket < buckets.size(); ++bucket) {
      placed = placed || !buckets[bucket].members.empty();
      DoubtFromBefore(BucketRef{id, BucketId{bucket}});
    }
    if (!placed) unplaced_.insert(id);
    placed_ = placed_ || placed;
  }
}

// A member that is down and serves beside one that is up was kept by an earlier master because the
// other was in doubt.
void Planner::DoubtFromBefore(const BucketRef& ref) {
  dirty_.insert(ref);
  KnownBucket bucket = *index_.Find(ref);
  const auto is_kept = [&](const Member& member) {
    return member.state == wire::MEMBER_SERVING && !servers_.Facts(member.server).up;
  };
  if (std::none_of(bucket.members.begin(), bucket.members.end(), is_kept)) return;
  for (Member& member : bucket.members) {
    member.doubtful = member.state == wire::MEMBER_SERVING && servers_.Facts(member.server).up;
  }
  index_.Put(ref, std::move(bucket));
}

void Planner::Confirm(const ClusterView& view) {
  for (const BucketRef& ref : std::exchange(decided_, {})) {
    if (index_.Reload(view, ref)) dirty_.insert(ref);
  }
}

void Planner::Touch(const ServerTable::Change& change) {
  const std::set<BucketRef>& held = index_.Of(change.server);
  dirty_.insert(held.begin(), held.end());
  if (!change.came_up) return;
  for (const auto& [pool, table] : wanted_) {
    for (uint32_t bucket = 0; bucket < table.size(); ++bucket) {
      const std::vector<ServerId>& wanted = table[bucket];
      if (std::find(wanted.begin(), wanted.end(), change.server) == wanted.end()) continue;
      dirty_.insert(BucketRef{pool, BucketId{bucket}});
    }
  }
}

void Planner::PlaceFirst() {
  std::vector<RingServer> ring = servers_.Ring();
  std::erase_if(ring, [&](const RingServer& server) { return !servers_.Facts(server.id).up; });
  if (!placed_ && ring.size() < options_.initial_servers) return;
  for (const PoolId id : std::set(unplaced_)) {
    if (ring.size() < pools_.at(id).replicas() || !AskRing(id, ring)) continue;
    unplaced_.erase(id);
    placed_ = true;
    const WantedTable& table = wanted_[id];
    for (uint32_t bucket = 0; bucket < table.size(); ++bucket) {
      Members members;
      for (const ServerId server : table[bucket]) {
        members.push_back(Member{server, wire::MEMBER_SERVING});
      }
      Change(BucketRef{id, BucketId{bucket}}, std::move(members));
    }
  }
}

// While the ring has no servers the last wish stands: they will come back.
void Planner::RenewWish(int64_t now_ns) {
  if (!servers_.ring_changed() || now_ns < next_wish_ns_) return;
  next_wish_ns_ = now_ns + options_.wish_interval_ms * kNsPerMs;
  servers_.TakeRingChanged();
  const std::vector<RingServer> ring = servers_.Ring();
  if (ring.empty()) return;
  for (const auto& [id, pool] : pools_) {
    const WantedTable before = wanted_[id];
    if (unplaced_.contains(id) || !AskRing(id, ring)) continue;
    const WantedTable& after = wanted_[id];
    for (uint32_t bucket = 0; bucket < after.size(); ++bucket) {
      if (!before.empty() && before[bucket] == after[bucket]) continue;
      dirty_.insert(BucketRef{id, BucketId{bucket}});
    }
  }
}

bool Planner::AskRing(PoolId pool, const std::vector<RingServer>& ring) {
  PoolShape shape;
  shape.pool = pool;
  shape.replicas = pools_[pool].replicas();
  shape.bucket_bits = pools_[pool].bucket_bits();
  WantedTable& wanted = wanted_[pool];
  Result<WantedTable> placed =
      PlaceBuckets(shape, ring,
                   wanted.empty() && !unplaced_.contains(pool) ? MembersOf(pool) : wanted);
  if (!placed) {
    // The last wish stands; the next change of a server asks again.
    spdlog::error("the ring cannot place pool {}: {}", Raw(pool), placed.error().ToString());
    return false;
  }
  wanted = *std::move(placed);
  return true;
}

WantedTable Planner::MembersOf(PoolId pool) const {
  WantedTable table;
  for (const KnownBucket& bucket : index_.pools().at(pool)) {
    std::vector<ServerId>& members = table.emplace_back();
    for (const Member& member : bucket.members) members.push_back(member.server);
  }
  return table;
}

void Planner::TakeReports(int64_t now_ns) {
  if (reports_.empty()) return;
  if (reports_since_ns_ == 0) reports_since_ns_ = now_ns;
  const bool enough = std::any_of(reports_.begin(), reports_.end(), [&](const auto& of) {
    return of.second >= std::min(options_.reports_together, index_.Syncing(of.first));
  });
  if (!enough && now_ns < reports_since_ns_ + options_.span_ms * kNsPerMs) return;
  for (const auto& [ref, servers] : synced_) dirty_.insert(ref);
  reports_.clear();
  reports_since_ns_ = 0;
}

void Planner::Judge(const BucketRef& ref) {
  const KnownBucket& bucket = *index_.Find(ref);
  Members members = bucket.members;
  const FactsOf facts = [this](ServerId server) -> const ServerFacts& {
    return servers_.Facts(server);
  };
  const bool settled = SettleBucket(members, facts);
  // A report holds for the version that it names, and that has just ended.
  const std::vector<ServerId> synced = settled ? std::vector<ServerId>() : SyncedAt(ref, bucket);

  const WantedTable& table = wanted_[ref.pool];
  bool advanced = false;
  if (!table.empty()) {
    const uint32_t copies = CountServingUp(members, facts);
    const TakeSlot take_slot = [&](ServerId server) {
      return throttle_.Take(index_, server, ref, copies);
    };
    const BucketWish wish{table[Raw(ref.bucket)], pools_[ref.pool].replicas()};
    advanced = AdvanceBucket(members, facts, wish, synced, take_slot);
    if (advanced) copies_done_ += synced.size();
  }
  if (settled || advanced) {
    Change(ref, std::move(members));
  } else if (members != bucket.members) {
    index_.Put(ref, KnownBucket{bucket.version, std::move(members)});
  }
}

std::vector<ServerId> Planner::SyncedAt(const BucketRef& ref, const KnownBucket& bucket) const {
  std::vector<ServerId> servers;
  const auto found = synced_.find(ref);
  if (found == synced_.end()) return servers;
  for (const Member& member : bucket.members) {
    const bool reported =
        std::find(found->second.begin(), found->second.end(),
                  std::pair(member.server, bucket.version)) != found->second.end();
    if (reported && member.state == wire::MEMBER_SYNCING) servers.push_back(member.server);
  }
  return servers;
}

void Planner::Change(const BucketRef& ref, Members members) {
  // Looked at twice, it is still changed once.
  const uint64_t versions = decided_.insert(ref).second ? 1 : 0;
  index_.Put(ref, KnownBucket{index_.Find(ref)->version + versions, std::move(members)});
}

void Planner::TakeTime(int64_t now_ns) {
  const bool copying = index_.syncing() > 0 || throttle_.AnyWaits();
  if (copying == (copying_since_ns_ != 0)) return;
  copying_since_ns_ = copying ? now_ns : 0;
  copies_done_ = 0;
}

Progress Planner::MeasureProgress(int64_t now_ns) const {
  Progress progress;
  const FactsOf facts = [this](ServerId server) -> const ServerFacts& {
    return servers_.Facts(server);
  };
  for (const auto& [id, buckets] : index_.pools()) {
    const auto wanted = wanted_.find(id);
    for (uint32_t number = 0; number < buckets.size(); ++number) {
      const Members& members = buckets[number].members;
      if (members.empty()) continue;
      if (CountServingUp(members, facts) == 0) {
        ++progress.lost;
      } else if (CountServing(members) < pools_.at(id).replicas()) {
        ++progress.degraded;
      } else {
        ++progress.healthy;
      }
      const auto is_moving = [](const Member& m) { return m.state == wire::MEMBER_SYNCING; };
      progress.moving += std::any_of(members.begin(), members.end(), is_moving) ? 1 : 0;
      if (wanted == wanted_.end() || wanted->second.empty()) continue;
      for (const ServerId server : wanted->second[number]) {
        const auto serves = [&](const Member& m) {
          return m.server == server && m.state == wire::MEMBER_SERVING;
        };
        if (std::none_of(members.begin(), members.end(), serves)) ++progress.copies_left;
      }
    }
  }
  progress.copies_done = copies_done_;
  if (copying_since_ns_ != 0) progress.elapsed_ns = now_ns - copying_since_ns_;
  return progress;
}

}  // namespace ringfs::master
