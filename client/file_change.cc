#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/file_io.h"
#include "client/parallel.h"
#include "common/log.h"

namespace ringfs::client {
namespace {

// Blocks of one call that are changed at once. BlockIo bounds what is in flight; this bounds what
// waits.
constexpr uint64_t kBlocksCutAtOnce = 256;
// The chunkservers write back within seconds by themselves: syncing so many costs little.
constexpr size_t kMaxDirtyBlocks = 65536;
constexpr int64_t kGiveBackTimeoutMs = 10'000;

// The bytes that blocks are changed in.
uint64_t ChangedBytes(const FileChange& change, const Layout& layout) {
  switch (change.kind) {
    case FileChange::Kind::kWrite:
      return change.data.size();
    case FileChange::Kind::kZero:
      // Behind the end there is nothing to be zeroed.
      return std::min(change.length, layout.size - std::min(layout.size, change.offset));
    case FileChange::Kind::kGrow:
      return 0;
  }
  return 0;
}

BlockChange ChangeOf(const FileChange& change, const BlockRange& range) {
  BlockChange block;
  block.key = range.key;
  block.offset = range.offset;
  block.length = range.length;
  block.sync = change.sync;
  if (change.kind == FileChange::Kind::kWrite) {
    block.kind = wire::CHANGE_WRITE;
    block.data.push_back(change.data.Slice(range.file_offset - change.offset, range.length));
  } else {
    block.kind = wire::CHANGE_ZERO;
  }
  return block;
}

// What the size must be at least when the change is done; 0: it does not matter.
uint64_t EndOf(const FileChange& change) {
  return change.keep_size ? 0 : change.offset + change.length;
}

}  // namespace

asio::awaitable<Result<void>> FileIo::ChangeBlock(std::shared_ptr<Inode> inode, uint64_t generation,
                                                  BlockChange change, Deadline deadline) {
  const BlockKey key = change.key;
  const bool sync = change.sync;
  auto version = co_await blocks_.Change(std::move(change), deadline);
  if (!version) co_return Fail(version.error());
  if (!sync) files_.MarkDirty(*inode, key, DirtyBlock{*version, generation});
  co_return Result<void>();
}

asio::awaitable<Result<void>> FileIo::ChangeBlocks(std::shared_ptr<Inode> inode, Layout layout,
                                                   FileChange change, Deadline deadline) {
  const uint64_t bytes = ChangedBytes(change, layout);
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t some = std::min(bytes - done, kBlocksCutAtOnce * layout.block_size);
    auto ranges = SplitRange(layout, change.offset + done, some);
    if (!ranges) co_return Fail(ranges.error());
    std::vector<BlockChange> blocks;
    for (const BlockRange& range : *ranges) blocks.push_back(ChangeOf(change, range));
    auto put = co_await ChangeAll(inode, layout.generation, std::move(blocks), deadline);
    if (!put) co_return put;
    done += some;
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> FileIo::ChangeAll(std::shared_ptr<Inode> inode, uint64_t generation,
                                                std::vector<BlockChange> changes,
                                                Deadline deadline) {
  std::vector<asio::awaitable<Result<void>>> calls;
  for (BlockChange& change : changes) {
    calls.push_back(ChangeBlock(inode, generation, std::move(change), deadline));
  }
  const auto results = co_await Parallel(executor_, std::move(calls));
  for (const Result<void>& result : results) {
    if (!result) co_return result;
  }
  co_return Result<void>();
}

asio::awaitable<Result<wire::Attributes>> FileIo::SendExtend(wire::Extend extend,
                                                             Deadline deadline, Answered when) {
  wire::MetaRequest request;
  *request.mutable_extend() = std::move(extend);
  auto reply = co_await link_.Call(std::move(request), deadline, when);
  if (!reply) co_return Fail(reply.error());
  files_.Learn(reply->attributes());
  co_return std::move(*reply->mutable_attributes());
}

// Tells the master. The answer is one to an Extend that began after this was called.
asio::awaitable<Result<wire::Attributes>> FileIo::Extend(std::shared_ptr<Inode> inode,
                                                         const Layout& layout,
                                                         const FileChange& change,
                                                         Deadline deadline) {
  wire::Extend extend;
  extend.set_inode(Raw(inode->id));
  extend.set_data(Raw(layout.data));
  extend.set_generation(layout.generation);
  extend.set_end(EndOf(change));
  extend.set_kill_set_ids(change.kill_set_ids);
  extend.set_append(change.append);
  // One that gives back a turn is nobody else's.
  if (change.append) return SendExtend(std::move(extend), deadline);
  ExtendQueue::Send send = [this, deadline](wire::Extend merged) {
    return SendExtend(std::move(merged), deadline);
  };
  return inode->extends.Run(std::move(extend), std::move(send));
}

asio::awaitable<Result<void>> FileIo::Overwrite(std::shared_ptr<Inode> inode,
                                                wire::Attributes attributes, FileChange change,
                                                Deadline deadline) {
  const auto layout = LayoutOf(attributes);
  if (!layout) co_return Fail(layout.error());
  auto put = co_await ChangeBlocks(inode, *layout, std::move(change), deadline);
  if (put) co_await BoundDirtyBlocks(deadline);
  co_return put;
}

asio::awaitable<Result<uint64_t>> FileIo::Change(std::shared_ptr<Inode> inode, FileChange change,
                                                 Deadline deadline) {
  wire::Attributes now = inode->known;
  if (change.kind == FileChange::Kind::kZero) {
    // Zeroing goes up to the end, wherever others have put it.
    auto fresh = co_await Attributes(inode->id, deadline);
    if (!fresh) co_return Fail(fresh.error());
    now = *std::move(fresh);
  }
  auto changed = co_await ChangeFrom(inode, std::move(change), std::move(now), deadline);
  if (changed) co_await BoundDirtyBlocks(deadline);
  co_return changed;
}

asio::awaitable<Result<uint64_t>> FileIo::ChangeFrom(std::shared_ptr<Inode> inode,
                                                     FileChange change, wire::Attributes now,
                                                     Deadline deadline) {
  Step step;
  step.grows_to = change.append ? UINT64_MAX : EndOf(change);
  step.put = [&](const Layout& layout) {
    if (change.append) change.offset = layout.size;
    return ChangeBlocks(inode, layout, change, deadline);
  };
  step.tell = [&](const Layout& layout) { return Extend(inode, layout, change, deadline); };
  auto done = co_await Repeat(inode, std::move(step), std::move(now), deadline);
  if (done && change.sync) done = co_await link_.FlushNames(deadline);
  if (!done) co_return Fail(done.error());
  co_return change.offset;
}

// Changes blocks and tells the master, again and again as long as the content turns out to be
// another one than `now` says.
asio::awaitable<Result<void>> FileIo::Repeat(std::shared_ptr<Inode> inode, Step step,
                                             wire::Attributes now, Deadline deadline) {
  for (Retry retry(deadline);;) {
    if (now.has_cut() && step.grows_to > now.cut().from()) {
      auto settled = co_await SettleCut(inode, deadline);
      if (!settled) co_return Fail(settled.error());
      now = *std::move(settled);
    }
    const auto layout = LayoutOf(now);
    if (!layout) co_return Fail(layout.error());
    auto put = co_await step.put(*layout);
    if (!put) co_return put;
    auto told = co_await step.tell(*layout);
    if (told) co_return Result<void>();
    if (told.code() != Errc::kStale && told.code() != Errc::kBusy) co_return Fail(told.error());
    // The blocks were cut, or are to be, behind what was just written: again, where it belongs now.
    auto asking =
        told.code() == Errc::kBusy ? SettleCut(inode, deadline) : Attributes(inode->id, deadline);
    auto fresh = co_await std::move(asking);
    if (!fresh) co_return Fail(fresh.error());
    const bool same =
        fresh->data() == Raw(layout->data) && fresh->generation() == layout->generation;
    now = *std::move(fresh);
    if (same && !co_await retry.Pause(link_.changed())) co_return Fail(told.error());
  }
}

asio::awaitable<void> FileIo::BoundDirtyBlocks(Deadline deadline) {
  if (files_.dirty_blocks() <= kMaxDirtyBlocks) co_return;
  auto turn = co_await sync_turn_.Take(1, deadline.left_ms());
  if (!turn || files_.dirty_blocks() <= kMaxDirtyBlocks) co_return;
  auto synced = co_await SyncAll(deadline);
  // They stay dirty, and whoever syncs them is told.
  if (!synced) spdlog::warn("writing back: {}", synced.error().ToString());
}

asio::awaitable<Result<uint64_t>> FileIo::Append(std::shared_ptr<Inode> inode, FileChange change,
                                                 Deadline deadline) {
  auto turn = co_await inode->append_turn.Take(1, deadline.left_ms());
  if (!turn) co_return Fail(Errc::kTimedOut, "waited for another append of this mount");
  const SessionId session = link_.session();
  wire::MetaRequest request;
  request.mutable_begin_append()->set_inode(Raw(inode->id));
  auto begun = co_await link_.Call(std::move(request), deadline);
  if (!begun) co_return Fail(begun.error());
  inode->appending = true;
  files_.Learn(begun->attributes());
  change.append = true;
  auto changed = co_await ChangeFrom(inode, std::move(change),
                                     std::move(*begun->mutable_attributes()), deadline);
  inode->appending = false;
  if (!changed && session == link_.session()) co_await GiveBackTurn(inode);
  co_return changed;
}

asio::awaitable<void> FileIo::GiveBackTurn(std::shared_ptr<Inode> inode) {
  wire::MetaRequest request;
  request.mutable_abort_append()->set_inode(Raw(inode->id));
  auto given = co_await link_.Call(std::move(request), Deadline(clock_, kGiveBackTimeoutMs));
  // After a reconnect the master does not count it as ours any more.
  if (!given) spdlog::warn("inode {}: {}", Raw(inode->id), given.error().ToString());
}

}  // namespace ringfs::client
