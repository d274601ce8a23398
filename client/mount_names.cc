#include <sys/stat.h>

#include <utility>

#include "client/mount.h"
#include "client/report.h"

// The calls on names and attributes: each is one request to the master, unless a lease tells the answer.
namespace ringfs::client {
namespace {

wire::MetaRequest RequestOf(const Caller& caller) {
  wire::MetaRequest request;
  request.mutable_who()->set_uid(caller.uid);
  request.mutable_who()->set_gid(caller.gid);
  request.mutable_who()->set_umask(caller.umask);
  return request;
}

void Fill(InodeId inode, const AttributeChange& change, wire::SetAttributes& set) {
  set.set_inode(Raw(inode));
  if (change.mode) set.set_mode(*change.mode);
  if (change.uid) set.set_uid(*change.uid);
  if (change.gid) set.set_gid(*change.gid);
  if (change.size) set.set_size(*change.size);
  if (change.atime_ns) set.set_atime_ns(*change.atime_ns);
  if (change.mtime_ns) set.set_mtime_ns(*change.mtime_ns);
  set.set_atime_now(change.atime_now);
  set.set_was_read(change.was_read);
  set.set_mtime_now(change.mtime_now);
  set.set_kill_set_ids(change.kill_set_ids);
}

}  // namespace

asio::awaitable<Result<wire::Attributes>> Mount::Lookup(InodeId parent, std::string name,
                                                        Caller caller) {
  if (const std::optional<InodeId> known = KeptName(parent, name)) {
    if (Raw(*known) == 0) co_return Fail(Errc::kNotFound);
    if (const wire::Attributes* kept = Kept(*known)) co_return *kept;
  }
  wire::MetaRequest request = RequestOf(caller);
  request.mutable_lookup()->set_parent(Raw(parent));
  request.mutable_lookup()->set_name(std::move(name));
  auto reply = co_await Ask(parent, std::move(request));
  if (!reply) co_return Fail(reply.error());
  if (reply->absent()) co_return Fail(Errc::kNotFound);
  co_return std::move(*reply->mutable_attributes());
}

asio::awaitable<Result<wire::Attributes>> Mount::GetAttributes(InodeId inode) {
  if (const wire::Attributes* kept = Kept(inode)) co_return *kept;
  wire::MetaRequest request;
  request.mutable_get_attributes()->set_inode(Raw(inode));
  auto attributes = co_await AskAttributes(inode, std::move(request));
  const wire::Attributes* removed = removed_.Find(inode);
  if (attributes.code() == Errc::kStale && removed != nullptr) co_return *removed;
  co_return attributes;
}

asio::awaitable<Result<wire::Attributes>> Mount::SetAttributes(InodeId inode,
                                                               AttributeChange change,
                                                               Caller caller) {
  wire::MetaRequest request = RequestOf(caller);
  Fill(inode, change, *request.mutable_set_attributes());
  const Deadline deadline = NewDeadline();
  if (!change.size) {
    if (leases_.HoldsWrite(inode)) {
      const std::shared_ptr<Inode> file = files_.Get(inode);
      if (const auto held = write_back_.HoldAttributes(file, change)) co_return *held;
      files_.Forget(file);
    }
    // Whoever asks for the attributes from here on asks behind this.
    cache_.DropAttributes(inode);
    auto turn = co_await write_back_.BeginSetAttributes(inode, deadline);
    if (!turn) co_return Fail(turn.error());
    co_return co_await AskAttributes(inode, std::move(request));
  }
  auto passage = co_await Pass(files_.Get(inode), deadline);
  if (!passage) co_return Fail(passage.error());
  auto resized = co_await io_.Resize(std::move(request), deadline);
  co_return Reported("truncate", inode, std::move(resized));
}

asio::awaitable<Result<wire::Attributes>> Mount::MakeNode(InodeId parent, std::string name,
                                                          uint32_t mode, uint32_t device,
                                                          Caller caller) {
  wire::MetaRequest request = RequestOf(caller);
  wire::MakeNode& make = *request.mutable_make_node();
  make.set_parent(Raw(parent));
  make.set_name(std::move(name));
  make.set_mode(mode);
  make.set_device(device);
  return AskAttributes(parent, std::move(request));
}

asio::awaitable<Result<wire::Attributes>> Mount::Symlink(InodeId parent, std::string name,
                                                         std::string target, Caller caller) {
  wire::MetaRequest request = RequestOf(caller);
  wire::MakeNode& make = *request.mutable_make_node();
  make.set_parent(Raw(parent));
  make.set_name(std::move(name));
  make.set_mode(S_IFLNK | 0777);
  make.set_target(std::move(target));
  return AskAttributes(parent, std::move(request));
}

asio::awaitable<Result<std::string>> Mount::ReadLink(InodeId inode) {
  wire::MetaRequest request;
  request.mutable_read_link()->set_inode(Raw(inode));
  auto reply = co_await Ask(inode, std::move(request));
  if (!reply) co_return Fail(reply.error());
  co_return std::move(*reply->mutable_value());
}

asio::awaitable<Result<wire::Attributes>> Mount::Link(InodeId inode, InodeId parent,
                                                      std::string name, Caller caller) {
  wire::MetaRequest request = RequestOf(caller);
  request.mutable_link()->set_inode(Raw(inode));
  request.mutable_link()->set_parent(Raw(parent));
  request.mutable_link()->set_name(std::move(name));
  return AskAttributes(inode, std::move(request));
}

asio::awaitable<Result<void>> Mount::Remove(InodeId parent, wire::MetaRequest request) {
  auto reply = co_await Ask(parent, std::move(request));
  if (!reply) co_return Fail(reply.error());
  if (reply->has_attributes()) Removed(reply->attributes());
  co_return Result<void>();
}

// It has lost its last name.
void Mount::Removed(const wire::Attributes& attributes) {
  removed_.Remember(attributes);
  const InodeId inode{attributes.inode()};
  const std::shared_ptr<Inode> file = files_.Find(inode);
  if (file && (file->readers > 0 || file->writers > 0)) return;
  recent_.Drop(inode);
  leases_.GiveBack(LocksOf(inode));
  // Nobody can read any more what was held back.
  if (file && !write_back_.Discard(inode)) return;
  leases_.GiveBackRemoved(inode);
}

asio::awaitable<Result<void>> Mount::Unlink(InodeId parent, std::string name, Caller caller) {
  wire::MetaRequest request = RequestOf(caller);
  request.mutable_unlink()->set_parent(Raw(parent));
  request.mutable_unlink()->set_name(std::move(name));
  return Remove(parent, std::move(request));
}

asio::awaitable<Result<void>> Mount::RemoveDirectory(InodeId parent, std::string name,
                                                     Caller caller) {
  wire::MetaRequest request = RequestOf(caller);
  request.mutable_remove_directory()->set_parent(Raw(parent));
  request.mutable_remove_directory()->set_name(std::move(name));
  return Remove(parent, std::move(request));
}

asio::awaitable<Result<void>> Mount::Rename(InodeId parent, std::string name, InodeId new_parent,
                                            std::string new_name, uint32_t flags, Caller caller) {
  // What takes the place of a file must not be less whole than it was, whoever dies.
  const std::optional<InodeId> known = KeptName(parent, name);
  if (known && KeptName(new_parent, new_name) != InodeId{0}) {
    // An error is the file's, and is told to whoever has written to it.
    (void)co_await write_back_.Flush(*known, NewDeadline());
  }
  wire::MetaRequest request = RequestOf(caller);
  wire::Rename& rename = *request.mutable_rename();
  rename.set_parent(Raw(parent));
  rename.set_name(std::move(name));
  rename.set_new_parent(Raw(new_parent));
  rename.set_new_name(std::move(new_name));
  rename.set_flags(flags);
  co_return co_await Remove(parent, std::move(request));
}

asio::awaitable<Result<wire::MetaReply>> Mount::ReadDirectory(InodeId inode, uint64_t cookie,
                                                              uint32_t max_entries,
                                                              bool attributes) {
  if (KeepNs() > 0 && cache_.EndsAt(inode, cookie)) {
    wire::MetaReply end;
    end.set_end(true);
    co_return end;
  }
  wire::MetaRequest request;
  wire::ReadDirectory& read = *request.mutable_read_directory();
  read.set_inode(Raw(inode));
  read.set_cookie(cookie);
  read.set_max_entries(max_entries);
  read.set_attributes(attributes);
  co_return co_await Ask(inode, std::move(request));
}

asio::awaitable<Result<void>> Mount::SetXattr(InodeId inode, std::string name, std::string value,
                                              uint32_t flags, bool kill_set_gid, Caller caller) {
  auto flushed = co_await write_back_.Flush(inode, NewDeadline());
  if (!flushed) co_return Fail(flushed.error());
  wire::MetaRequest request = RequestOf(caller);
  wire::SetXattr& set = *request.mutable_set_xattr();
  set.set_inode(Raw(inode));
  set.set_name(std::move(name));
  set.set_value(std::move(value));
  set.set_flags(flags);
  set.set_kill_set_gid(kill_set_gid);
  co_return co_await Tell(inode, std::move(request));
}

asio::awaitable<Result<std::string>> Mount::GetXattr(InodeId inode, std::string name) {
  const wire::Attributes* kept = Kept(inode);
  const bool no_acl = kept != nullptr && !kept->has_acl() && name == "system.posix_acl_access";
  if (no_acl || (kept != nullptr && kept->plain())) co_return Fail(Errc::kNoAttribute);
  wire::MetaRequest request;
  request.mutable_get_xattr()->set_inode(Raw(inode));
  request.mutable_get_xattr()->set_name(std::move(name));
  auto reply = co_await Ask(inode, std::move(request));
  if (!reply) co_return Fail(reply.error());
  co_return std::move(*reply->mutable_value());
}

asio::awaitable<Result<std::vector<std::string>>> Mount::ListXattrs(InodeId inode) {
  const wire::Attributes* kept = Kept(inode);
  if (kept != nullptr && kept->plain()) co_return std::vector<std::string>();
  wire::MetaRequest request;
  request.mutable_list_xattrs()->set_inode(Raw(inode));
  auto reply = co_await Ask(inode, std::move(request));
  if (!reply) co_return Fail(reply.error());
  std::vector<std::string> names(reply->names().begin(), reply->names().end());
  co_return names;
}

asio::awaitable<Result<void>> Mount::RemoveXattr(InodeId inode, std::string name, Caller caller) {
  auto flushed = co_await write_back_.Flush(inode, NewDeadline());
  if (!flushed) co_return Fail(flushed.error());
  wire::MetaRequest request = RequestOf(caller);
  request.mutable_remove_xattr()->set_inode(Raw(inode));
  request.mutable_remove_xattr()->set_name(std::move(name));
  co_return co_await Tell(inode, std::move(request));
}

asio::awaitable<Result<wire::StatFsReply>> Mount::StatFs(InodeId inode) {
  wire::MetaRequest request;
  request.mutable_stat_fs()->set_inode(Raw(inode));
  auto reply = co_await Ask(inode, std::move(request));
  if (!reply) co_return Fail(reply.error());
  co_return reply->stat_fs();
}

asio::awaitable<Result<Opened>> Mount::Create(InodeId parent, std::string name, uint32_t mode,
                                              bool exclusive, OpenMode open, Caller caller) {
  wire::MetaRequest request = RequestOf(caller);
  wire::Create& create = *request.mutable_create();
  create.set_parent(Raw(parent));
  create.set_name(std::move(name));
  create.set_mode(mode);
  create.set_exclusive(exclusive);
  create.set_truncate(open.truncate);
  create.set_writing(open.write);
  create.set_kill_set_ids(open.kill_set_ids);
  create.set_untold(options_.caching);
  auto reply = co_await Ask(parent, std::move(request));
  if (!reply) co_return Fail(reply.error());
  const InodeId inode{reply->attributes().inode()};
  if (!reply->untold() || leases_.HoldsWrite(inode)) {
    co_return AddOpen(reply->attributes(), open, reply->untold());
  }
  // The lease was recalled before this handle could be told with the answer to that.
  open.truncate = false;
  co_return co_await Open(inode, open, caller);
}

asio::awaitable<Result<Opened>> Mount::Open(InodeId inode, OpenMode open, Caller caller) {
  const wire::Attributes* kept = Kept(inode);
  if (kept != nullptr && !open.truncate && (!open.write || leases_.HoldsWrite(inode))) {
    co_return AddOpen(*kept, open, true);
  }
  std::optional<WriteBack::Passage> passage;
  if (open.truncate) {
    auto passed = co_await Pass(files_.Get(inode), NewDeadline());
    if (!passed) co_return Fail(passed.error());
    passage.emplace(*std::move(passed));
  }
  wire::MetaRequest request = RequestOf(caller);
  request.mutable_open()->set_inode(Raw(inode));
  request.mutable_open()->set_writing(open.write);
  request.mutable_open()->set_truncate(open.truncate);
  request.mutable_open()->set_kill_set_ids(open.kill_set_ids);
  auto reply = co_await Ask(inode, std::move(request));
  if (!reply) co_return Fail(reply.error());
  co_return AddOpen(reply->attributes(), open);
}

Opened Mount::AddOpen(const wire::Attributes& attributes, const OpenMode& mode, bool untold) {
  std::shared_ptr<Inode> inode = files_.Get(InodeId{attributes.inode()});
  inode->known = attributes;
  Opened opened;
  opened.attributes = attributes;
  const std::shared_ptr<Handle> handle = files_.Add(std::move(inode), mode, untold);
  opened.handle = handle->id;
  if (mode.write) leases_.GiveBackRead(InodeId{attributes.inode()});
  // Its pages could not stay: better none come to be.
  opened.uncached = handle->uncached =
      options_.caching && Kept(InodeId{attributes.inode()}) == nullptr;
  return opened;
}

}  // namespace ringfs::client
