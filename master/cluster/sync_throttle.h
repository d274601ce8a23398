#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "master/cluster/bucket_index.h"
#include "master/cluster/server_table.h"

namespace ringfs::master {

// Bounds how many buckets are copied at once to each server, and how many begin in each span of
// time, and remembers those that have to wait: those with the fewest copies go first.
//
// Threads: the caller's.
class SyncThrottle {
 public:
  SyncThrottle(uint32_t per_server, uint32_t per_span, int64_t span_ns)
      : per_server_(per_server), per_span_(per_span), span_ns_(span_ns) {}

  void LookAtTime(int64_t now_ns);
  // Whether `ref` may begin to be copied to `server` now. If not, it waits.
  bool Take(const BucketIndex& index, ServerId server, const BucketRef& ref, uint32_t copies);
  // Removes and returns as many as may begin now. They need not use it.
  std::vector<BucketRef> TakeReady(const BucketIndex& index, const ServerTable& servers);

  bool AnyWaits() const { return !waiting_.empty(); }

 private:
  const uint32_t per_server_;
  const uint32_t per_span_;
  const int64_t span_ns_;
  int64_t span_ends_ns_ = 0;
  uint32_t left_ = 0;
  std::map<ServerId, std::set<std::pair<uint32_t, BucketRef>>> waiting_;  // by copies
};

}  // namespace ringfs::master
