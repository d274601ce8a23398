#include "master/service/capacity.h"

#include <algorithm>
#include <functional>

namespace ringfs::master {
namespace {

// Sizes are claims of peers: their sum has to fit into 64 bits.
constexpr uint64_t kMaxSizeBytes = uint64_t{1} << 52;

}  // namespace

uint64_t StorableBytes(std::vector<uint64_t> sizes, uint32_t replicas) {
  if (replicas == 0 || sizes.size() < replicas) return 0;
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  uint64_t rest = 0;
  for (uint64_t& size : sizes) {
    size = std::min(size, kMaxSizeBytes);
    rest += size;
  }
  // The `capped` largest hold one copy of everything; the others share the copies that are left.
  uint32_t capped = 0;
  while (sizes[capped] > rest / (replicas - capped)) rest -= sizes[capped++];
  return rest / (replicas - capped);
}

}  // namespace ringfs::master
