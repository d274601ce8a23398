#include "master/service/garbage_progress.h"

#include <algorithm>
#include <limits>

#include "common/check.h"

namespace ringfs::master {

std::optional<uint64_t> GarbageProgress::NextFrom(ServerId server) const {
  const auto found = servers_.find(server);
  if (found == servers_.end()) return 0;
  if (!found->second.out.empty()) return std::nullopt;
  return found->second.done;
}

void GarbageProgress::Sent(ServerId server, const std::vector<uint64_t>& entries) {
  Progress& progress = servers_[server];
  RINGFS_CHECK(progress.out.empty() && !entries.empty() && entries.front() > progress.done);
  progress.out.insert(entries.begin(), entries.end());
  progress.last = entries.back();
}

bool GarbageProgress::Done(ServerId server, const std::vector<uint64_t>& entries) {
  const auto found = servers_.find(server);
  if (found == servers_.end() || found->second.out.empty()) return false;
  Progress& progress = found->second;
  for (const uint64_t entry : entries) progress.out.erase(entry);
  if (!progress.out.empty()) return false;
  progress.done = progress.last;
  return true;
}

void GarbageProgress::Reset(ServerId server) {
  const auto found = servers_.find(server);
  if (found != servers_.end()) found->second.out.clear();
}

uint64_t GarbageProgress::DoneByAll(const std::vector<ServerId>& servers) const {
  if (servers.empty()) return 0;
  uint64_t done = std::numeric_limits<uint64_t>::max();
  for (const ServerId server : servers) {
    const auto found = servers_.find(server);
    done = std::min(done, found == servers_.end() ? 0 : found->second.done);
  }
  return done;
}

}  // namespace ringfs::master
