#pragma once

#include <cstdint>

namespace ringfs::chunkserver {

// The right to serve, which the master renews by answering heartbeats.
//
// Invariant: valid only during the first half of the lease, counted from when the last answered
//            heartbeat was SENT. The master gives the server's place away after a whole lease since
//            it ARRIVED, so the margin between the two is at least half a lease; the clocks may
//            differ in speed by that much.
class Lease {
 public:
  void Renew(int64_t sent_ms, int64_t lease_ms) {
    if (sent_ms + lease_ms / 2 < until_ms_) return;
    until_ms_ = sent_ms + lease_ms / 2;
    lease_ms_ = lease_ms;
  }
  void Drop() { until_ms_ = 0; }
  bool Valid(int64_t now_ms) const { return now_ms < until_ms_; }
  // How long a server that hears nothing any more goes on serving at most.
  int64_t half_ms() const { return lease_ms_ / 2; }

 private:
  int64_t until_ms_ = 0;
  int64_t lease_ms_ = 3000;
};

}  // namespace ringfs::chunkserver
