#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/result.h"
#include "master/state/state_machine.h"

namespace ringfs::master {

// How a new cluster is made.
struct FormatOptions {
  std::string cluster_id;            // 16 bytes
  std::optional<uint32_t> replicas;  // 2 unless said otherwise
  std::optional<uint32_t> bucket_bits;
};

inline constexpr uint32_t kDefaultReplicas = 2;
inline constexpr uint32_t kDefaultBucketBits = 14;

// Makes the cluster in a state that is new; durable when it returns. Blocks. kExists: the cluster
// was made before, with other values than those given here. kInvalid: values that cannot be.
Result<void> FormatIfNew(StateMachine& state, const Clock& clock, const FormatOptions& options);

}  // namespace ringfs::master
