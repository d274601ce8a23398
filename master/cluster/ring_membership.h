#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "master/cluster/planner.h"
#include "master/service/membership.h"

namespace ringfs::master {

// Decides about buckets by the ring: the planner on the master's state, with words in the log.
//
// Threads: that of the state machine.
class RingMembership final : public Membership {
 public:
  explicit RingMembership(const PlannerOptions& options) : planner_(options) {}

  void ServerRegistered(ServerId server, bool restarted, int64_t now_ns) override;
  void ServerLost(ServerId server, int64_t now_ns) override;
  void ServerChanged(ServerId server, int64_t now_ns) override;
  void BucketsSynced(ServerId server, const std::vector<wire::SyncedBucket>& buckets) override;
  std::vector<wire::Command> Decide(const StateMachine& state, int64_t now_ns) override;

  Movement MeasureMovement(int64_t now_ns) const override;

  const Planner& planner() const { return planner_; }

 private:
  void TellEmptied();
  void TellProgress(int64_t now_ns);

  Planner planner_;
  std::set<ServerId> emptied_;  // of which the log tells already
  bool copying_ = false;
  int64_t next_words_ns_ = 0;
};

}  // namespace ringfs::master
