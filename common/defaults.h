#pragma once

#include <cstdint>

namespace ringfs {

// How long a chunkserver that is not heard of keeps its places. Two that are lost one right before the
// other is missed are a pause of two of these, and of the work in between, which is to be less than
// 5 s; a chunkserver that stands still for three quarters of it, on a busy machine, stops serving.
inline constexpr int64_t kServerLeaseMs = 1'500;

}  // namespace ringfs
