#include <sys/stat.h>

#include "master/state/limits.h"
#include "master/state/ops/ops.h"

namespace ringfs::master {
namespace {

constexpr uint32_t kCreate = 1;
constexpr uint32_t kReplace = 2;

Result<void> CheckXattrName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name.find('\0') != name.npos) {
    return Fail(Errc::kRange, "a name of an attribute must have 1 to 255 bytes");
  }
  if (name == kAccessAcl || name == kDefaultAcl) return {};
  for (std::string_view space : {"user.", "trusted.", "security."}) {
    if (!name.starts_with(space)) continue;
    if (name.size() == space.size()) return Fail(Errc::kInvalid, "a name that is only a prefix");
    return {};
  }
  return Fail(Errc::kNotSupported, "attributes of this kind are not kept");
}

// The access list also sets the mode; a list that says no more than the mode is not kept.
Result<void> SetAccessAcl(Change& change, wire::InodeRecord& record, const wire::SetXattr& ask) {
  Result<Acl> acl = Acl::Parse(ask.value());
  if (!acl) return Fail(acl.error());
  wire::Attributes& attributes = *record.mutable_attributes();
  uint32_t mode = (attributes.mode() & ~uint32_t{0777}) | acl->ModeBits();
  if (ask.kill_set_gid()) mode &= ~uint32_t{S_ISGID};
  attributes.set_mode(mode);
  return StoreAccessAcl(change.tree, record, *acl);
}

Result<void> CheckDefaultAcl(const wire::InodeRecord& record, const wire::SetXattr& ask) {
  if (!IsDirectory(record.attributes().mode())) {
    return Fail(Errc::kAccess, "only a directory has a default ACL");
  }
  Result<Acl> acl = Acl::Parse(ask.value());
  if (!acl) return Fail(acl.error());
  return {};
}

Result<void> CheckSpace(const wire::InodeRecord& record, const wire::SetXattr& ask,
                        std::optional<size_t> old_size) {
  uint64_t freed = old_size ? *old_size + ask.name().size() : 0;
  uint64_t bytes = record.xattr_bytes() - freed + ask.name().size() + ask.value().size();
  uint64_t names = record.xattr_names() + (old_size ? 0 : ask.name().size() + 1);
  if (bytes > kMaxXattrBytes || names > kMaxXattrNamesBytes) {
    return Fail(Errc::kNoSpace, "the inode has too many extended attributes");
  }
  return {};
}

}  // namespace

Result<wire::MetaReply> ApplyChange(Change& change, const wire::SetXattr& ask) {
  Result<void> checked = CheckXattrName(ask.name());
  if (!checked) return Fail(checked.error());
  if (ask.value().size() > kMaxXattrValueBytes) return Fail(Errc::kTooBig, "a large attribute");
  if ((ask.flags() & ~(kCreate | kReplace)) != 0) return Fail(Errc::kInvalid, "unknown flags");
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  Result<std::optional<std::string>> old = change.tree.Xattr(*record, ask.name());
  if (!old) return Fail(old.error());
  std::optional<size_t> old_size;
  if (*old) old_size = (*old)->size();
  if (old_size && (ask.flags() & kCreate) != 0) return Fail(Errc::kExists, "it is there");
  if (!old_size && (ask.flags() & kReplace) != 0)
    return Fail(Errc::kNoAttribute, "it is not there");
  checked = CheckSpace(*record, ask, old_size);
  if (!checked) return Fail(checked.error());

  if (ask.name() == kAccessAcl) {
    checked = SetAccessAcl(change, *record, ask);
  } else {
    if (ask.name() == kDefaultAcl) checked = CheckDefaultAcl(*record, ask);
    if (checked) change.tree.SetXattr(*record, ask.name(), ask.value(), old_size);
  }
  if (!checked) return Fail(checked.error());
  record->mutable_attributes()->set_ctime_ns(change.now_ns);
  change.tree.Put(*record);
  return ReplyWith(*record);
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::RemoveXattr& ask) {
  Result<void> checked = CheckXattrName(ask.name());
  if (!checked) return Fail(checked.error());
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  Result<std::optional<std::string>> old = change.tree.Xattr(*record, ask.name());
  if (!old) return Fail(old.error());
  if (!*old) return Fail(Errc::kNoAttribute, "no such attribute");
  change.tree.RemoveXattr(*record, ask.name(), (*old)->size());
  if (ask.name() == kAccessAcl) record->mutable_attributes()->set_has_acl(false);
  record->mutable_attributes()->set_ctime_ns(change.now_ns);
  change.tree.Put(*record);
  return ReplyWith(*record);
}

Result<wire::MetaReply> Answer(const Tree& tree, const wire::GetXattr& ask) {
  Result<void> checked = CheckXattrName(ask.name());
  if (!checked) return Fail(checked.error());
  Result<wire::InodeRecord> record = tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  Result<std::optional<std::string>> value = tree.Xattr(*record, ask.name());
  if (!value) return Fail(value.error());
  if (!*value) return Fail(Errc::kNoAttribute, "no such attribute");
  wire::MetaReply reply;
  reply.set_value(std::move(**value));
  return reply;
}

Result<wire::MetaReply> Answer(const Tree& tree, const wire::ListXattrs& ask) {
  Result<wire::InodeRecord> record = tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  Result<std::vector<std::string>> names = tree.XattrNames(*record);
  if (!names) return Fail(names.error());
  wire::MetaReply reply;
  for (std::string& name : *names) reply.add_names(std::move(name));
  return reply;
}

}  // namespace ringfs::master
