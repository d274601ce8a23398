#include "client/ranges.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <limits>

namespace ringfs::client {

Result<Layout> LayoutOf(const wire::Attributes& attributes) {
  if (S_ISDIR(attributes.mode())) return Fail(Errc::kIsDirectory);
  if (!S_ISREG(attributes.mode())) return Fail(Errc::kInvalid, "not a regular file");
  const uint32_t block_size = attributes.block_size();
  if (!std::has_single_bit(block_size) || block_size < kMinBlockSize ||
      block_size > kMaxBlockSize || attributes.data() == 0) {
    return Fail(Errc::kCorrupted, fmt::format("inode {} has data id {} and a block size of {}",
                                              attributes.inode(), attributes.data(), block_size));
  }
  Layout layout;
  layout.pool = PoolId{attributes.pool()};
  layout.data = DataId{attributes.data()};
  layout.generation = attributes.generation();
  layout.size = attributes.size();
  layout.block_size = block_size;
  return layout;
}

uint64_t LargestSize(uint32_t block_size) {
  const uint64_t by_index = (uint64_t{std::numeric_limits<uint32_t>::max()} + 1) * block_size;
  return std::min<uint64_t>(by_index, std::numeric_limits<int64_t>::max());
}

BlockKey KeyOf(const Layout& layout, uint64_t offset) {
  return BlockKey{layout.pool, layout.data, static_cast<uint32_t>(offset / layout.block_size)};
}

Result<std::vector<BlockRange>> SplitRange(const Layout& layout, uint64_t offset, uint64_t length) {
  const uint64_t largest = LargestSize(layout.block_size);
  if (length > largest || offset > largest - length) {
    return Fail(Errc::kFileTooLarge, fmt::format("files end at {} bytes", largest));
  }
  std::vector<BlockRange> ranges;
  while (length > 0) {
    const auto within = static_cast<uint32_t>(offset % layout.block_size);
    const auto size = static_cast<uint32_t>(std::min<uint64_t>(layout.block_size - within, length));
    ranges.push_back(BlockRange{KeyOf(layout, offset), within, size, offset});
    offset += size;
    length -= size;
  }
  return ranges;
}

}  // namespace ringfs::client
