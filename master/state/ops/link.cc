#include "master/state/limits.h"
#include "master/state/ops/ops.h"

namespace ringfs::master {

Result<wire::MetaReply> ApplyChange(Change& change, const wire::Link& ask) {
  Result<void> named = CheckName(ask.name());
  if (!named) return Fail(named.error());
  if (IsDots(ask.name())) return Fail(Errc::kExists, "a name of dots");
  Result<wire::InodeRecord> parent = change.tree.GetLiveDirectory(ask.parent());
  if (!parent) return Fail(parent.error());
  Result<std::optional<wire::EntryRecord>> entry = change.tree.Find(ask.parent(), ask.name());
  if (!entry) return Fail(entry.error());
  if (*entry) return Fail(Errc::kExists, "the name exists");
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  wire::Attributes& attributes = *record->mutable_attributes();
  if (IsDirectory(attributes.mode())) return Fail(Errc::kNotPermitted, "a link to a directory");
  if (attributes.links() == 0) return Fail(Errc::kNotFound, "the file has been removed");
  if (attributes.links() >= kMaxLinks) return Fail(Errc::kTooManyLinks, "the file has many names");

  attributes.set_links(attributes.links() + 1);
  attributes.set_ctime_ns(change.now_ns);
  if (record->parent() == 0) {
    record->set_parent(ask.parent());
    record->set_name(ask.name());
  }
  change.tree.Put(*record);
  change.tree.Insert(*parent, ask.name(), ask.inode(), attributes.mode());
  Touch(*parent, change.now_ns);
  change.tree.Put(*parent);
  return ReplyWith(*record);
}

}  // namespace ringfs::master
