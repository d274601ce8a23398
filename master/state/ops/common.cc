#include <sys/stat.h>

#include "common/set_ids.h"
#include "master/state/limits.h"
#include "master/state/ops/ops.h"

namespace ringfs::master {

Result<void> CheckName(std::string_view name) {
  if (name.size() > kMaxNameBytes) {
    return Fail(Errc::kNameTooLong, "a name of " + std::to_string(name.size()) + " bytes");
  }
  if (name.empty()) return Fail(Errc::kNotFound, "an empty name");
  if (name.find('/') != name.npos || name.find('\0') != name.npos) {
    return Fail(Errc::kInvalid, "a name with a slash or a zero byte");
  }
  return {};
}

bool IsDots(std::string_view name) { return name == "." || name == ".."; }

wire::MetaReply ReplyWith(const wire::InodeRecord& record) {
  wire::MetaReply reply;
  *reply.mutable_attributes() = record.attributes();
  return reply;
}

wire::MetaReply ReplyWithRemoved(const wire::InodeRecord& record) {
  return record.attributes().links() == 0 ? ReplyWith(record) : wire::MetaReply();
}

void Touch(wire::InodeRecord& record, int64_t now_ns) {
  record.mutable_attributes()->set_mtime_ns(now_ns);
  record.mutable_attributes()->set_ctime_ns(now_ns);
}

void DropName(Change& change, wire::InodeRecord& record, uint64_t parent, std::string_view name) {
  wire::Attributes& attributes = *record.mutable_attributes();
  bool directory = IsDirectory(attributes.mode());
  attributes.set_links(directory ? 0 : attributes.links() - 1);
  attributes.set_ctime_ns(change.now_ns);
  // A directory without a name keeps its parent, since it still has a "..".
  if (record.parent() == parent && record.name() == name) {
    record.clear_name();
    if (!directory) record.clear_parent();
  }
  if (attributes.links() == 0) {
    change.tree.AddOrphan(attributes.inode());
    change.events.orphaned.push_back(InodeId{attributes.inode()});
  }
  change.tree.Put(record);
}

void KillSetIds(wire::InodeRecord& record) {
  record.mutable_attributes()->set_mode(WithoutSetIds(record.attributes().mode()));
}

Result<void> KillCapability(Change& change, wire::InodeRecord& record) {
  constexpr std::string_view kCapability = "security.capability";
  Result<std::optional<std::string>> value = change.tree.Xattr(record, kCapability);
  if (!value) return Fail(value.error());
  if (*value) change.tree.RemoveXattr(record, kCapability, (*value)->size());
  return {};
}

Result<std::optional<Acl>> GetAcl(const Tree& tree, const wire::InodeRecord& record,
                                  std::string_view name) {
  Result<std::optional<std::string>> value = tree.Xattr(record, name);
  if (!value) return Fail(value.error());
  if (!*value) return std::optional<Acl>();
  Result<Acl> acl = Acl::Parse(**value);
  if (!acl) return Fail(Errc::kCorrupted, "the database has a damaged ACL");
  return std::optional<Acl>(std::move(*acl));
}

Result<void> StoreAccessAcl(Tree& tree, wire::InodeRecord& record, const Acl& acl) {
  Result<std::optional<std::string>> old = tree.Xattr(record, kAccessAcl);
  if (!old) return Fail(old.error());
  std::optional<size_t> old_size;
  if (*old) old_size = (*old)->size();
  if (!acl.IsMinimal()) {
    tree.SetXattr(record, kAccessAcl, acl.Serialize(), old_size);
  } else if (old_size) {
    tree.RemoveXattr(record, kAccessAcl, *old_size);
  }
  record.mutable_attributes()->set_has_acl(!acl.IsMinimal());
  return {};
}

void MakeRoot(Tree& tree, int64_t now_ns) {
  wire::InodeRecord root = tree.New(S_IFDIR | 0755, now_ns);
  root.set_parent(root.attributes().inode());
  tree.Put(root);
}

}  // namespace ringfs::master
