#include <sys/stat.h>

#include "master/state/ops/ops.h"

namespace ringfs::master {
namespace {

Result<void> ChangeMode(Change& change, wire::InodeRecord& record, uint32_t mode) {
  wire::Attributes& attributes = *record.mutable_attributes();
  attributes.set_mode((attributes.mode() & S_IFMT) | (mode & 07777));
  Result<std::optional<Acl>> acl = GetAcl(change.tree, record, kAccessAcl);
  if (!acl) return Fail(acl.error());
  if (!*acl) return {};
  (*acl)->SetModeBits(mode);
  return StoreAccessAcl(change.tree, record, **acl);
}

Result<void> ChangeOwner(Change& change, wire::InodeRecord& record,
                         const wire::SetAttributes& ask) {
  wire::Attributes& attributes = *record.mutable_attributes();
  if (ask.has_uid()) attributes.set_uid(ask.uid());
  if (ask.has_gid()) attributes.set_gid(ask.gid());
  if (IsDirectory(attributes.mode())) return {};
  // A mode that comes with it has been cleared by who asks.
  if (!ask.has_mode()) KillSetIds(record);
  return KillCapability(change, record);
}

void ChangeTimes(Change& change, wire::Attributes& attributes, const wire::SetAttributes& ask) {
  if (ask.atime_now()) attributes.set_atime_ns(change.now_ns);
  if (ask.has_atime_ns()) attributes.set_atime_ns(ask.atime_ns());
  if (ask.mtime_now()) attributes.set_mtime_ns(change.now_ns);
  if (ask.has_mtime_ns()) attributes.set_mtime_ns(ask.mtime_ns());
  if (!ask.was_read()) attributes.set_ctime_ns(change.now_ns);
}

}  // namespace

// What goes with an owner or a mode was done by who held the change back, but for the ACL.
Result<void> SetHeldBack(Change& change, wire::InodeRecord& record, const wire::Extend& ask) {
  wire::Attributes& attributes = *record.mutable_attributes();
  if (ask.has_uid()) attributes.set_uid(ask.uid());
  if (ask.has_gid()) attributes.set_gid(ask.gid());
  if (ask.has_atime_ns()) attributes.set_atime_ns(ask.atime_ns());
  if (!ask.has_mode()) return {};
  return ChangeMode(change, record, ask.mode());
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::SetAttributes& ask) {
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  if (ask.has_size()) {
    Result<void> resized = Resize(change, *record, ask.size());
    if (!resized) return Fail(resized.error());
  }
  if (ask.has_mode()) {
    Result<void> changed = ChangeMode(change, *record, ask.mode());
    if (!changed) return Fail(changed.error());
  }
  if (ask.has_uid() || ask.has_gid()) {
    Result<void> changed = ChangeOwner(change, *record, ask);
    if (!changed) return Fail(changed.error());
  }
  if (ask.kill_set_ids() && !IsDirectory(record->attributes().mode())) {
    KillSetIds(*record);
    Result<void> killed = KillCapability(change, *record);
    if (!killed) return Fail(killed.error());
  }
  ChangeTimes(change, *record->mutable_attributes(), ask);
  change.tree.Put(*record);
  return ReplyWith(*record);
}

}  // namespace ringfs::master
