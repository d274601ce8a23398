#include <sys/stat.h>

#include "master/state/limits.h"
#include "master/state/ops/ops.h"

namespace ringfs::master {
namespace {

// Owner and mode of a new inode, but for ACLs.
void SetOwner(Change& change, const wire::InodeRecord& parent, wire::InodeRecord& record) {
  wire::Attributes& attributes = *record.mutable_attributes();
  attributes.set_uid(change.who.uid());
  attributes.set_gid(change.who.gid());
  if ((parent.attributes().mode() & S_ISGID) != 0) {
    attributes.set_gid(parent.attributes().gid());
    if (IsDirectory(attributes.mode())) attributes.set_mode(attributes.mode() | S_ISGID);
  }
}

// The policy of the parent, which a directory inherits as well.
void SetPolicy(const wire::InodeRecord& parent, wire::InodeRecord& record) {
  const wire::Attributes& policy = parent.attributes();
  wire::Attributes& attributes = *record.mutable_attributes();
  if (!IsRegular(attributes.mode()) && !IsDirectory(attributes.mode())) return;
  if (policy.pool() != 0) attributes.set_pool(policy.pool());
  if (policy.block_size() != 0) attributes.set_block_size(policy.block_size());
}

// A default ACL of the parent takes the place of the umask; a directory inherits it as well.
Result<void> InheritAcl(Change& change, const wire::InodeRecord& parent,
                        wire::InodeRecord& record) {
  wire::Attributes& attributes = *record.mutable_attributes();
  if ((attributes.mode() & S_IFMT) == S_IFLNK) return {};
  Result<std::optional<Acl>> inherited = GetAcl(change.tree, parent, kDefaultAcl);
  if (!inherited) return Fail(inherited.error());
  if (!*inherited) {
    attributes.set_mode(attributes.mode() & ~(change.who.umask() & 0777));
    return {};
  }
  if (IsDirectory(attributes.mode())) {
    change.tree.SetXattr(record, kDefaultAcl, (*inherited)->Serialize(), {});
  }
  attributes.set_mode((*inherited)->Inherit(attributes.mode()));
  return StoreAccessAcl(change.tree, record, **inherited);
}

// The type is one that an inode can have; a bare number of permissions means a regular file.
Result<uint32_t> CheckedMode(uint32_t mode) {
  uint32_t type = (mode & S_IFMT) == 0 ? uint32_t{S_IFREG} : mode & S_IFMT;
  switch (type) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      return type | (mode & 07777);
    default:
      return Fail(Errc::kInvalid, "an inode of an unknown type");
  }
}

// A file that is there already, for a caller that did not know: the kernel has not checked whether
// it may open it.
Result<wire::MetaReply> OpenExisting(Change& change, const wire::Create& ask, uint64_t inode) {
  if (ask.exclusive()) return Fail(Errc::kExists, "the name exists");
  Result<wire::InodeRecord> record = change.tree.Get(inode);
  if (!record) return Fail(record.error());
  if (IsDirectory(record->attributes().mode())) {
    return Fail(Errc::kIsDirectory, "the name is a directory");
  }
  Result<std::optional<Acl>> acl = GetAcl(change.tree, *record, kAccessAcl);
  if (!acl) return Fail(acl.error());
  uint32_t want = ask.writing() || ask.truncate() ? 6 : 4;
  if (!IsRegular(record->attributes().mode()) ||
      !Allows(record->attributes(), *acl, change.who, want)) {
    return Fail(Errc::kStale, "the name has come to exist: look it up and open what it is");
  }
  if (ask.truncate()) {
    Result<void> resized = Resize(change, *record, 0);
    if (!resized) return Fail(resized.error());
    if (ask.kill_set_ids()) KillSetIds(*record);
    change.tree.Put(*record);
  }
  return ReplyWith(*record);
}

}  // namespace

Result<wire::InodeRecord> AddNode(Change& change, wire::InodeRecord& parent, std::string_view name,
                                  const NewNode& node) {
  uint32_t parent_links = parent.attributes().links();
  bool directory = IsDirectory(node.mode);
  if (directory && parent_links >= kMaxDirectoryLinks) {
    return Fail(Errc::kTooManyLinks, "the directory has too many subdirectories");
  }
  wire::InodeRecord record = change.tree.New(node.mode, change.now_ns);
  SetOwner(change, parent, record);
  SetPolicy(parent, record);
  Result<void> inherited = InheritAcl(change, parent, record);
  if (!inherited) return Fail(inherited.error());
  wire::Attributes& attributes = *record.mutable_attributes();
  attributes.set_device(node.device);
  if (!node.target.empty()) {
    record.set_target(node.target.data(), node.target.size());
    attributes.set_size(node.target.size());
  }
  record.set_parent(parent.attributes().inode());
  record.set_name(name.data(), name.size());
  change.tree.Put(record);
  if (directory) parent.mutable_attributes()->set_links(parent_links + 1);
  change.tree.Insert(parent, name, attributes.inode(), attributes.mode());
  Touch(parent, change.now_ns);
  change.tree.Put(parent);
  return record;
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::Create& ask) {
  Result<void> named = CheckName(ask.name());
  if (!named) return Fail(named.error());
  if (IsDots(ask.name())) return Fail(Errc::kIsDirectory, "a name of dots");
  if ((ask.mode() & S_IFMT) != 0 && !IsRegular(ask.mode())) {
    return Fail(Errc::kInvalid, "only a regular file is created and opened at once");
  }
  Result<wire::InodeRecord> parent = change.tree.GetLiveDirectory(ask.parent());
  if (!parent) return Fail(parent.error());
  Result<std::optional<wire::EntryRecord>> entry = change.tree.Find(ask.parent(), ask.name());
  if (!entry) return Fail(entry.error());
  if (*entry) return OpenExisting(change, ask, (*entry)->inode());

  NewNode node;
  node.mode = S_IFREG | (ask.mode() & 07777);
  Result<wire::InodeRecord> record = AddNode(change, *parent, ask.name(), node);
  if (!record) return Fail(record.error());
  wire::MetaReply reply = ReplyWith(*record);
  reply.set_created(true);
  return reply;
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::MakeNode& ask) {
  Result<void> named = CheckName(ask.name());
  if (!named) return Fail(named.error());
  if (IsDots(ask.name())) return Fail(Errc::kExists, "a name of dots");
  Result<uint32_t> mode = CheckedMode(ask.mode());
  if (!mode) return Fail(mode.error());
  Result<wire::InodeRecord> parent = change.tree.GetLiveDirectory(ask.parent());
  if (!parent) return Fail(parent.error());
  Result<std::optional<wire::EntryRecord>> entry = change.tree.Find(ask.parent(), ask.name());
  if (!entry) return Fail(entry.error());
  if (*entry) return Fail(Errc::kExists, "the name exists");

  NewNode node;
  node.mode = *mode;
  uint32_t type = *mode & S_IFMT;
  if (type == S_IFCHR || type == S_IFBLK) node.device = ask.device();
  if (type == S_IFLNK) {
    node.target = ask.target();
    if (node.target.empty()) return Fail(Errc::kNotFound, "an empty target");
    if (node.target.size() > kMaxTargetBytes) return Fail(Errc::kNameTooLong, "a long target");
    if (node.target.find('\0') != node.target.npos) return Fail(Errc::kInvalid, "a zero byte");
    node.mode = S_IFLNK | 0777;
  }
  Result<wire::InodeRecord> record = AddNode(change, *parent, ask.name(), node);
  if (!record) return Fail(record.error());
  wire::MetaReply reply = ReplyWith(*record);
  reply.set_created(true);
  return reply;
}

}  // namespace ringfs::master
