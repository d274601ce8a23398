#include "client/mount.h"

#include <utility>

#include "client/report.h"
#include "common/log.h"

namespace ringfs::client {
namespace {

constexpr int64_t kLastSyncTimeoutMs = 30'000;
// Of small files that were written here, in memory.
constexpr size_t kRecentBytes = 16 << 20;
constexpr size_t kRecentFileBytes = 128 << 10;
// Names of directories that are kept, by the leases that may be.
constexpr size_t kNamesALease = 2;

Failure NoWord() {
  return Fail(Errc::kTimedOut, "the master did not say whether the file is still locked");
}

}  // namespace

Mount::Mount(asio::any_io_executor executor, Options options)
    : executor_(executor),
      options_(std::move(options)),
      background_(executor),
      files_(executor),
      link_(executor, clock_, options_, background_, Hooks()),
      maps_(executor, clock_, link_, background_, [this] { chunks_.Follow(); }),
      chunks_(executor, maps_.view()),
      blocks_(executor, link_, maps_, chunks_),
      io_(executor, clock_, link_, blocks_, files_, background_),
      locks_(executor, clock_, link_, background_, HooksOfFlocks()),
      leases_(executor, background_, options_.max_leases, HooksOfLeases()),
      cache_(leases_, options_.max_leases * kNamesALease),
      write_back_(executor, clock_, background_, LimitsOfWriteBack(), HooksOfWriteBack()),
      recent_(kRecentBytes, kRecentFileBytes),
      overwritten_(executor),
      dropped_(executor) {}

// They are called when everything is made, from the read loop.
MasterLinkHooks Mount::Hooks() {
  MasterLinkHooks hooks;
  hooks.open_inodes = [this] { return files_.TellAll(); };
  hooks.map = [this](const wire::ClusterMap& map) {
    maps_.Take(map);
    locks_.WakeAll();
  };
  hooks.epoch = [this](Epoch epoch) { maps_.Learn(epoch); };
  hooks.granted = [this](const wire::GrantPush& push) { locks_.Granted(push); };
  hooks.session_lost = [this] {
    auto fenced = files_.Fence();
    leases_.DropAll();
    write_back_.Drop();
    locks_.SessionLost();
    if (!fenced.empty()) background_.Start(NameFenced(std::move(fenced)), "names of lost files");
  };
  AddCacheHooks(hooks);
  return hooks;
}

asio::awaitable<Result<void>> Mount::Start() { return link_.Open(NewDeadline()); }

asio::awaitable<Result<std::unique_ptr<Filesystem>>> Filesystem::Connect(
    asio::any_io_executor executor, Options options) {
  if (options.masters.empty()) co_return Fail(Errc::kInvalid, "no master was named");
  auto mount = std::make_unique<Mount>(std::move(executor), std::move(options));
  auto started = co_await mount->Start();
  if (!started) {
    co_await mount->Close();
    co_return Fail(started.error());
  }
  co_return std::unique_ptr<Filesystem>(std::move(mount));
}

asio::awaitable<void> Mount::Close() {
  if (std::exchange(closed_, true)) co_return;
  const Deadline deadline(clock_, kLastSyncTimeoutMs);
  auto synced = co_await write_back_.FlushAll(deadline);
  if (synced) synced = co_await io_.SyncAll(deadline);
  if (!synced) spdlog::error("closing with unsynced data: {}", synced.error().ToString());
  background_.Stop();
  co_await link_.Close();
  chunks_.Close();
  co_await background_.Join();
}

asio::awaitable<Result<wire::MetaReply>> Mount::Ask(InodeId inode, wire::MetaRequest request) {
  const std::string operation(OperationName(request));
  auto reply = co_await link_.Call(std::move(request), NewDeadline());
  if (reply && reply->has_attributes()) files_.Learn(reply->attributes());
  co_return Reported(operation, inode, std::move(reply));
}

asio::awaitable<Result<wire::Attributes>> Mount::AskAttributes(InodeId inode,
                                                               wire::MetaRequest request) {
  auto reply = co_await Ask(inode, std::move(request));
  if (!reply) co_return Fail(reply.error());
  co_return std::move(*reply->mutable_attributes());
}

asio::awaitable<Result<void>> Mount::Tell(InodeId inode, wire::MetaRequest request) {
  auto reply = co_await Ask(inode, std::move(request));
  if (!reply) co_return Fail(reply.error());
  co_return Result<void>();
}

asio::awaitable<void> Mount::NameFenced(std::vector<InodeId> inodes) {
  for (const InodeId inode : inodes) {
    wire::MetaRequest request;
    request.mutable_get_path()->set_inode(Raw(inode));
    auto reply = co_await link_.Call(std::move(request), NewDeadline());
    if (background_.stopping()) co_return;
    spdlog::error(
        "inode {}, which has lost its locks or writes, is {}", Raw(inode),
        reply ? Printable(reply->value()) : "of unknown name: " + reply.error().ToString());
  }
}

asio::awaitable<Result<void>> Mount::Settle(std::shared_ptr<Handle> handle, Deadline deadline) {
  if (InDoubt(*handle)) {
    const bool certain = co_await link_.MakeCertain(deadline);
    if (!certain) co_return NoWord();
  }
  if (handle->fenced) {
    co_return Fail(Errc::kFenced, "the session expired while this file was locked or written");
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> Mount::Confirm(HandleId id) {
  auto handle = files_.FindHandle(id);
  if (!handle) co_return Fail(Errc::kBadDescriptor);
  auto settled = co_await Settle(handle, NewDeadline());
  co_return Reported("use", handle->inode->id, std::move(settled));
}

asio::awaitable<Result<void>> Mount::ConfirmPages(InodeId id) {
  const auto inode = files_.Find(id);
  if (!inode) co_return Result<void>();
  if (!inode->held.empty()) {
    const bool certain = co_await link_.MakeCertain(NewDeadline());
    if (!certain) co_return NoWord();
  }
  if (inode->fenced_handles == 0) co_return Result<void>();
  co_return Fail(Errc::kFenced, "pages may be of an open file that has lost its locks");
}

asio::awaitable<Result<void>> Mount::SetLock(LockRequest request, Interrupt interrupt) {
  auto handle = files_.Use(request.handle);
  if (!handle) co_return Fail(handle.error());
  auto set = co_await locks_.Set(*handle, request, interrupt, options_.timeout_ms);
  // Whoever has the lock sees what the one before has done: pages from before go first.
  while (set && dropping_.contains(request.inode)) co_await dropped_.Wait();
  co_return Reported("lock", request.inode, std::move(set));
}

asio::awaitable<Result<wire::TestLockReply>> Mount::TestLock(LockRequest request) {
  auto handle = files_.Use(request.handle);
  if (!handle) co_return Fail(handle.error());
  auto tested = co_await locks_.Test(request, NewDeadline());
  if (tested && Unsettled(**handle)) {
    auto settled = co_await Settle(*handle, NewDeadline());
    if (!settled) tested = Fail(settled.error());
  }
  co_return Reported("test lock", request.inode, std::move(tested));
}

}  // namespace ringfs::client
