#pragma once

#include <cstdint>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

// The part of a file's range that lies in one block.
struct BlockRange {
  BlockKey key;
  uint32_t offset = 0;  // within the block
  uint32_t length = 0;
  uint64_t file_offset = 0;

  bool operator==(const BlockRange&) const = default;
};

// What of a file's attributes says where its bytes are.
struct Layout {
  PoolId pool{1};
  DataId data{0};
  uint64_t generation = 0;
  uint64_t size = 0;
  uint32_t block_size = kDefaultBlockSize;

  bool operator==(const Layout&) const = default;
};

// kCorrupted: attributes whose block size is none that ringfs has. kIsDirectory, kInvalid: of an
// inode without content.
Result<Layout> LayoutOf(const wire::Attributes& attributes);

// The largest size that a file of this block size can have: block indexes have 32 bits.
uint64_t LargestSize(uint32_t block_size);

BlockKey KeyOf(const Layout& layout, uint64_t offset);

// The blocks of [offset, offset + length), in order. kFileTooLarge when it ends behind
// LargestSize(). One entry a block: callers bound `length`.
Result<std::vector<BlockRange>> SplitRange(const Layout& layout, uint64_t offset, uint64_t length);

}  // namespace ringfs::client
