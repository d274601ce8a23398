#include "master/cluster/sync_throttle.h"

#include <algorithm>

namespace ringfs::master {

void SyncThrottle::LookAtTime(int64_t now_ns) {
  if (now_ns < span_ends_ns_) return;
  span_ends_ns_ = now_ns + span_ns_;
  left_ = per_span_;
}

bool SyncThrottle::Take(const BucketIndex& index, ServerId server, const BucketRef& ref,
                        uint32_t copies) {
  if (left_ == 0 || index.Syncing(server) >= per_server_) {
    waiting_[server].emplace(copies, ref);
    return false;
  }
  --left_;
  return true;
}

std::vector<BucketRef> SyncThrottle::TakeReady(const BucketIndex& index,
                                               const ServerTable& servers) {
  std::vector<BucketRef> ready;
  for (auto at = waiting_.begin(); at != waiting_.end() && ready.size() < left_;) {
    auto& [server, buckets] = *at;
    uint32_t free = per_server_ - std::min(per_server_, index.Syncing(server));
    if (!servers.Facts(server).up) free = 0;
    for (; free > 0 && !buckets.empty() && ready.size() < left_; --free) {
      ready.push_back(buckets.begin()->second);
      buckets.erase(buckets.begin());
    }
    at = buckets.empty() ? waiting_.erase(at) : std::next(at);
  }
  return ready;
}

}  // namespace ringfs::master
