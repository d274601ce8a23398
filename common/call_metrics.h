#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/metrics.h"

namespace ringfs {

// What is counted of calls of one kind.
struct CallFigures {
  Counter* calls = nullptr;
  Counter* errors = nullptr;
  Counter* bytes_in = nullptr;
  Counter* bytes_out = nullptr;
  Histogram* time = nullptr;
};

// The calls that a program answers, by kind. A kind is a small number and has a name.
//
// Threads: any.
class CallMetrics {
 public:
  static constexpr uint32_t kKinds = 128;
  struct Kind {
    uint32_t number = 0;
    std::string name;
  };

  // `metrics` must outlive this.
  CallMetrics(Metrics& metrics, const std::vector<Kind>& kinds);

  void Begun() { running_.Add(1); }
  // A kind that is not known is counted as "unknown".
  void Ended(uint32_t kind, bool failed, size_t bytes_in, size_t bytes_out, int64_t ns);

  // Of an enum of methods: MASTER_LIST_LOCKS, with the prefix "MASTER_", is "list_locks".
  static std::vector<Kind> KindsOf(const google::protobuf::EnumDescriptor& methods,
                                   const std::string& prefix);

 private:
  Gauge& running_;
  CallFigures unknown_;
  std::array<CallFigures, kKinds> known_{};
};

}  // namespace ringfs
