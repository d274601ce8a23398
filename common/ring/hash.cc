#include "common/ring/hash.h"

#include <xxhash.h>

#include <array>
#include <cstddef>

namespace ringfs::ring {
namespace {

// Integers are hashed in little-endian order, whatever the machine's is.
template <typename Integer>
void Put(unsigned char* to, Integer value) {
  for (size_t i = 0; i < sizeof(value); ++i) {
    to[i] = static_cast<unsigned char>(value >> (8 * i));
  }
}

uint64_t HashPair(uint64_t first, uint32_t second) {
  std::array<unsigned char, 12> bytes;
  Put(bytes.data(), first);
  Put(bytes.data() + 8, second);
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace

uint64_t HashIdentity(std::string_view identity) {
  return XXH3_64bits(identity.data(), identity.size());
}

uint64_t HashPoint(uint64_t identity_hash, uint32_t number) {
  return HashPair(identity_hash, number);
}

uint64_t HashBucket(PoolId pool, uint32_t bucket) {
  std::array<unsigned char, 8> bytes;
  Put(bytes.data(), Raw(pool));
  Put(bytes.data() + 4, bucket);
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t HashBlock(DataId data, uint32_t index) { return HashPair(Raw(data), index); }

}  // namespace ringfs::ring
