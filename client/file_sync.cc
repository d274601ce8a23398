#include <fmt/format.h>

#include <map>
#include <utility>

#include "client/file_io.h"

namespace ringfs::client {
namespace {

using Versions = std::map<BlockKey, DirtyBlock>;

}  // namespace

FileIo::FileIo(asio::any_io_executor executor, const Clock& clock, MasterLink& link,
               BlockIo& blocks, OpenFiles& files, Background& background)
    : executor_(executor),
      clock_(clock),
      link_(link),
      blocks_(blocks),
      files_(files),
      background_(background),
      sync_turn_(executor, 1) {}

asio::awaitable<Result<void>> FileIo::Sync(InodeId id, Deadline deadline) {
  std::vector<std::shared_ptr<Inode>> inodes;
  if (auto inode = files_.Find(id)) inodes.push_back(std::move(inode));
  co_return co_await SyncInodes(std::move(inodes), deadline);
}

asio::awaitable<Result<void>> FileIo::SyncAll(Deadline deadline) {
  co_return co_await SyncInodes(files_.Dirty(), deadline);
}

asio::awaitable<Result<void>> FileIo::SyncInodes(std::vector<std::shared_ptr<Inode>> inodes,
                                                 Deadline deadline) {
  std::vector<Versions> versions;
  std::vector<BlockKey> keys;
  for (const std::shared_ptr<Inode>& inode : inodes) {
    versions.push_back(inode->dirty);
    for (const auto& [key, block] : inode->dirty) keys.push_back(key);
  }
  auto synced = co_await blocks_.Sync(std::move(keys), deadline);
  if (!synced) co_return synced;
  Result<void> result;
  for (size_t i = 0; i < inodes.size(); ++i) {
    auto kept = co_await CheckKept(inodes[i], versions[i], deadline);
    if (!kept && kept.code() != Errc::kIo) co_return kept;  // not known: they stay dirty
    if (!kept) result = kept;
    for (const auto& [key, block] : versions[i]) {
      files_.MarkClean(*inodes[i], key, block.version);
    }
    const std::shared_ptr<Inode> inode = std::move(inodes[i]);
    files_.Forget(inode);
  }
  co_return result;
}

// A server that restarts may lose what was not on its platters. When all members of a bucket did
// so at once, a block is older now than our last write: kIo, once. The bucket has another version
// then than when it was written.
asio::awaitable<Result<void>> FileIo::CheckKept(std::shared_ptr<Inode> inode, Versions written,
                                                Deadline deadline) {
  std::vector<BlockKey> moved;
  for (const auto& [key, block] : written) {
    const auto place = blocks_.view().Find(key);
    if (!place || place->version != block.version.bucket_version) moved.push_back(key);
  }
  if (moved.empty()) co_return Result<void>();
  auto infos = co_await blocks_.Stat(moved, false, deadline);
  if (!infos) co_return Fail(infos.error());
  auto attributes = co_await Attributes(inode->id, deadline);
  if (!attributes && attributes.code() == Errc::kStale) co_return Result<void>();  // unlinked
  if (!attributes) co_return Fail(attributes.error());
  size_t lost = 0;
  for (size_t i = 0; i < moved.size(); ++i) {
    const wire::Version& version = (*infos)[i].version();
    const BlockVersion now{version.bucket_version(), version.counter()};
    const DirtyBlock& block = written.at(moved[i]);
    // Content that was cut since need not be there any more.
    const bool current =
        Raw(moved[i].data) == attributes->data() && block.generation == attributes->generation();
    if (current && now < block.version) ++lost;
  }
  if (lost == 0) co_return Result<void>();
  co_return Fail(Errc::kIo, fmt::format("{} unsynced blocks of inode {} were lost: all servers "
                                        "that had them have restarted",
                                        lost, Raw(inode->id)));
}

}  // namespace ringfs::client
