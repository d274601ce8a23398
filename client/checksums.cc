#include "client/checksums.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/crc32c.h"
#include "common/ids.h"

namespace ringfs::client {

std::vector<uint32_t> PieceChecksums(uint32_t offset, std::span<const std::byte> data) {
  std::vector<uint32_t> checksums;
  checksums.reserve(data.size() / kChecksumUnit + 2);
  size_t piece = kChecksumUnit - offset % kChecksumUnit;
  while (!data.empty()) {
    const size_t size = std::min(piece, data.size());
    checksums.push_back(Crc32c(data.first(size)));
    data = data.subspan(size);
    piece = kChecksumUnit;
  }
  return checksums;
}

Result<void> VerifyUnits(std::span<const std::byte> data, std::span<const uint32_t> checksums) {
  const size_t units = (data.size() + kChecksumUnit - 1) / kChecksumUnit;
  if (checksums.size() != units) {
    return Fail(Errc::kCorrupted,
                fmt::format("{} checksums for {} bytes", checksums.size(), data.size()));
  }
  for (size_t unit = 0; unit < units; ++unit) {
    const size_t at = unit * kChecksumUnit;
    const auto bytes = data.subspan(at, std::min<size_t>(kChecksumUnit, data.size() - at));
    if (Crc32c(bytes) != checksums[unit]) {
      return Fail(Errc::kCorrupted, fmt::format("checksum mismatch at byte {}", at));
    }
  }
  return {};
}

}  // namespace ringfs::client
