#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "common/buffer.h"

namespace ringfs::client {

// Bytes at a place of a file.
struct FilePiece {
  uint64_t offset = 0;  // in the file
  Buffer bytes;
};

// Bytes of one file that are not stored yet: the newest of each place.
//
// Invariant: pieces do not overlap, and none is empty.
// Threads:   one at a time.
class DirtyRanges {
 public:
  // Large ones are kept by reference: nobody may write into them any more. Small ones are copied,
  // into the memory of the one that they follow where there is room, since each may lie in the
  // memory of a whole request.
  void Put(uint64_t offset, const Buffer& bytes);
  // Only where nothing newer is.
  void PutUnder(const std::vector<FilePiece>& older);

  // What there is of [offset, offset + size), in order.
  std::vector<FilePiece> Within(uint64_t offset, uint64_t size) const;
  std::vector<FilePiece> All() const;

  bool empty() const { return pieces_.empty(); }
  // Memory that is kept alive, at most. It does not shrink before the object is emptied.
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  using Pieces = std::map<uint64_t, Buffer>;  // by offset

  void CutOut(uint64_t offset, uint64_t end);
  bool AppendToChunk(uint64_t offset, const Buffer& bytes);

  Pieces pieces_;
  size_t memory_bytes_ = 0;
  // Memory of the newest small piece, which is pieces_' entry that ends at chunk_end_.
  Buffer chunk_;
  size_t chunk_used_ = 0;
  uint64_t chunk_end_ = 0;  // in the file
};

// `under` with `over` laid over it: the bytes of [offset, offset + size of under).
std::vector<Buffer> Overlaid(uint64_t offset, std::vector<Buffer> under,
                             const std::vector<FilePiece>& over);

}  // namespace ringfs::client
