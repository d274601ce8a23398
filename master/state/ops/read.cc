#include <sys/stat.h>

#include <algorithm>

#include "master/state/limits.h"
#include "master/state/ops/ops.h"

namespace ringfs::master {

Result<wire::MetaReply> Answer(const Tree& tree, const wire::Lookup& ask) {
  Result<void> named = CheckName(ask.name());
  if (!named) return Fail(named.error());
  if (ask.name() == ".") {
    // Of a file as well: so the kernel finds the inode of a file handle (name_to_handle_at, NFS).
    Result<wire::InodeRecord> record = tree.Get(ask.parent());
    if (!record) return Fail(record.error());
    return ReplyWith(*record);
  }
  Result<wire::InodeRecord> parent = tree.GetDirectory(ask.parent());
  if (!parent) return Fail(parent.error());
  uint64_t inode = parent->parent();
  if (ask.name() != "..") {
    Result<std::optional<wire::EntryRecord>> entry = tree.Find(ask.parent(), ask.name());
    if (!entry) return Fail(entry.error());
    if (!*entry) return Fail(Errc::kNotFound, "no such name");
    inode = (*entry)->inode();
  }
  Result<wire::InodeRecord> record = tree.Get(inode);
  if (!record) return Fail(record.error());
  return ReplyWith(*record);
}

Result<wire::MetaReply> Answer(const Tree& tree, const wire::GetAttributes& ask) {
  Result<wire::InodeRecord> record = tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  return ReplyWith(*record);
}

Result<wire::MetaReply> Answer(const Tree& tree, const wire::ReadLink& ask) {
  Result<wire::InodeRecord> record = tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  if ((record->attributes().mode() & S_IFMT) != S_IFLNK) {
    return Fail(Errc::kInvalid, "no symbolic link");
  }
  wire::MetaReply reply;
  reply.set_value(std::move(*record->mutable_target()));
  return reply;
}

Result<wire::MetaReply> Answer(const Tree& tree, const wire::ReadDirectory& ask) {
  Result<wire::InodeRecord> directory = tree.GetDirectory(ask.inode());
  if (!directory) return Fail(directory.error());
  size_t limit = std::clamp(ask.max_entries(), 1u, kMaxEntriesListed);
  Result<Tree::Listing> listing = tree.List(ask.inode(), ask.cookie(), limit);
  if (!listing) return Fail(listing.error());
  wire::MetaReply reply;
  reply.set_end(listing->end);
  for (wire::Entry& entry : listing->entries) {
    if (ask.attributes()) {
      Result<wire::InodeRecord> record = tree.Get(entry.inode());
      if (!record) return Fail(record.error());
      *entry.mutable_attributes() = std::move(*record->mutable_attributes());
    }
    *reply.add_entries() = std::move(entry);
  }
  return reply;
}

Result<wire::MetaReply> Answer(const Tree& tree, const wire::StatFs&) {
  wire::MetaReply reply;
  reply.mutable_stat_fs()->set_files(tree.counters().inodes());
  reply.mutable_stat_fs()->set_files_free(kMaxInodes -
                                          std::min(kMaxInodes, tree.counters().inodes()));
  return reply;
}

}  // namespace ringfs::master
