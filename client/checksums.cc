#include "client/checksums.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/crc32c.h"
#include "common/ids.h"

namespace ringfs::client {

std::vector<uint32_t> PieceChecksums(uint32_t offset, const std::vector<Buffer>& data) {
  std::vector<uint32_t> checksums;
  size_t left = kChecksumUnit - offset % kChecksumUnit;  // of the piece
  bool begun = false;
  for (const Buffer& buffer : data) {
    std::span<const std::byte> bytes = buffer.bytes();
    while (!bytes.empty()) {
      const size_t size = std::min(left, bytes.size());
      if (!std::exchange(begun, true)) checksums.push_back(0);
      checksums.back() = Crc32c(bytes.first(size), checksums.back());
      bytes = bytes.subspan(size);
      left -= size;
      if (left > 0) continue;
      left = kChecksumUnit;
      begun = false;
    }
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
