#include "client/write_back/recent_writes.h"

namespace ringfs::client {
namespace {

// Beside the bytes, about.
constexpr size_t kRecentFileMemory = 512;

bool IsWhole(const std::vector<FilePiece>& pieces) {
  uint64_t end = 0;
  for (const FilePiece& piece : pieces) {
    if (piece.offset != end) return false;
    end += piece.bytes.size();
  }
  return end > 0;
}

}  // namespace

void RecentWrites::Stored(InodeId inode, const ContentState& state,
                          const std::vector<FilePiece>& pieces) {
  auto file = files_.find(inode);
  if (file != files_.end() && file->second.state != state) {
    Erase(file);
    file = files_.end();
  }
  if (state.lease == 0 || pieces.empty()) return;
  if (file == files_.end()) {
    if (!IsWhole(pieces)) return;
    file = files_.try_emplace(inode).first;
    file->second.state = state;
    file->second.age = by_age_.insert(by_age_.end(), inode);
  }
  for (const FilePiece& piece : pieces) file->second.ranges.Put(piece.offset, piece.bytes);
  const size_t now = kRecentFileMemory + file->second.ranges.memory_bytes();
  memory_bytes_ += now - file->second.counted;
  file->second.counted = now;
  if (now > max_file_bytes_) Erase(file);
  while (memory_bytes_ > max_bytes_) Erase(files_.find(by_age_.front()));
}

void RecentWrites::Drop(InodeId inode) {
  const auto file = files_.find(inode);
  if (file != files_.end()) Erase(file);
}

std::optional<std::vector<Buffer>> RecentWrites::Find(InodeId inode, const ContentState& state,
                                                      uint64_t offset, uint64_t end) {
  const auto file = files_.find(inode);
  if (file == files_.end() || state.lease == 0) return std::nullopt;
  if (file->second.state != state) {
    Erase(file);
    return std::nullopt;
  }
  by_age_.splice(by_age_.end(), by_age_, file->second.age);
  std::vector<Buffer> found;
  for (const FilePiece& piece : file->second.ranges.Within(offset, end - offset)) {
    if (piece.offset != offset) return std::nullopt;
    offset += piece.bytes.size();
    found.push_back(piece.bytes);
  }
  if (offset < end) return std::nullopt;
  return found;
}

void RecentWrites::Erase(Files::iterator file) {
  memory_bytes_ -= file->second.counted;
  by_age_.erase(file->second.age);
  files_.erase(file);
}

}  // namespace ringfs::client
