#include "common/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

#include "common/ids.h"

namespace ringfs {

uint32_t Crc32c(std::span<const std::byte> data, uint32_t seed) {
  // ISA-L neither inverts nor lets the buffer be const, and takes an int as length.
  uint32_t crc = ~seed;
  auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(data.data()));
  size_t left = data.size();
  while (left > 0) {
    const size_t step = std::min<size_t>(left, 1u << 30);
    crc = crc32_iscsi(bytes, static_cast<int>(step), crc);
    bytes += step;
    left -= step;
  }
  return ~crc;
}

std::vector<uint32_t> Crc32cUnits(std::span<const std::byte> data) {
  std::vector<uint32_t> units;
  units.reserve((data.size() + kChecksumUnit - 1) / kChecksumUnit);
  for (size_t at = 0; at < data.size(); at += kChecksumUnit) {
    units.push_back(Crc32c(data.subspan(at, std::min<size_t>(kChecksumUnit, data.size() - at))));
  }
  return units;
}

}  // namespace ringfs
