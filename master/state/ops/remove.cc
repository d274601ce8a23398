#include "master/state/ops/ops.h"

namespace ringfs::master {

Result<wire::MetaReply> ApplyChange(Change& change, const wire::Unlink& ask) {
  Result<void> named = CheckName(ask.name());
  if (!named) return Fail(named.error());
  if (IsDots(ask.name())) return Fail(Errc::kIsDirectory, "a name of dots");
  Result<wire::InodeRecord> parent = change.tree.GetDirectory(ask.parent());
  if (!parent) return Fail(parent.error());
  Result<std::optional<wire::EntryRecord>> entry = change.tree.Find(ask.parent(), ask.name());
  if (!entry) return Fail(entry.error());
  if (!*entry) return Fail(Errc::kNotFound, "no such name");
  if (IsDirectory((*entry)->type())) return Fail(Errc::kIsDirectory, "the name is a directory");
  Result<wire::InodeRecord> record = change.tree.Get((*entry)->inode());
  if (!record) return Fail(record.error());

  change.tree.Erase(*parent, ask.name(), **entry);
  Touch(*parent, change.now_ns);
  change.tree.Put(*parent);
  DropName(change, *record, ask.parent(), ask.name());
  return ReplyWithRemoved(*record);
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::RemoveDirectory& ask) {
  Result<void> named = CheckName(ask.name());
  if (!named) return Fail(named.error());
  if (ask.name() == ".") return Fail(Errc::kInvalid, "\".\" cannot be removed");
  if (ask.name() == "..") return Fail(Errc::kNotEmpty, "\"..\" cannot be removed");
  Result<wire::InodeRecord> parent = change.tree.GetDirectory(ask.parent());
  if (!parent) return Fail(parent.error());
  Result<std::optional<wire::EntryRecord>> entry = change.tree.Find(ask.parent(), ask.name());
  if (!entry) return Fail(entry.error());
  if (!*entry) return Fail(Errc::kNotFound, "no such name");
  Result<wire::InodeRecord> record = change.tree.GetDirectory((*entry)->inode());
  if (!record) return Fail(record.error());
  if (record->entries() > 0) return Fail(Errc::kNotEmpty, "the directory is not empty");

  change.tree.Erase(*parent, ask.name(), **entry);
  parent->mutable_attributes()->set_links(parent->attributes().links() - 1);
  Touch(*parent, change.now_ns);
  change.tree.Put(*parent);
  DropName(change, *record, ask.parent(), ask.name());
  return ReplyWithRemoved(*record);
}

Result<void> Collect(Change& change, const wire::CollectInodes& ask) {
  for (uint64_t inode : ask.inodes()) {
    Result<wire::InodeRecord> record = change.tree.Get(inode);
    if (record.code() == Errc::kStale) continue;
    if (!record) return Fail(record.error());
    if (record->attributes().links() > 0) continue;
    if (record->attributes().has_cut()) change.events.cuts_settled.push_back(InodeId{inode});
    Result<void> removed = change.tree.Remove(*record);
    if (!removed) return removed;
  }
  return {};
}

}  // namespace ringfs::master
