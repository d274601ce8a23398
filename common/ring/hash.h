#pragma once

#include <cstdint>
#include <string_view>

#include "common/ids.h"

// The hashes of docs/formats/ring.md.
namespace ringfs::ring {

uint64_t HashIdentity(std::string_view identity);
uint64_t HashPoint(uint64_t identity_hash, uint32_t number);
uint64_t HashBucket(PoolId pool, uint32_t bucket);
uint64_t HashBlock(DataId data, uint32_t index);

}  // namespace ringfs::ring
