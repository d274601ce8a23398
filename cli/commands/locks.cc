#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"

namespace ringfs::cli {
namespace {

// l_len of 0: to the end of the file, wherever that is.
constexpr uint64_t kLastByte = (uint64_t{1} << 63) - 1;

std::string Range(const wire::LockInfo& lock) {
  if (lock.kind() == wire::LOCK_FLOCK) return "whole file";
  if (lock.last() >= kLastByte) return fmt::format("{}-end", lock.start());
  return fmt::format("{}-{}", lock.start(), lock.last());
}

std::string Describe(const wire::ListLocksReply& reply) {
  using Align = Table::Align;
  Table table({{"PATH"},
               {"INODE", Align::kRight},
               {"KIND"},
               {"TYPE"},
               {"RANGE"},
               {"STATE"},
               {"SESSION", Align::kRight},
               {"HOST"},
               {"PID", Align::kRight},
               {"MOUNTPOINT"},
               {"AGE", Align::kRight},
               {"EXPIRES IN", Align::kRight}});
  for (const wire::LockInfo& lock : reply.locks()) {
    table.Add({lock.path().empty() ? "(no name left)" : Shown(lock.path()),
               std::to_string(lock.inode()), lock.kind() == wire::LOCK_FLOCK ? "flock" : "fcntl",
               lock.type() == wire::LOCK_SHARED ? "shared" : "exclusive", Range(lock),
               lock.waiting() ? "waiting" : "held", std::to_string(lock.session()),
               Shown(lock.host()), std::to_string(lock.pid()), Shown(lock.mountpoint()),
               Duration(lock.age_ms()), Duration(lock.expires_in_ms())});
  }
  return table.empty() ? "no locks\n" : table.ToString();
}

// Leaves those of one inode. (ListLocksRequest.path cannot carry a name that is not UTF-8.)
Result<void> KeepThoseOf(Master& master, const std::string& path, wire::ListLocksReply* reply) {
  wire::WhereRequest where;
  where.set_path(path);
  const auto file = master.Ask<wire::WhereReply>(wire::MASTER_WHERE, where);
  if (!file) return Fail(file.code(), Shown(path) + ": " + file.error().detail);
  wire::ListLocksReply kept;
  for (wire::LockInfo& lock : *reply->mutable_locks()) {
    if (lock.inode() == file->attributes().inode()) *kept.add_locks() = std::move(lock);
  }
  *reply = std::move(kept);
  return {};
}

}  // namespace

Result<std::string> ShowLocks(Master& master, const std::string& path, Output output) {
  auto reply = master.Ask<wire::ListLocksReply>(wire::MASTER_LIST_LOCKS, wire::ListLocksRequest());
  if (!reply) return Fail(reply.error());
  if (!path.empty()) {
    const Result<void> kept = KeepThoseOf(master, path, &*reply);
    if (!kept) return Fail(kept.error());
  }
  return output == Output::kText ? Describe(*reply) : ToText(ToJson(*reply));
}

Result<std::string> BreakLocks(Master& master, uint64_t session, Output output) {
  wire::BreakLockRequest request;
  request.set_session(session);
  const auto reply = master.Ask<wire::BreakLockReply>(wire::MASTER_BREAK_LOCK, request);
  if (!reply) return Fail(reply.error());
  if (output == Output::kJson) return ToText(Json{{"ended", session}});
  return fmt::format("session {} is ended; its locks are freed when no write of it can arrive\n",
                     session);
}

}  // namespace ringfs::cli
