#include "fuse/mount.h"

#include "common/async.h"
#include "common/clock.h"
#include "common/log.h"
#include "fuse/session.h"
#include "fuse/wire_init.h"

namespace ringfs::fuse {
namespace {

constexpr int64_t kDayNs = 24 * 3600 * kNsPerSecond;

asio::awaitable<void> SetAtime(client::Filesystem& filesystem, InodeId inode) {
  client::AttributeChange change;
  change.atime_now = true;
  change.was_read = true;
  auto result = co_await filesystem.SetAttributes(inode, change, client::Caller());
  // An access time that could not be set harms nobody; the next read tries again.
  if (!result) spdlog::debug("atime of inode {}: {}", Raw(inode), result.error().ToString());
}

}  // namespace

Buffer Mount::KeepRequest(const char* bytes, size_t size) {
  const Buffer& request = session->current_request();
  const auto* start = reinterpret_cast<const char*>(request.data());
  request_kept_ = true;
  return request.Slice(static_cast<size_t>(bytes - start), size);
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
  Spawn(executor, SetAtime(filesystem, static_cast<InodeId>(attributes.inode())), "atime");
}

}  // namespace ringfs::fuse
