#include "master/cluster/ring_membership.h"

#include <utility>

#include "common/clock.h"
#include "common/log.h"
#include "master/state/state_machine.h"

namespace ringfs::master {
namespace {

constexpr int64_t kWordsIntervalNs = 10 * kNsPerSecond;

class StateView final : public ClusterView {
 public:
  explicit StateView(const StateMachine& state) : state_(state) {}

  const wire::ServerRecord* FindServer(ServerId server) const override {
    return state_.FindServer(server);
  }
  std::vector<const wire::ServerRecord*> Servers() const override { return state_.Servers(); }
  const std::vector<wire::Pool>& Pools() const override { return state_.Pools(); }
  const std::vector<wire::BucketRecord>& Buckets(PoolId pool) const override {
    return state_.Buckets(pool);
  }

 private:
  const StateMachine& state_;
};

}  // namespace

void RingMembership::ServerRegistered(ServerId server, bool restarted, int64_t) {
  planner_.ServerRegistered(server, restarted);
}

void RingMembership::ServerLost(ServerId server, int64_t) { planner_.ServerLost(server); }

void RingMembership::ServerChanged(ServerId server, int64_t) { planner_.ServerChanged(server); }

void RingMembership::BucketsSynced(ServerId server,
                                   const std::vector<wire::SyncedBucket>& buckets) {
  planner_.BucketsSynced(server, buckets);
}

std::vector<wire::Command> RingMembership::Decide(const StateMachine& state, int64_t now_ns) {
  std::vector<wire::Command> commands;
  for (wire::ChangeMembers& change : planner_.Decide(StateView(state), now_ns)) {
    *commands.emplace_back().mutable_change_members() = std::move(change);
  }
  TellEmptied();
  if (now_ns >= next_words_ns_) TellProgress(now_ns);
  return commands;
}

void RingMembership::TellEmptied() {
  std::set<ServerId> empty;
  for (const ServerId server : planner_.Draining()) {
    if (planner_.CountHeld(server) > 0) continue;
    empty.insert(server);
    if (emptied_.contains(server)) continue;
    spdlog::info("server {} has been emptied: it is safe to switch it off", Raw(server));
  }
  emptied_ = std::move(empty);
}

Movement RingMembership::MeasureMovement(int64_t now_ns) const {
  const Progress progress = planner_.MeasureProgress(now_ns);
  return Movement{progress.moving, progress.copies_left, progress.copies_done,
                  progress.elapsed_ns};
}

void RingMembership::TellProgress(int64_t now_ns) {
  next_words_ns_ = now_ns + kWordsIntervalNs;
  const Progress progress = planner_.MeasureProgress(now_ns);
  const bool was_copying = std::exchange(copying_, progress.moving > 0);
  if (copying_) {
    spdlog::info("{} buckets are being copied, {} copies are left to make, {} are done",
                 progress.moving, progress.copies_left, progress.copies_done);
  } else if (was_copying) {
    spdlog::info("copying has ended: {} buckets are healthy, {} degraded, {} lost",
                 progress.healthy, progress.degraded, progress.lost);
  }
}

}  // namespace ringfs::master
