#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ringfs {

// CRC32C (Castagnoli, RFC 3720 appendix B.4), by ISA-L. `seed` is the CRC of what came before.
uint32_t Crc32c(std::span<const std::byte> data, uint32_t seed = 0);

// One CRC32C for each 4096 bytes (kChecksumUnit) of `data`; the last may cover fewer.
std::vector<uint32_t> Crc32cUnits(std::span<const std::byte> data);

}  // namespace ringfs
