#include "master/service/orphan_collector.h"

#include <utility>

#include "common/log.h"
#include "master/service/lease_handler.h"

namespace ringfs::master {
namespace {

constexpr size_t kCollectedAtOnce = 1024;
// Looks, each with a tick, before a lease is asked for.
constexpr int kPatience = 10;

}  // namespace

void OrphanCollector::Add(const std::vector<InodeId>& orphaned) {
  // Before Open() they are in the state, where the scan finds them.
  if (!open_) return;
  for (const InodeId inode : orphaned) known_.emplace(inode, 0);
}

void OrphanCollector::Open() {
  if (std::exchange(open_, true)) return;
  scanning_ = true;
}

void OrphanCollector::Collect(Context& context) {
  if (!open_ || (scanning_ && !Scan(context.state))) return;
  wire::Command command;
  std::vector<InodeId> collected;
  for (auto& [inode, looks] : known_) {
    if (context.state.opens().IsOpen(inode)) continue;
    if (context.leases.IsLeased(inode)) {
      // Who has removed it gives its lease back by itself, with others.
      if (++looks <= kPatience) continue;
      context.leases.RecallAll(inode, context.clock.MonotonicNs());
      continue;
    }
    collected.push_back(inode);
    command.mutable_collect_inodes()->add_inodes(Raw(inode));
    if (collected.size() >= kCollectedAtOnce) break;
  }
  TellOfLeases(context);
  if (collected.empty()) return;
  const Outcome outcome = context.log.Apply(command);
  if (outcome.error != Errc::kOk) {
    spdlog::error("inodes without a name cannot be collected: {}", outcome.detail);
    return;
  }
  for (const InodeId inode : collected) known_.erase(inode);
}

bool OrphanCollector::Scan(const StateMachine& state) {
  const Result<std::vector<InodeId>> found = state.Orphans(scanned_, kCollectedAtOnce);
  if (!found) {
    spdlog::error("the inodes without a name cannot be read: {}", found.error().ToString());
    return false;
  }
  for (const InodeId inode : *found) known_.emplace(inode, 0);
  scanning_ = found->size() == kCollectedAtOnce;
  if (!found->empty()) scanned_ = found->back();
  return true;
}

}  // namespace ringfs::master
