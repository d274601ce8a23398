#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/buffer.h"
#include "common/result.h"

namespace ringfs::client {

// The CRC32C of each piece of `data`, which is cut at the multiples of kChecksumUnit of the block
// that it begins at `offset` of: the first and the last piece may be shorter (proto/chunk.proto).
std::vector<uint32_t> PieceChecksums(uint32_t offset, const std::vector<Buffer>& data);

// kCorrupted, with the first bad piece, when `checksums` are not those of `data`, which begins at a
// multiple of kChecksumUnit.
Result<void> VerifyUnits(std::span<const std::byte> data, std::span<const uint32_t> checksums);

}  // namespace ringfs::client
