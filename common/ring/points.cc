#include "common/ring/points.h"

#include <algorithm>

#include "common/ring/hash.h"

namespace ringfs::ring {

Points::Points(const std::vector<Node>& nodes) : own_(nodes.size()) {
  for (uint32_t server = 0; server < nodes.size(); ++server) {
    const uint32_t count = nodes[server].weight * kPointsPerWeight;
    own_[server].reserve(count);
    for (uint32_t number = 0; number < count; ++number) {
      uint64_t position = HashPoint(nodes[server].hash, number);
      own_[server].push_back(position);
      points_.push_back({position, server});
    }
    std::sort(own_[server].begin(), own_[server].end());
  }
  std::sort(points_.begin(), points_.end(), [](const Point& a, const Point& b) {
    return a.position != b.position ? a.position < b.position : a.server < b.server;
  });
}

size_t Points::FirstFrom(uint64_t position) const {
  auto found = std::lower_bound(points_.begin(), points_.end(), position,
                                [](const Point& p, uint64_t at) { return p.position < at; });
  return static_cast<size_t>(found - points_.begin());
}

uint64_t Points::Distance(uint64_t position, uint32_t server) const {
  const std::vector<uint64_t>& own = own_[server];
  auto found = std::lower_bound(own.begin(), own.end(), position);
  return (found == own.end() ? own.front() : *found) - position;
}

}  // namespace ringfs::ring
