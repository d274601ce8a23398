#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/ring/topology.h"

namespace ringfs::ring {

inline constexpr uint32_t kPointsPerWeight = 8;

// The virtual nodes of all servers on the circle of 2^64 positions.
//
// Threads: immutable once made.
class Points {
 public:
  explicit Points(const std::vector<Node>& nodes);

  // The first point at or after `position`, as an index; Server() takes any index and goes round.
  size_t FirstFrom(uint64_t position) const;
  uint32_t Server(size_t index) const { return points_[index % points_.size()].server; }
  size_t size() const { return points_.size(); }

  // How far clockwise the server's first point is.
  uint64_t Distance(uint64_t position, uint32_t server) const;

 private:
  struct Point {
    uint64_t position;
    uint32_t server;
  };
  std::vector<Point> points_;               // sorted by position, then by server
  std::vector<std::vector<uint64_t>> own_;  // by server, sorted
};

}  // namespace ringfs::ring
