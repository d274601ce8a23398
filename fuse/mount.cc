#include "fuse/mount.h"

#include "fuse/lowlevel.h"
//
#include <linux/fuse.h>

#include <cerrno>
#include <cstring>

#include "common/async.h"
#include "common/clock.h"
#include "common/log.h"
#include "fuse/convert.h"
#include "fuse/session.h"
#include "fuse/wire_init.h"

namespace ringfs::fuse {
namespace {

constexpr int64_t kDayNs = 24 * 3600 * kNsPerSecond;

asio::awaitable<void> SetAtime(Mount* mount, InodeId inode) {
  client::AttributeChange change;
  change.atime_now = true;
  change.was_read = true;
  auto result = co_await mount->filesystem.SetAttributes(inode, change, client::Caller());
  // An access time that could not be set harms nobody; the next read tries again.
  if (!result) spdlog::debug("atime of inode {}: {}", Raw(inode), result.error().ToString());
  // The kernel does not know that it has changed.
  if (mount->caching) co_await mount->kernel.Forget(inode, false);
}

double Seconds(int64_t ns) { return static_cast<double>(ns) / static_cast<double>(kNsPerSecond); }

}  // namespace

Mount::Mount(asio::any_io_executor runs_on, client::Filesystem& mounted)
    : executor(runs_on), filesystem(mounted), kernel(std::move(runs_on)) {}

fuse_entry_param Mount::EntryFor(const wire::Attributes& attributes, InodeId parent,
                                 const std::string& name) {
  const InodeId inode{attributes.inode()};
  const wire::Attributes* kept = filesystem.Kept(inode);
  fuse_entry_param entry = ToEntry(kept != nullptr ? *kept : attributes);
  if (kept != nullptr) entry.attr_timeout = Seconds(filesystem.KeepNs());
  if (!name.empty() && kernel.may_keep_names() && filesystem.KeptName(parent, name) == inode) {
    entry.entry_timeout = Seconds(filesystem.KeepNs());
    kernel.NameKept(parent);
  }
  return entry;
}

void Mount::AnswerAttributes(Reply& reply, const wire::Attributes& attributes) {
  const wire::Attributes* kept = filesystem.Kept(InodeId{attributes.inode()});
  const struct stat stat = ToStat(kept != nullptr ? *kept : attributes);
  reply.Attributes(stat, kept != nullptr ? Seconds(filesystem.KeepNs()) : 0);
}

void Mount::AnswerEntry(Reply& reply, const wire::Attributes& attributes, InodeId parent,
                        const std::string& name) {
  const fuse_entry_param entry = EntryFor(attributes, parent, name);
  kernel.Named(entry.ino);
  if (!reply.Entry(entry)) kernel.Forgot(entry.ino, 1);
}

bool Mount::AnswerCreated(Reply& reply, const wire::Attributes& attributes,
                          const fuse_file_info& file, InodeId parent, const std::string& name) {
  const fuse_entry_param entry = EntryFor(attributes, parent, name);
  kernel.Named(entry.ino);
  if (reply.Created(entry, file)) return true;
  kernel.Forgot(entry.ino, 1);
  return false;
}

void Mount::AnswerAbsent(Reply& reply, InodeId parent, const std::string& name) {
  if (!kernel.may_keep_names() || filesystem.KeptName(parent, name) != InodeId{0}) {
    return reply.Errno(ENOENT);
  }
  fuse_entry_param entry{};
  entry.entry_timeout = Seconds(filesystem.KeepNs());
  kernel.NameKept(parent);
  reply.Entry(entry);
}

void Mount::NameMoved(InodeId parent, const std::string& name) {
  const std::optional<InodeId> kept = filesystem.KeptName(parent, name);
  if (kept && Raw(*kept) != 0) {
    kernel.NameKept(parent);
  } else {
    kernel.ForgetNames();
  }
}

void Mount::DropPages(client::HandleId handle, InodeId inode) {
  if (filesystem.PagesMayStay(handle)) return;
  Spawn(executor, filesystem.DropPages(inode), "pages without a lease");
}

Buffer Mount::KeepRequest(const char* bytes, size_t size) {
  const Buffer& request = session->current_request();
  const auto* start = reinterpret_cast<const char*>(request.data());
  request_kept_ = true;
  return request.Slice(static_cast<size_t>(bytes - start), size);
}

RequestSubject Mount::Subject() const {
  fuse_in_header header;
  const Buffer& request = session->current_request();
  if (request.size() < sizeof(header)) return {};
  std::memcpy(&header, request.data(), sizeof(header));
  return RequestSubject{header.nodeid, header.opcode, request.size()};
}

bool Mount::OrdersKillSetIds() const {
  return fuse::OrdersKillSetIds(session->current_request().bytes());
}

void Mount::Touch(const wire::Attributes& attributes) {
  if (read_only || atime == Atime::kNoatime) return;
  if (atime == Atime::kRelatime) {
    // As the kernel's relatime_need_update(): when it is not younger than a change, or a day old.
    const int64_t now = SystemClock().WallNs();
    const bool younger = attributes.atime_ns() > attributes.mtime_ns() &&
                         attributes.atime_ns() > attributes.ctime_ns();
    if (younger && now - attributes.atime_ns() < kDayNs) return;
  }
  Spawn(executor, SetAtime(this, static_cast<InodeId>(attributes.inode())), "atime");
}

}  // namespace ringfs::fuse
