#include "client/open_files.h"

#include <fmt/format.h>

#include <utility>

#include "common/log.h"

namespace ringfs::client {
namespace {

uint32_t& CountOf(Inode& inode, const OpenMode& mode) {
  return mode.write ? inode.writers : inode.readers;
}

uint32_t& UntoldOf(Inode& inode, const OpenMode& mode) {
  return mode.write ? inode.untold_writers : inode.untold_readers;
}

}  // namespace

std::shared_ptr<Inode> OpenFiles::Get(InodeId id) {
  std::shared_ptr<Inode>& inode = inodes_[id];
  if (!inode) inode = std::make_shared<Inode>(executor_, id);
  return inode;
}

std::shared_ptr<Inode> OpenFiles::Find(InodeId id) const {
  const auto found = inodes_.find(id);
  return found == inodes_.end() ? nullptr : found->second;
}

void OpenFiles::Forget(const std::shared_ptr<Inode>& inode) {
  // The caller and this table hold it; more holders are calls that are under way.
  const bool used = inode.use_count() > 2 || inode->readers > 0 || inode->writers > 0 ||
                    inode->fenced_handles > 0 || inode->holds_back;
  if (!used && inode->dirty.empty()) inodes_.erase(inode->id);
}

std::shared_ptr<Handle> OpenFiles::Add(std::shared_ptr<Inode> inode, const OpenMode& mode,
                                       bool untold) {
  auto handle = std::make_shared<Handle>();
  handle->id = HandleId{++last_handle_};
  handle->inode = std::move(inode);
  handle->mode = mode;
  handle->errors_seen = handle->inode->write_errors;
  ++CountOf(*handle->inode, mode);
  if (untold) ++UntoldOf(*handle->inode, mode);
  handles_[handle->id] = handle;
  return handle;
}

std::shared_ptr<Handle> OpenFiles::FindHandle(HandleId id) const {
  const auto found = handles_.find(id);
  return found == handles_.end() ? nullptr : found->second;
}

Result<std::shared_ptr<Handle>> OpenFiles::Use(HandleId id) const {
  auto handle = FindHandle(id);
  if (!handle) return Fail(Errc::kBadDescriptor, fmt::format("no handle {}", Raw(id)));
  if (handle->fenced) {
    return Fail(Errc::kFenced, "the session expired while this file was locked or written");
  }
  return handle;
}

Result<void> OpenFiles::TakeWriteError(Handle& handle) {
  const Inode& inode = *handle.inode;
  if (std::exchange(handle.errors_seen, inode.write_errors) == inode.write_errors) return {};
  return Fail(inode.last_write_error);
}

void OpenFiles::Remove(std::shared_ptr<Handle> handle) {
  if (handles_.erase(handle->id) == 0) return;
  const std::shared_ptr<Inode> inode = handle->inode;
  inode->held.FreeHandle(handle->id);
  --(handle->fenced ? inode->fenced_handles : CountOf(*inode, handle->mode));
  handle.reset();  // it would count as somebody who uses the inode
  Forget(inode);
}

void OpenFiles::Learn(const wire::Attributes& attributes) {
  const auto found = inodes_.find(InodeId{attributes.inode()});
  if (found != inodes_.end()) found->second->known = attributes;
}

bool OpenFiles::TakeUntold(Handle& handle) {
  uint32_t& untold = UntoldOf(*handle.inode, handle.mode);
  if (untold == 0) return false;
  --untold;
  return true;
}

void OpenFiles::Tell(wire::LeaseAnswer& answer) {
  const auto found = inodes_.find(InodeId{answer.inode()});
  if (found == inodes_.end()) return;
  if (answer.kept() == wire::LEASE_NONE) {
    answer.set_readers(std::exchange(found->second->untold_readers, 0));
  }
  answer.set_writers(std::exchange(found->second->untold_writers, 0));
}

std::vector<wire::OpenInode> OpenFiles::TellAll() {
  std::vector<wire::OpenInode> open;
  for (const auto& [id, inode] : inodes_) {
    inode->untold_readers = inode->untold_writers = 0;
    if (inode->readers == 0 && inode->writers == 0 && !inode->appending) continue;
    wire::OpenInode& entry = open.emplace_back();
    entry.set_inode(Raw(id));
    entry.set_readers(inode->readers);
    entry.set_writers(inode->writers);
    entry.set_appending(inode->appending);
  }
  return open;
}

std::vector<InodeId> OpenFiles::Fence() {
  std::set<InodeId> lost;
  for (const auto& [id, handle] : handles_) {
    if (handle->fenced) continue;
    Inode& inode = *handle->inode;
    const bool locked = inode.held.Through(id);
    const bool lost_writes =
        handle->writes_in_flight > 0 || handle->write_failed || (handle->wrote && inode.holds_back);
    if (!locked && !lost_writes) continue;
    handle->fenced = true;
    --CountOf(inode, handle->mode);
    ++inode.fenced_handles;
    lost.insert(inode.id);
    spdlog::error("inode {}: an open file {} answers with an error until it is closed",
                  Raw(inode.id), locked ? "has lost its locks and" : "with unfinished writes");
  }
  for (const auto& [id, inode] : inodes_) {
    inode->appending = false;
    inode->range_owners.clear();
    inode->held.Clear();
  }
  return {lost.begin(), lost.end()};
}

std::vector<std::shared_ptr<Inode>> OpenFiles::Dirty() const {
  std::vector<std::shared_ptr<Inode>> dirty;
  for (const auto& [id, inode] : inodes_) {
    if (!inode->dirty.empty()) dirty.push_back(inode);
  }
  return dirty;
}

void OpenFiles::MarkDirty(Inode& inode, const BlockKey& key, DirtyBlock block) {
  const auto [place, added] = inode.dirty.try_emplace(key, block);
  if (added) {
    ++dirty_blocks_;
  } else if (place->second.version < block.version) {
    place->second = block;
  }
}

void OpenFiles::MarkClean(Inode& inode, const BlockKey& key, BlockVersion version) {
  const auto place = inode.dirty.find(key);
  if (place == inode.dirty.end() || place->second.version > version) return;
  inode.dirty.erase(place);
  --dirty_blocks_;
}

}  // namespace ringfs::client
