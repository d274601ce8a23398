#include "tests/chunkserver/simulation/history.h"

#include <algorithm>
#include <limits>
#include <set>

namespace ringfs::chunkserver::simulation {
namespace {

// Wing and Gong's search, remembering the states that led nowhere.
class Search {
 public:
  explicit Search(const std::vector<Operation>& operations)
      : operations_(operations), done_(operations.size(), false) {}

  bool Run(uint64_t value, int64_t newest_start) {
    int64_t earliest_end = std::numeric_limits<int64_t>::max();
    bool all = true;
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (done_[i] || operations_[i].optional) continue;
      all = false;
      earliest_end = std::min(earliest_end, operations_[i].end_ms);
    }
    if (all) return true;
    if (!seen_.insert({done_, value}).second) return false;
    for (size_t i = 0; i < operations_.size(); ++i) {
      const Operation& operation = operations_[i];
      if (done_[i] || operation.start_ms > earliest_end) continue;
      if (operation.optional && operation.end_ms < newest_start) continue;
      if (!operation.write && operation.value != value) continue;
      done_[i] = true;
      const uint64_t next = operation.write ? operation.value : value;
      if (Run(next, std::max(newest_start, operation.start_ms))) return true;
      done_[i] = false;
    }
    return false;
  }

 private:
  const std::vector<Operation>& operations_;
  std::vector<bool> done_;
  std::set<std::pair<std::vector<bool>, uint64_t>> seen_;
};

}  // namespace

bool Linearizable(const std::vector<Operation>& operations) {
  std::vector<Operation> sorted = operations;
  std::sort(sorted.begin(), sorted.end(),
            [](const Operation& a, const Operation& b) { return a.start_ms < b.start_ms; });
  return Search(sorted).Run(0, std::numeric_limits<int64_t>::min());
}

std::string Describe(const std::vector<Operation>& operations) {
  std::string text;
  for (const Operation& operation : operations) {
    text += operation.optional ? "maybe " : "";
    text += operation.write ? "write " : "read ";
    text += std::to_string(operation.value) + " [" + std::to_string(operation.start_ms) + ", " +
            std::to_string(operation.end_ms) + "]\n";
  }
  return text;
}

}  // namespace ringfs::chunkserver::simulation
