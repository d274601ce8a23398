#include <fmt/format.h>

#include <utility>

#include "client/file_io.h"
#include "common/log.h"

// Cutting the blocks of a file that has shrunk: first the master records the new size and who cuts,
// then the blocks go, then the master is told. As long as that is under way nothing grows there.
namespace ringfs::client {
namespace {

constexpr int64_t kFinishTimeoutMs = 30'000;
constexpr int64_t kCutPauseMs = 1000;

}  // namespace

// Removes what is behind attributes.cut, and tells the master. The caller has the cut_turn.
asio::awaitable<Result<wire::Attributes>> FileIo::Cut(wire::Attributes attributes,
                                                      Deadline deadline) {
  const auto layout = LayoutOf(attributes);
  if (!layout) co_return Fail(layout.error());
  const uint64_t from = attributes.cut().from();
  const auto within = static_cast<uint32_t>(from % layout->block_size);
  BlockKey key = KeyOf(*layout, from);
  if (within > 0) {
    BlockChange change;
    change.key = key;
    change.kind = wire::CHANGE_TRUNCATE;
    change.offset = within;
    // What the master counts as cut must not come back after a power cut.
    change.sync = true;
    auto version = co_await blocks_.Change(std::move(change), deadline);
    if (!version) co_return Fail(version.error());
    ++key.index;
  }
  // Behind the last block that there can be is nothing.
  if (within == 0 || key.index > 0) {
    auto dropped = co_await blocks_.Drop(key, deadline);
    if (!dropped) co_return Fail(dropped.error());
  }
  wire::MetaRequest request;
  request.mutable_cut_done()->set_inode(attributes.inode());
  request.mutable_cut_done()->set_generation(attributes.generation());
  auto reply = co_await link_.Call(std::move(request), deadline);
  if (!reply) co_return Fail(reply.error());
  files_.Learn(reply->attributes());
  co_return std::move(*reply->mutable_attributes());
}

// The caller has the cut_turn.
asio::awaitable<Result<wire::Attributes>> FileIo::ClaimAndCut(InodeId inode, Deadline deadline) {
  while (deadline.left_ms() > 0) {
    wire::MetaRequest request;
    request.mutable_claim_cut()->set_inode(Raw(inode));
    auto reply = co_await link_.Call(std::move(request), deadline);
    if (!reply) co_return Fail(reply.error());
    wire::Attributes attributes = std::move(*reply->mutable_attributes());
    files_.Learn(attributes);
    if (!attributes.has_cut()) co_return attributes;
    if (SessionId{attributes.cut().session()} == link_.session()) {
      auto cut = co_await Cut(std::move(attributes), deadline);
      if (!cut || !cut->has_cut()) co_return cut;
    }
    // It is to be cut once more, or by another session, for which the master lets us wait.
  }
  co_return Fail(Errc::kTimedOut, fmt::format("inode {} is being cut by others", Raw(inode)));
}

// Returns when nothing is left to be cut, with the attributes then.
asio::awaitable<Result<wire::Attributes>> FileIo::SettleCut(std::shared_ptr<Inode> inode,
                                                            Deadline deadline) {
  auto turn = co_await inode->cut_turn.Take(1, deadline.left_ms());
  if (!turn) co_return Fail(Errc::kTimedOut, "waited for a cut of this mount");
  const SessionId session = link_.session();
  auto settled = co_await ClaimAndCut(inode->id, deadline);
  if (!settled && !background_.stopping()) {
    background_.Start(FinishCut(inode, *std::move(turn), session), "finish cut");
  }
  co_return settled;
}

asio::awaitable<Result<wire::Attributes>> FileIo::Resize(wire::MetaRequest request,
                                                         Deadline deadline) {
  const InodeId id{request.set_attributes().inode()};
  const std::shared_ptr<Inode> inode = files_.Get(id);
  auto turn = co_await inode->cut_turn.Take(1, deadline.left_ms());
  if (!turn) co_return Fail(Errc::kTimedOut, "waited for a cut of this mount");
  const SessionId session = link_.session();
  auto resized = co_await SendResize(id, std::move(request), deadline);
  const bool unknown =
      !resized && (resized.code() == Errc::kTimedOut || resized.code() == Errc::kUnavailable);
  const bool unfinished = resized && resized->has_cut() && resized->cut().session() != 0;
  if (unfinished) {
    auto cut = co_await Cut(*resized, deadline);
    if (cut) {
      // What the change left there; what others do afterwards is not part of its answer.
      resized->clear_cut();
      resized->set_generation(cut->generation());
    } else {
      resized = Fail(cut.error());
    }
  }
  // Others wait for the cut: it is finished even when this call has no time left for it.
  if ((unknown || (unfinished && !resized)) && !background_.stopping()) {
    background_.Start(FinishCut(inode, *std::move(turn), session), "finish cut");
  }
  if (resized) files_.Learn(*resized);
  files_.Forget(inode);
  co_return resized;
}

// The answer to the request, once no older cut is in its way. The caller has the cut_turn.
asio::awaitable<Result<wire::Attributes>> FileIo::SendResize(InodeId inode,
                                                             wire::MetaRequest request,
                                                             Deadline deadline) {
  for (;;) {
    auto reply = co_await link_.Call(request, deadline);
    if (reply) co_return std::move(*reply->mutable_attributes());
    if (reply.code() != Errc::kBusy) co_return Fail(reply.error());
    auto settled = co_await ClaimAndCut(inode, deadline);
    if (!settled) co_return Fail(settled.error());
  }
}

asio::awaitable<void> FileIo::FinishCut(std::shared_ptr<Inode> inode, Limiter::Hold /*turn*/,
                                        SessionId session) {
  while (!background_.stopping() && session == link_.session()) {
    const Deadline deadline(clock_, kFinishTimeoutMs);
    auto settled = co_await ClaimAndCut(inode->id, deadline);
    // Without the inode, or without the session, there is nothing left for us to cut.
    if (settled || settled.code() == Errc::kStale || settled.code() == Errc::kFenced) break;
    spdlog::warn("inode {} is still to be cut: {}", Raw(inode->id), settled.error().ToString());
    co_await background_.SleepMs(kCutPauseMs);
  }
  files_.Forget(inode);
}

}  // namespace ringfs::client
