#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "master/cluster/planner.h"

namespace ringfs::master {

// Members in short: "1S 2Y 3O" are servers 1 serving, 2 syncing, 3 offline; a "?" behind says that
// the member is doubtful.
Members ParseMembers(std::string_view text);
std::string ToText(const Members& members);

// A cluster map with a planner in charge of it, a clock that stands until it is moved, and servers
// that do what they are told.
class FakeCluster final : public ClusterView {
 public:
  FakeCluster(uint32_t replicas, uint32_t bucket_bits, const PlannerOptions& options = {});

  // What happens to servers. Each lets the planner decide.
  uint32_t Join(uint32_t weight = 100, const std::string& zone = {});
  void Lose(uint32_t server);
  void Return(uint32_t server);
  // Another run registers; from being up (then the master has not missed it) or down.
  void Restart(uint32_t server);
  void Drain(uint32_t server) { Order(server, wire::SERVER_DRAINING); }
  void Undrain(uint32_t server) { Order(server, wire::SERVER_UP); }
  // Its lease is over with it.
  void Remove(uint32_t server);
  void Order(uint32_t server, wire::ServerState state);
  void SetWeight(uint32_t server, uint32_t weight);
  // Several at once, before anything is decided.
  void LoseTogether(const std::vector<uint32_t>& servers);
  // `server` says that it has caught up in the bucket, which is at `version`; 0: its current one.
  void Report(uint32_t server, uint32_t bucket, uint64_t version = 0);
  // A new planner takes over. Nobody has registered with it yet.
  void RestartMaster();
  // Moves the clock and lets the planner decide.
  void Pass(int64_t ms);
  // Every member that is syncing from somebody who is up catches up. Returns how many did.
  uint64_t SyncAll();
  // Until nothing happens any more.
  void Settle();

  std::string Text(uint32_t bucket) const;
  uint64_t Version(uint32_t bucket) const;
  Members MembersOf(uint32_t bucket) const;
  std::vector<std::vector<ServerId>> Servings() const;
  uint32_t CountBuckets() const { return uint32_t{1} << pools_.front().bucket_bits(); }
  bool IsUp(uint32_t server) const;
  int64_t now_ns() const { return now_ns_; }
  Planner& planner() { return *planner_; }
  // Of copies that were begun since the last call.
  uint64_t TakeCopiesBegun() { return std::exchange(copies_begun_, 0); }
  // Buckets whose members were changed, each time that they were.
  uint64_t changes() const { return changes_; }
  uint64_t commands() const { return commands_; }

  // ClusterView
  const wire::ServerRecord* FindServer(ServerId server) const override;
  std::vector<const wire::ServerRecord*> Servers() const override;
  const std::vector<wire::Pool>& Pools() const override { return pools_; }
  const std::vector<wire::BucketRecord>& Buckets(PoolId) const override { return buckets_; }

  // Lets the planner decide until it has nothing more to say.
  void Decide();

 private:
  void Apply(const wire::ChangeMembers& change);
  void Check(const wire::Bucket& before, const wire::Bucket& after) const;

  const PlannerOptions options_;
  std::unique_ptr<Planner> planner_;
  std::map<ServerId, wire::ServerRecord> servers_;
  std::vector<wire::Pool> pools_;
  std::vector<wire::BucketRecord> buckets_;
  int64_t now_ns_ = kNsPerSecond;
  uint32_t restarting_ = 0;  // the server whose restart is being told
  uint64_t copies_begun_ = 0;
  uint64_t changes_ = 0;
  uint64_t commands_ = 0;
};

}  // namespace ringfs::master
