#include "tests/master/cluster_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

namespace ringfs::master {
namespace {

constexpr int kMaxRounds = 64;

char Letter(wire::MemberState state) {
  if (state == wire::MEMBER_SERVING) return 'S';
  return state == wire::MEMBER_SYNCING ? 'Y' : 'O';
}

wire::MemberState StateOf(char letter) {
  if (letter == 'S') return wire::MEMBER_SERVING;
  return letter == 'Y' ? wire::MEMBER_SYNCING : wire::MEMBER_OFFLINE;
}

Members FromWire(const wire::Bucket& bucket) {
  Members members;
  for (int i = 0; i < bucket.servers_size(); ++i) {
    members.push_back(Member{ServerId{bucket.servers(i)}, bucket.states(i)});
  }
  return members;
}

}  // namespace

Members ParseMembers(std::string_view text) {
  Members members;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    Member member;
    member.doubtful = word.back() == '?';
    if (member.doubtful) word.pop_back();
    member.state = StateOf(word.back());
    member.server = ServerId{static_cast<uint32_t>(std::stoul(word))};
    members.push_back(member);
  }
  return members;
}

std::string ToText(const Members& members) {
  std::string text;
  for (const Member& member : members) {
    if (!text.empty()) text += ' ';
    text += std::to_string(Raw(member.server)) + Letter(member.state);
    if (member.doubtful) text += '?';
  }
  return text;
}

FakeCluster::FakeCluster(uint32_t replicas, uint32_t bucket_bits, const PlannerOptions& options)
    : options_(options), planner_(std::make_unique<Planner>(options)) {
  wire::Pool& pool = pools_.emplace_back();
  pool.set_id(1);
  pool.set_replicas(replicas);
  pool.set_bucket_bits(bucket_bits);
  for (uint32_t id = 0; id < uint32_t{1} << bucket_bits; ++id) {
    buckets_.emplace_back().mutable_bucket()->set_id(id);
  }
}

uint32_t FakeCluster::Join(uint32_t weight, const std::string& zone) {
  const auto id = static_cast<uint32_t>(servers_.size() + 1);
  wire::Server& server = *servers_[ServerId{id}].mutable_server();
  server.set_id(id);
  server.set_uuid("server-" + std::to_string(id));
  server.set_zone(zone);
  server.set_weight(weight);
  server.set_state(wire::SERVER_UP);
  planner_->ServerRegistered(ServerId{id}, false);
  Decide();
  return id;
}

void FakeCluster::Lose(uint32_t server) { LoseTogether({server}); }

void FakeCluster::LoseTogether(const std::vector<uint32_t>& servers) {
  for (const uint32_t server : servers) {
    wire::Server& record = *servers_.at(ServerId{server}).mutable_server();
    if (record.state() != wire::SERVER_GONE) record.set_state(wire::SERVER_DOWN);
    planner_->ServerLost(ServerId{server});
  }
  Decide();
}

void FakeCluster::Return(uint32_t server) {
  wire::Server& record = *servers_.at(ServerId{server}).mutable_server();
  if (record.state() == wire::SERVER_DOWN) record.set_state(wire::SERVER_UP);
  planner_->ServerRegistered(ServerId{server}, false);
  Decide();
}

void FakeCluster::Restart(uint32_t server) {
  wire::Server& record = *servers_.at(ServerId{server}).mutable_server();
  if (record.state() == wire::SERVER_DOWN) record.set_state(wire::SERVER_UP);
  planner_->ServerRegistered(ServerId{server}, true);
  restarting_ = server;
  Decide();
  restarting_ = 0;
}

void FakeCluster::Order(uint32_t server, wire::ServerState state) {
  servers_.at(ServerId{server}).mutable_server()->set_state(state);
  planner_->ServerChanged(ServerId{server});
  Decide();
}

void FakeCluster::Remove(uint32_t server) {
  Order(server, wire::SERVER_GONE);
  Lose(server);
}

void FakeCluster::SetWeight(uint32_t server, uint32_t weight) {
  servers_.at(ServerId{server}).mutable_server()->set_weight(weight);
  planner_->ServerChanged(ServerId{server});
  Decide();
}

void FakeCluster::Report(uint32_t server, uint32_t bucket, uint64_t version) {
  wire::SyncedBucket synced;
  synced.set_pool(1);
  synced.set_bucket(bucket);
  synced.set_version(version != 0 ? version : Version(bucket));
  planner_->BucketsSynced(ServerId{server}, {synced});
  Decide();
}

void FakeCluster::RestartMaster() {
  planner_ = std::make_unique<Planner>(options_);
  Decide();
}

void FakeCluster::Pass(int64_t ms) {
  now_ns_ += ms * kNsPerMs;
  Decide();
}

uint64_t FakeCluster::SyncAll() {
  std::map<uint32_t, std::vector<wire::SyncedBucket>> synced;
  uint64_t count = 0;
  for (const wire::BucketRecord& record : buckets_) {
    const Members members = FromWire(record.bucket());
    const bool has_source = std::any_of(members.begin(), members.end(), [&](const Member& m) {
      return m.state == wire::MEMBER_SERVING && IsUp(Raw(m.server));
    });
    for (const Member& member : members) {
      if (!has_source || member.state != wire::MEMBER_SYNCING) continue;
      wire::SyncedBucket& one = synced[Raw(member.server)].emplace_back();
      one.set_pool(1);
      one.set_bucket(record.bucket().id());
      one.set_version(record.bucket().version());
      ++count;
    }
  }
  for (const auto& [server, buckets] : synced) {
    planner_->BucketsSynced(ServerId{server}, buckets);
    Decide();
  }
  return count;
}

void FakeCluster::Settle() {
  for (int round = 0; round < 100'000; ++round) {
    const uint64_t before = changes_;
    Pass(std::max<int64_t>(options_.span_ms, options_.wish_interval_ms));
    if (SyncAll() == 0 && changes_ == before) return;
  }
  ADD_FAILURE() << "the cluster does not come to rest";
}

std::string FakeCluster::Text(uint32_t bucket) const { return ToText(MembersOf(bucket)); }

uint64_t FakeCluster::Version(uint32_t bucket) const { return buckets_[bucket].bucket().version(); }

Members FakeCluster::MembersOf(uint32_t bucket) const {
  return FromWire(buckets_[bucket].bucket());
}

std::vector<std::vector<ServerId>> FakeCluster::Servings() const {
  std::vector<std::vector<ServerId>> table;
  for (uint32_t bucket = 0; bucket < CountBuckets(); ++bucket) {
    std::vector<ServerId>& servers = table.emplace_back();
    for (const Member& member : MembersOf(bucket)) {
      if (member.state == wire::MEMBER_SERVING) servers.push_back(member.server);
    }
    std::sort(servers.begin(), servers.end());
  }
  return table;
}

bool FakeCluster::IsUp(uint32_t server) const {
  const wire::ServerState state = servers_.at(ServerId{server}).server().state();
  return state == wire::SERVER_UP || state == wire::SERVER_DRAINING;
}

const wire::ServerRecord* FakeCluster::FindServer(ServerId server) const {
  const auto found = servers_.find(server);
  return found == servers_.end() ? nullptr : &found->second;
}

std::vector<const wire::ServerRecord*> FakeCluster::Servers() const {
  std::vector<const wire::ServerRecord*> all;
  for (const auto& [id, record] : servers_) all.push_back(&record);
  return all;
}

void FakeCluster::Decide() {
  for (int round = 0; round < kMaxRounds; ++round) {
    const std::vector<wire::ChangeMembers> changes = planner_->Decide(*this, now_ns_);
    if (changes.empty()) return;
    for (const wire::ChangeMembers& change : changes) Apply(change);
  }
  ADD_FAILURE() << "the planner never has enough";
}

void FakeCluster::Apply(const wire::ChangeMembers& change) {
  ++commands_;
  for (const wire::BucketTable& table : change.tables()) {
    for (const wire::Bucket& bucket : table.buckets()) {
      wire::Bucket& known = *buckets_.at(bucket.id()).mutable_bucket();
      ASSERT_EQ(bucket.version(), known.version());
      Check(known, bucket);
      for (int i = 0; i < bucket.servers_size(); ++i) {
        if (bucket.states(i) != wire::MEMBER_SYNCING) continue;
        const Members before = FromWire(known);
        const Member same{ServerId{bucket.servers(i)}, wire::MEMBER_SYNCING};
        if (std::find(before.begin(), before.end(), same) == before.end()) ++copies_begun_;
      }
      known = bucket;
      known.set_version(bucket.version() + 1);
      ++changes_;
    }
  }
}

// What holds for each change, whatever happened.
void FakeCluster::Check(const wire::Bucket& before, const wire::Bucket& after) const {
  const Members old_members = FromWire(before);
  const Members new_members = FromWire(after);
  std::set<ServerId> seen;
  size_t serving = 0;
  for (const Member& member : new_members) {
    EXPECT_TRUE(seen.insert(member.server).second) << "twice: " << ToText(new_members);
    EXPECT_TRUE(servers_.contains(member.server));
    if (member.state != wire::MEMBER_SERVING) continue;
    ++serving;
    if (old_members.empty()) continue;
    const auto old = std::find_if(old_members.begin(), old_members.end(),
                                  [&](const Member& m) { return m.server == member.server; });
    EXPECT_TRUE(old != old_members.end() && old->state != wire::MEMBER_OFFLINE)
        << "serves what it has not copied: " << ToText(old_members) << " -> "
        << ToText(new_members);
  }
  EXPECT_GE(serving, 1u) << ToText(old_members) << " -> " << ToText(new_members);
  for (const Member& old : old_members) {
    const bool served_well = old.state == wire::MEMBER_SERVING && IsUp(Raw(old.server)) &&
                             Raw(old.server) != restarting_;
    const Member same{old.server, wire::MEMBER_SERVING};
    if (!served_well || std::count(new_members.begin(), new_members.end(), same) > 0) continue;
    EXPECT_GE(serving, pools_.front().replicas())
        << "moved away with too few copies: " << ToText(old_members) << " -> "
        << ToText(new_members);
  }
}

}  // namespace ringfs::master
