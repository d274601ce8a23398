#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "client/write_back/dirty_ranges.h"
#include "common/buffer.h"
#include "common/ids.h"

namespace ringfs::client {

// What a content is read under: the same later says that nobody else has changed it since.
struct ContentState {
  uint64_t lease = 0;  // its number; 0: there is none
  uint64_t data = 0;
  uint64_t generation = 0;

  bool operator==(const ContentState&) const = default;
};

// Small files that were written here lately, as they are stored. The kernel keeps whole pages of what
// is written, but asks again for the last one, which most small files have only: this answers it
// without a chunkserver.
//
// Bounded: what was used longest ago goes first.
// Threads: one at a time.
class RecentWrites {
 public:
  RecentWrites(size_t max_bytes, size_t max_file_bytes)
      : max_bytes_(max_bytes), max_file_bytes_(max_file_bytes) {}

  // These were stored, in this order of time. Of a file that is not here they must begin at its
  // beginning and leave nothing out.
  void Stored(InodeId inode, const ContentState& state, const std::vector<FilePiece>& pieces);
  // The file is changed in another way.
  void Drop(InodeId inode);

  // The bytes of [offset, end); nothing: not all of them are here, or they may be others by now.
  std::optional<std::vector<Buffer>> Find(InodeId inode, const ContentState& state,
                                          uint64_t offset, uint64_t end);

  size_t memory_bytes() const { return memory_bytes_; }

 private:
  struct File {
    ContentState state;
    DirtyRanges ranges;
    size_t counted = 0;
    std::list<InodeId>::iterator age;
  };
  using Files = std::unordered_map<InodeId, File>;

  void Erase(Files::iterator file);

  size_t max_bytes_;
  size_t max_file_bytes_;
  size_t memory_bytes_ = 0;
  std::list<InodeId> by_age_;  // used longest ago first
  Files files_;
};

}  // namespace ringfs::client
