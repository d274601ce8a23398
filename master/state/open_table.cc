#include "master/state/open_table.h"

#include "common/check.h"

namespace ringfs::master {

void OpenTable::Add(SessionId session, InodeId inode, uint64_t readers, uint64_t writers) {
  if (readers + writers == 0) return;
  for (Handles* handles : {&sessions_[session][inode], &handles_[inode]}) {
    handles->readers += readers;
    handles->writers += writers;
  }
}

void OpenTable::Forget(InodeId inode, const Handles& handles) {
  auto found = handles_.find(inode);
  RINGFS_CHECK(found != handles_.end());
  Handles& all = found->second;
  RINGFS_CHECK(all.readers >= handles.readers && all.writers >= handles.writers);
  all.readers -= handles.readers;
  all.writers -= handles.writers;
  if (all.readers == 0 && all.writers == 0) handles_.erase(found);
}

void OpenTable::Close(SessionId session, InodeId inode, bool writing) {
  auto opened = sessions_.find(session);
  if (opened == sessions_.end()) return;
  auto found = opened->second.find(inode);
  if (found == opened->second.end()) return;
  uint64_t& count = writing ? found->second.writers : found->second.readers;
  if (count == 0) return;
  --count;
  Forget(inode, Handles{writing ? 0u : 1u, writing ? 1u : 0u});
  if (found->second.readers == 0 && found->second.writers == 0) opened->second.erase(found);
  if (opened->second.empty()) sessions_.erase(opened);
}

void OpenTable::Reassert(SessionId session,
                         const google::protobuf::RepeatedPtrField<wire::OpenInode>& open) {
  End(session);
  for (const wire::OpenInode& inode : open) {
    Add(session, InodeId{inode.inode()}, inode.readers(), inode.writers());
  }
}

void OpenTable::End(SessionId session) {
  auto opened = sessions_.find(session);
  if (opened == sessions_.end()) return;
  for (const auto& [inode, handles] : opened->second) Forget(inode, handles);
  sessions_.erase(opened);
}

std::vector<InodeId> OpenTable::Writing(SessionId session) const {
  std::vector<InodeId> writing;
  auto opened = sessions_.find(session);
  if (opened == sessions_.end()) return writing;
  for (const auto& [inode, handles] : opened->second) {
    if (handles.writers > 0) writing.push_back(inode);
  }
  return writing;
}

size_t OpenTable::Count(SessionId session) const {
  auto opened = sessions_.find(session);
  return opened != sessions_.end() ? opened->second.size() : 0;
}

bool OpenTable::IsOpenElsewhere(SessionId session, InodeId inode) const {
  auto found = handles_.find(inode);
  if (found == handles_.end()) return false;
  const Handles own = Of(session, inode);
  return found->second.readers > own.readers || found->second.writers > own.writers;
}

bool OpenTable::IsWrittenElsewhere(SessionId session, InodeId inode) const {
  auto found = handles_.find(inode);
  return found != handles_.end() && found->second.writers > Of(session, inode).writers;
}

OpenTable::Handles OpenTable::Of(SessionId session, InodeId inode) const {
  auto opened = sessions_.find(session);
  if (opened == sessions_.end()) return {};
  auto found = opened->second.find(inode);
  return found != opened->second.end() ? found->second : Handles{};
}

}  // namespace ringfs::master
