#pragma once

#include <cstdint>

#include "common/defaults.h"

namespace ringfs::chunkserver {

// The right to serve, which the master renews by answering heartbeats.
//
// Invariant: valid only during the first three quarters of the lease, counted from when the last
//            answered heartbeat was SENT. The master gives the server's place away after a whole
//            lease since it ARRIVED, so the margin between the two is at least a quarter; the clocks
//            may differ in speed by that much. What a server that stood still does late does not
//            count on it: members refuse the old bucket version, and a read that it answers began
//            before it stood still.
class Lease {
 public:
  void Renew(int64_t sent_ms, int64_t lease_ms) {
    const int64_t until_ms = sent_ms + ServingMs(lease_ms);
    if (until_ms < until_ms_) return;
    until_ms_ = until_ms;
    lease_ms_ = lease_ms;
  }
  void Drop() { until_ms_ = 0; }
  bool Valid(int64_t now_ms) const { return now_ms < until_ms_; }
  // How long a server that hears nothing any more goes on serving at most.
  int64_t serving_ms() const { return ServingMs(lease_ms_); }

 private:
  static constexpr int64_t ServingMs(int64_t lease_ms) { return lease_ms - lease_ms / 4; }

  int64_t until_ms_ = 0;
  int64_t lease_ms_ = kServerLeaseMs;
};

}  // namespace ringfs::chunkserver
