#pragma once

#include <vector>

#include "common/call_metrics.h"

namespace ringfs::fuse {

// The requests of the kernel that are counted, by the numbers that it gives them.
std::vector<CallMetrics::Kind> RequestKinds();

}  // namespace ringfs::fuse
