#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ringfs::chunkserver::simulation {

// One read or write of a register as a client saw it. Each write has a value of its own; 0 is what
// was there at first.
struct Operation {
  bool write = false;
  bool optional = false;  // nobody knows whether it took effect; if so, before `end_ms`
  uint64_t value = 0;
  int64_t start_ms = 0;
  int64_t end_ms = 0;
};

using Register = std::pair<uint64_t, uint32_t>;  // block, cell

struct History {
  std::map<Register, std::vector<Operation>> registers;
};

// Whether there is an order of the operations in which each takes effect between its start and its
// end and each read returns what was written last.
bool Linearizable(const std::vector<Operation>& operations);

std::string Describe(const std::vector<Operation>& operations);

}  // namespace ringfs::chunkserver::simulation
