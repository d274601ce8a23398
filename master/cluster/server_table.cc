#include "master/cluster/server_table.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace ringfs::master {
namespace {

bool SamePlace(const RingServer& a, const RingServer& b) {
  return std::tie(a.identity, a.zone, a.host, a.weight) ==
         std::tie(b.identity, b.zone, b.host, b.weight);
}

// The ring bounds the sum of all weights; only their proportions matter, and it takes its time by
// their sum.
void FitWeights(std::vector<RingServer>& servers) {
  uint64_t total = 0;
  for (const RingServer& server : servers) total += server.weight;
  if (total <= kMaxTotalWeight) return;
  for (RingServer& server : servers) {
    const uint64_t weight = server.weight * (kMaxTotalWeight / 8) / total;
    server.weight = static_cast<uint32_t>(std::max<uint64_t>(weight, 1));
  }
}

}  // namespace

void ServerTable::Load(const ClusterView& view, int64_t now_ns) {
  for (const wire::ServerRecord* record : view.Servers()) {
    const ServerId id{record->server().id()};
    const auto [found, added] = entries_.try_emplace(id);
    touched_.insert(id);
    if (!added) continue;  // it has registered already
    found->second.leased = record->server().state() != wire::SERVER_DOWN;
    if (record->server().state() == wire::SERVER_GONE) {
      found->second.lease_ends_ns = now_ns + lease_ns_;
    }
    // It keeps its place: how long it has been away is not known.
    found->second.in_ring = record->server().state() == wire::SERVER_DOWN;
    if (found->second.in_ring) Update(found->second, record->server(), now_ns);
  }
  ring_changed_ = true;
}

void ServerTable::Registered(ServerId server, bool restarted) {
  Entry& entry = entries_[server];
  entry.leased = true;
  entry.facts.heard = true;
  if (restarted && !std::exchange(entry.facts.restarted, true)) restarted_.push_back(server);
  touched_.insert(server);
}

void ServerTable::Lost(ServerId server) {
  entries_[server].leased = false;
  touched_.insert(server);
}

void ServerTable::Update(Entry& entry, const wire::Server& server, int64_t now_ns) {
  const wire::ServerState state = server.state();
  ServerFacts& facts = entry.facts;
  const bool was_up = std::exchange(
      facts.up, entry.leased && (state == wire::SERVER_UP || state == wire::SERVER_DRAINING));
  facts.gone = state == wire::SERVER_GONE;
  facts.may_serve = entry.leased;
  if (facts.up) entry.draining = state == wire::SERVER_DRAINING;
  if (!facts.up && (was_up || entry.down_since_ns == 0)) entry.down_since_ns = now_ns;

  const bool was_in_ring = entry.in_ring;
  // A server that is down stays where it was, in or out, until its grace has passed.
  if (facts.up) entry.in_ring = !entry.draining;
  if (facts.gone) entry.in_ring = false;
  RingServer ring{ServerId{server.id()}, server.uuid(), server.zone(), server.host(),
                  server.weight()};
  if (was_in_ring != entry.in_ring || (entry.in_ring && !SamePlace(ring, entry.ring))) {
    ring_changed_ = true;
  }
  entry.ring = std::move(ring);
}

bool ServerTable::PassDeadlines(Entry& entry, int64_t now_ns) {
  if (entry.in_ring && !entry.facts.up && now_ns >= entry.down_since_ns + grace_ns_) {
    entry.in_ring = false;
    ring_changed_ = true;
  }
  if (entry.lease_ends_ns == 0 || now_ns < entry.lease_ends_ns) return false;
  entry.lease_ends_ns = 0;
  entry.leased = false;
  entry.facts.may_serve = false;
  return true;
}

std::vector<ServerTable::Change> ServerTable::Refresh(const ClusterView& view, int64_t now_ns) {
  std::vector<Change> changes;
  for (const ServerId id : std::exchange(touched_, {})) {
    const wire::ServerRecord* record = view.FindServer(id);
    if (record == nullptr) continue;
    Entry& entry = entries_[id];
    const bool was_up = entry.facts.up;
    Update(entry, record->server(), now_ns);
    changes.push_back(Change{id, entry.facts.up && !was_up});
  }
  for (auto& [id, entry] : entries_) {
    if (PassDeadlines(entry, now_ns)) changes.push_back(Change{id, false});
  }
  return changes;
}

void ServerTable::RestartsDone() {
  for (const ServerId id : std::exchange(restarted_, {})) entries_[id].facts.restarted = false;
}

const ServerFacts& ServerTable::Facts(ServerId server) const {
  static const ServerFacts kUnknown;
  const auto found = entries_.find(server);
  return found == entries_.end() ? kUnknown : found->second.facts;
}

bool ServerTable::TakeRingChanged() { return std::exchange(ring_changed_, false); }

std::vector<RingServer> ServerTable::Ring() const {
  std::vector<RingServer> servers;
  for (const auto& [id, entry] : entries_) {
    if (entry.in_ring) servers.push_back(entry.ring);
  }
  FitWeights(servers);
  return servers;
}

std::vector<ServerId> ServerTable::Draining() const {
  std::vector<ServerId> draining;
  for (const auto& [id, entry] : entries_) {
    if (entry.facts.up && entry.draining) draining.push_back(id);
  }
  return draining;
}

}  // namespace ringfs::master
