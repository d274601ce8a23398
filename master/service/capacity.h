#pragma once

#include <cstdint>
#include <vector>

namespace ringfs::master {

// How many bytes of content can be stored when each byte goes to `replicas` different servers of
// these sizes: the largest x with sum(min(size, x)) >= replicas * x. A server that is much larger
// than the others cannot be filled. 0 when there are fewer servers than replicas.
uint64_t StorableBytes(std::vector<uint64_t> sizes, uint32_t replicas);

}  // namespace ringfs::master
