#include "client/write_back/dirty_ranges.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ringfs::client {
namespace {

// Smaller writes are copied.
constexpr size_t kKeptBytes = 512 << 10;
// What a write that is kept by reference keeps alive: the memory of its request.
constexpr size_t kRequestMemory = 1 << 20;
constexpr size_t kMinChunk = 4096;
constexpr size_t kMaxChunk = 1 << 20;

}  // namespace

void DirtyRanges::CutOut(uint64_t offset, uint64_t end) {
  auto piece = pieces_.lower_bound(offset);
  if (piece != pieces_.begin()) {
    const auto before = std::prev(piece);
    const Buffer bytes = before->second;
    const uint64_t before_end = before->first + bytes.size();
    if (before_end > offset) before->second = bytes.Slice(0, offset - before->first);
    if (before_end > end) pieces_[end] = bytes.Slice(end - before->first, before_end - end);
  }
  while (piece != pieces_.end() && piece->first < end) {
    const Buffer bytes = piece->second;
    const uint64_t piece_end = piece->first + bytes.size();
    if (piece_end > end) pieces_[end] = bytes.Slice(end - piece->first, piece_end - end);
    piece = pieces_.erase(piece);
  }
}

// Makes the newest small piece longer. It has no newer bytes behind it: CutOut() was called.
bool DirtyRanges::AppendToChunk(uint64_t offset, const Buffer& bytes) {
  if (chunk_.empty() || offset != chunk_end_ || chunk_used_ + bytes.size() > chunk_.size()) {
    return false;
  }
  auto piece = pieces_.lower_bound(offset);
  if (piece == pieces_.begin()) return false;
  --piece;
  const Buffer& last = piece->second;
  // Another write may have taken its place.
  if (piece->first + last.size() != offset ||
      last.data() + last.size() != chunk_.data() + chunk_used_) {
    return false;
  }
  std::memcpy(chunk_.data() + chunk_used_, bytes.data(), bytes.size());
  const auto start = static_cast<size_t>(last.data() - chunk_.data());
  chunk_used_ += bytes.size();
  chunk_end_ += bytes.size();
  piece->second = chunk_.Slice(start, chunk_used_ - start);
  return true;
}

void DirtyRanges::Put(uint64_t offset, const Buffer& bytes) {
  if (bytes.empty()) return;
  CutOut(offset, offset + bytes.size());
  if (bytes.size() >= kKeptBytes) {
    memory_bytes_ += std::max(bytes.size(), kRequestMemory);
    pieces_[offset] = bytes;
    return;
  }
  if (AppendToChunk(offset, bytes)) return;
  // A file that is written piece by piece gets larger memory each time.
  const bool follows = !chunk_.empty() && offset == chunk_end_;
  const size_t wanted = follows ? std::min(chunk_.size() * 4, kMaxChunk) : kMinChunk;
  chunk_ = Buffer::Allocate(std::max(wanted, bytes.size()));
  memory_bytes_ += std::max(chunk_.size(), kMinChunk);
  std::memcpy(chunk_.data(), bytes.data(), bytes.size());
  chunk_used_ = bytes.size();
  chunk_end_ = offset + bytes.size();
  pieces_[offset] = chunk_.Slice(0, bytes.size());
}

void DirtyRanges::PutUnder(const std::vector<FilePiece>& older) {
  for (const FilePiece& piece : older) {
    memory_bytes_ += piece.bytes.size();
    const uint64_t end = piece.offset + piece.bytes.size();
    uint64_t at = piece.offset;
    for (const FilePiece& newer : Within(piece.offset, piece.bytes.size())) {
      if (newer.offset > at) pieces_[at] = piece.bytes.Slice(at - piece.offset, newer.offset - at);
      at = newer.offset + newer.bytes.size();
    }
    if (at < end) pieces_[at] = piece.bytes.Slice(at - piece.offset, end - at);
  }
}

std::vector<FilePiece> DirtyRanges::Within(uint64_t offset, uint64_t size) const {
  const uint64_t end = offset + std::min(size, UINT64_MAX - offset);
  std::vector<FilePiece> found;
  auto piece = pieces_.upper_bound(offset);
  if (piece != pieces_.begin()) --piece;
  for (; piece != pieces_.end() && piece->first < end; ++piece) {
    const auto& [start, bytes] = *piece;
    const uint64_t from = std::max(start, offset);
    const uint64_t to = std::min(start + bytes.size(), end);
    if (from < to) found.push_back(FilePiece{from, bytes.Slice(from - start, to - from)});
  }
  return found;
}

std::vector<FilePiece> DirtyRanges::All() const { return Within(0, UINT64_MAX); }

std::vector<Buffer> Overlaid(uint64_t offset, std::vector<Buffer> under,
                             const std::vector<FilePiece>& over) {
  if (over.empty()) return under;
  std::vector<Buffer> result;
  auto next = over.begin();
  uint64_t at = offset;
  for (const Buffer& lower : under) {
    const uint64_t start = at;
    const uint64_t end = start + lower.size();
    while (at < end) {
      while (next != over.end() && next->offset + next->bytes.size() <= at) ++next;
      const bool covered = next != over.end() && next->offset <= at;
      const uint64_t change = next == over.end() ? end
                              : covered          ? next->offset + next->bytes.size()
                                                 : next->offset;
      const uint64_t to = std::min(end, change);
      result.push_back(covered ? next->bytes.Slice(at - next->offset, to - at)
                               : lower.Slice(at - start, to - at));
      at = to;
    }
  }
  return result;
}

}  // namespace ringfs::client
