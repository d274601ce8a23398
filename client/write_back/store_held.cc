#include <algorithm>
#include <utility>

#include "client/file_io.h"
#include "client/parallel.h"

// Storing what was held back.
namespace ringfs::client {
namespace {

// One message carries so much at most: several are under way to each server at once, which checks
// and stores one while it receives the next.
constexpr uint64_t kMessageBytes = 1 << 20;

// Pieces that follow each other in a block go together.
bool Join(BlockChange& last, const BlockRange& range, const Buffer& bytes) {
  const uint64_t end = uint64_t{last.offset} + last.length;
  // What is joined begins and ends, but for the ends of the data, at multiples of a message.
  if (last.key != range.key || end != range.offset || end % kMessageBytes == 0) return false;
  last.data.push_back(bytes);
  last.length += range.length;
  return true;
}

Result<std::vector<BlockChange>> ChangesOf(const Layout& layout,
                                           const std::vector<FilePiece>& pieces, bool sync) {
  std::vector<BlockChange> changes;
  for (const FilePiece& piece : pieces) {
    uint64_t at = 0;
    while (at < piece.bytes.size()) {
      const uint64_t offset = piece.offset + at;
      const uint64_t some =
          std::min(piece.bytes.size() - at, kMessageBytes - offset % kMessageBytes);
      auto ranges = SplitRange(layout, offset, some);
      if (!ranges) return Fail(ranges.error());
      for (const BlockRange& range : *ranges) {
        const Buffer bytes = piece.bytes.Slice(range.file_offset - piece.offset, range.length);
        if (!changes.empty() && Join(changes.back(), range, bytes)) continue;
        BlockChange& change = changes.emplace_back();
        change.key = range.key;
        change.offset = range.offset;
        change.length = range.length;
        change.data.push_back(bytes);
        change.sync = sync;
      }
      at += some;
    }
  }
  return changes;
}

}  // namespace

// Borrows `pieces`.
asio::awaitable<Result<void>> FileIo::StorePieces(std::shared_ptr<Inode> inode, Layout layout,
                                                  const std::vector<FilePiece>& pieces,
                                                  bool sync, Deadline deadline) {
  auto changes = ChangesOf(layout, pieces, sync);
  if (!changes) co_return Fail(changes.error());
  co_return co_await ChangeAll(inode, layout.generation, *std::move(changes), deadline);
}

asio::awaitable<Result<void>> FileIo::Store(std::shared_ptr<Inode> inode, HeldChange change,
                                            Deadline deadline) {
  Step step;
  step.grows_to = change.end;
  step.put = [&](const Layout& layout) {
    return StorePieces(inode, layout, change.pieces, change.sync, deadline);
  };
  if (change.bytes_only) {
    const auto layout = LayoutOf(inode->known);
    if (!layout) co_return Fail(layout.error());
    co_return co_await step.put(*layout);
  }
  step.tell = [&](const Layout& layout) {
    wire::Extend extend;
    extend.set_inode(Raw(inode->id));
    extend.set_data(Raw(layout.data));
    extend.set_generation(layout.generation);
    extend.set_end(change.end);
    change.attributes.Fill(extend);
    const Answered when = change.sync ? Answered::kOnDisk : Answered::kEarly;
    return SendExtend(std::move(extend), deadline, when);
  };
  wire::Attributes now = inode->known;
  auto stored = co_await Repeat(inode, std::move(step), std::move(now), deadline);
  if (stored) co_await BoundDirtyBlocks(deadline);
  co_return stored;
}

}  // namespace ringfs::client
