#include <algorithm>
#include <utility>

#include "client/file_io.h"
#include "client/parallel.h"

namespace ringfs::client {
namespace {

// Of one call of Stat().
constexpr uint64_t kBlocksReadAtOnce = 256;

uint64_t EndOf(const Layout& layout, uint64_t offset, uint64_t size) {
  return std::min(layout.size, offset + std::min(size, UINT64_MAX - offset));
}

// Whether a read of the range by one is a read by the other.
bool Agree(const Layout& one, const Layout& other, uint64_t offset, uint64_t size) {
  return one.pool == other.pool && one.data == other.data && one.generation == other.generation &&
         one.block_size == other.block_size &&
         EndOf(one, offset, size) == EndOf(other, offset, size);
}

// The first place from `within` on, in a block of `length` bytes, that is data (or is not).
// `length` when there is none.
uint64_t FindInBlock(const wire::BlockInfo& block, uint64_t within, uint64_t length, bool data) {
  std::vector<std::pair<uint64_t, uint64_t>> extents;
  for (const wire::Extent& extent : block.data()) {
    extents.emplace_back(extent.offset(), uint64_t{extent.offset()} + extent.length());
  }
  std::sort(extents.begin(), extents.end());
  for (const auto& [begin, end] : extents) {
    if (end <= within) continue;
    if (data) return std::min(std::max(begin, within), length);
    if (begin > within) return within;
    within = end;
  }
  return data ? length : std::min(within, length);
}

}  // namespace

asio::awaitable<Result<wire::Attributes>> FileIo::Attributes(InodeId inode, Deadline deadline) {
  wire::MetaRequest request;
  request.mutable_get_attributes()->set_inode(Raw(inode));
  auto reply = co_await link_.Call(std::move(request), deadline);
  if (!reply) co_return Fail(reply.error());
  files_.Learn(reply->attributes());
  co_return std::move(*reply->mutable_attributes());
}

asio::awaitable<Result<FileIo::Pieces>> FileIo::ReadBlocks(Layout layout, uint64_t offset,
                                                           uint64_t size, Deadline deadline) {
  const uint64_t end = EndOf(layout, offset, size);
  if (offset >= end) co_return Pieces{};
  auto ranges = SplitRange(layout, offset, end - offset);
  if (!ranges) co_return Fail(ranges.error());
  std::vector<asio::awaitable<Result<BlockData>>> reads;
  for (const BlockRange& range : *ranges) reads.push_back(blocks_.Read(range, deadline));
  auto results = co_await Parallel(executor_, std::move(reads));
  Pieces pieces;
  for (Result<BlockData>& result : results) {
    if (!result) co_return Fail(result.error());
    pieces.filled = pieces.filled || result->filled;
    for (Buffer& buffer : result->pieces) pieces.buffers.push_back(std::move(buffer));
  }
  co_return pieces;
}

asio::awaitable<Result<std::vector<Buffer>>> FileIo::Read(std::shared_ptr<Handle> handle,
                                                          uint64_t offset, uint64_t size,
                                                          Deadline deadline) {
  const InodeId inode = handle->inode->id;
  auto guess = LayoutOf(handle->inode->known);
  if (!guess) co_return Fail(guess.error());
  Started<Result<wire::Attributes>> asking(executor_, Attributes(inode, deadline));
  auto read = co_await ReadBlocks(*guess, offset, size, deadline);
  auto fresh = co_await asking.Take();
  if (!fresh) co_return Fail(fresh.error());
  co_return co_await Confirm(*handle, *guess, std::move(read), *std::move(fresh), offset, size,
                             deadline);
}

asio::awaitable<Result<std::vector<Buffer>>> FileIo::ReadAs(wire::Attributes attributes,
                                                            uint64_t offset, uint64_t size,
                                                            Deadline deadline) {
  const auto layout = LayoutOf(attributes);
  if (!layout) co_return Fail(layout.error());
  auto read = co_await ReadBlocks(*layout, offset, size, deadline);
  if (!read) co_return Fail(read.error());
  co_return std::move(read->buffers);
}

// `read` was read by `guess`; `fresh` was answered after the call began. Borrows `handle`.
asio::awaitable<Result<std::vector<Buffer>>> FileIo::Confirm(Handle& handle, Layout guess,
                                                             Result<Pieces> read,
                                                             wire::Attributes fresh,
                                                             uint64_t offset, uint64_t size,
                                                             Deadline deadline) {
  // Zeros that nobody has stored may be a hole of the file, or blocks that were removed with the
  // content they belonged to: only attributes that were asked for after reading can tell.
  bool asked_after = false;
  while (deadline.left_ms() > 0) {
    const auto layout = LayoutOf(fresh);
    if (!layout) co_return Fail(layout.error());
    if (!Agree(guess, *layout, offset, size)) {
      guess = *layout;
      read = co_await ReadBlocks(guess, offset, size, deadline);
      asked_after = false;
    } else if (!read) {
      co_return Fail(read.error());
    } else if (read->filled && !asked_after) {
      auto again = co_await Attributes(handle.inode->id, deadline);
      if (!again) co_return Fail(again.error());
      fresh = *std::move(again);
      asked_after = true;
    } else {
      handle.last_read = std::move(fresh);
      co_return std::move(read->buffers);
    }
  }
  if (!read) co_return Fail(read.error());  // it took all the time that there was
  co_return Fail(Errc::kTimedOut, "the file was cut again and again while it was read");
}

asio::awaitable<Result<uint64_t>> FileIo::Seek(InodeId inode, uint64_t offset, bool data,
                                               Deadline deadline) {
  auto attributes = co_await Attributes(inode, deadline);
  if (!attributes) co_return Fail(attributes.error());
  const auto layout = LayoutOf(*attributes);
  if (!layout) co_return Fail(layout.error());
  if (offset >= layout->size) co_return Fail(Errc::kNoDevice);
  while (offset < layout->size) {
    const uint64_t some = std::min(layout->size - offset, kBlocksReadAtOnce * layout->block_size);
    auto ranges = SplitRange(*layout, offset, some);
    if (!ranges) co_return Fail(ranges.error());
    std::vector<BlockKey> keys;
    for (const BlockRange& range : *ranges) keys.push_back(range.key);
    auto infos = co_await blocks_.Stat(std::move(keys), true, deadline);
    if (!infos) co_return Fail(infos.error());
    for (size_t i = 0; i < ranges->size(); ++i) {
      const BlockRange& range = (*ranges)[i];
      const uint64_t end = uint64_t{range.offset} + range.length;
      const uint64_t found = FindInBlock((*infos)[i], range.offset, end, data);
      if (found < end) co_return range.file_offset + (found - range.offset);
    }
    offset += some;
    if (deadline.left_ms() == 0) co_return Fail(Errc::kTimedOut, "the file is too sparse");
  }
  // The end of a file is a hole.
  if (!data) co_return offset;
  co_return Fail(Errc::kNoDevice);
}

}  // namespace ringfs::client
