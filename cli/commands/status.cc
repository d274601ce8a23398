#include <fmt/format.h>

#include <algorithm>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"

namespace ringfs::cli {
namespace {

constexpr uint64_t kAlmostFullPermille = 950;

struct Space {
  uint64_t capacity = 0;
  uint64_t used = 0;
};

Space SpaceOf(const wire::StatusReply& status) {
  Space space;
  for (const wire::Server& server : status.servers()) {
    if (!IsUp(server)) continue;
    space.capacity += server.capacity_bytes();
    space.used += server.used_bytes();
  }
  return space;
}

// What a cluster with all its copies has to be watched for; empty: nothing.
std::string Warning(const wire::StatusReply& status) {
  uint64_t down = 0;
  uint64_t failed_stores = 0;
  for (const wire::Server& server : status.servers()) {
    if (server.state() == wire::SERVER_DOWN) ++down;
    failed_stores += server.failed_stores();
  }
  if (down > 0) return Count(down, "server") + " down";
  if (failed_stores > 0) return Count(failed_stores, "disk") + " failed";
  const Space space = SpaceOf(status);
  // In thousandths without an overflow.
  if (space.capacity >= 1000 && space.used / (space.capacity / 1000) >= kAlmostFullPermille) {
    return "the disks are almost full";
  }
  return "";
}

std::string ServersLine(const wire::StatusReply& status) {
  uint64_t up = 0;
  uint64_t down = 0;
  uint64_t draining = 0;
  for (const wire::Server& server : status.servers()) {
    if (IsUp(server)) ++up;
    if (server.state() == wire::SERVER_DOWN) ++down;
    if (server.state() == wire::SERVER_DRAINING) ++draining;
  }
  std::string line = fmt::format("{} up, {} down", up, down);
  if (draining > 0) line += fmt::format(", {} of those up being emptied", draining);
  return line;
}

std::string BucketsLine(const wire::StatusReply& status) {
  return fmt::format("{} healthy, {} degraded, {} lost", status.buckets_healthy(),
                     status.buckets_degraded(), status.buckets_lost());
}

// What is being copied, and how long that will take if it goes on as it has.
std::string CopiesLine(const wire::StatusReply& status) {
  if (status.copies_left() == 0 && status.buckets_copying() == 0) return "none to be made";
  std::string line =
      fmt::format("{} of buckets to be made, about {}; {} being copied", status.copies_left(),
                  Bytes(status.copies_left_bytes()), Count(status.buckets_copying(), "bucket"));
  if (status.copying_ms() > 0 && status.copies_done() > 0) {
    const uint64_t all = status.copies_done() + status.copies_left();
    const double rate =
        static_cast<double>(status.copies_done()) / static_cast<double>(status.copying_ms());
    const double left_ms = static_cast<double>(status.copies_left()) / rate;
    line += fmt::format("; {} done in {}, about {} to go", Percent(status.copies_done(), all),
                        Duration(status.copying_ms()), Duration(static_cast<int64_t>(left_ms)));
  }
  return line;
}

std::string RotLine(const wire::StatusReply& status) {
  uint64_t bad = 0;
  uint64_t repaired = 0;
  uint64_t reading = 0;
  for (const wire::Server& server : status.servers()) {
    bad += server.scrub().bad();
    repaired += server.scrub().repaired();
    reading += server.scrub().running() ? 1 : 0;
  }
  std::string line = fmt::format("{} found not whole, {} repaired", Count(bad, "block"), repaired);
  if (reading > 0) line += fmt::format("; {} verifying", Count(reading, "server"));
  return line;
}

std::string Describe(const wire::StatusReply& status) {
  const Health health = HealthOf(status);
  const Space space = SpaceOf(status);
  std::string pools;
  for (const wire::Pool& pool : status.pools()) {
    pools += fmt::format("{}{} replicas in {} buckets", pools.empty() ? "" : "; ", pool.replicas(),
                         uint64_t{1} << std::min(pool.bucket_bits(), 63u));
  }
  return Labelled({
      {"health", health.word + ": " + health.sentence},
      {"cluster", Hex(status.cluster_id())},
      {"epoch", std::to_string(status.epoch())},
      {"master", fmt::format("version {}, up {}, {} of memory", Shown(status.version()),
                             Duration(status.uptime_ms()), Bytes(status.memory_bytes()))},
      {"pools", pools.empty() ? "none" : pools},
      {"servers", ServersLine(status)},
      {"buckets", BucketsLine(status)},
      {"copies", CopiesLine(status)},
      {"files", fmt::format("{}, {} of content", Count(status.inodes(), "inode"),
                            Bytes(status.files_bytes()))},
      {"space", fmt::format("{} of {} used ({}), all copies counted", Bytes(space.used),
                            Bytes(space.capacity), Percent(space.used, space.capacity))},
      {"sessions", std::to_string(status.sessions())},
      {"locks", std::to_string(status.locks())},
      {"rot", RotLine(status)},
      {"garbage", Count(status.garbage_entries(), "file") + " to be removed from the disks"},
  });
}

}  // namespace

Health HealthOf(const wire::StatusReply& status) {
  const uint64_t buckets =
      status.buckets_healthy() + status.buckets_degraded() + status.buckets_lost();
  if (buckets == 0) {
    return {"starting", fmt::format("waits for more chunkservers ({} so far) before it stores data",
                                    status.servers_size())};
  }
  if (status.buckets_lost() > 0) {
    return {"unavailable",
            fmt::format("{} of {} buckets have no server that serves them; calls on files in them "
                        "wait, then fail",
                        status.buckets_lost(), buckets)};
  }
  if (status.buckets_degraded() > 0) {
    return {"degraded", fmt::format("everything works; {} of {} buckets have fewer copies than "
                                    "wanted",
                                    status.buckets_degraded(), buckets)};
  }
  const std::string warning = Warning(status);
  if (!warning.empty()) return {"warning", "all data has all its copies, but " + warning};
  return {"healthy", "all data has all its copies"};
}

Result<std::string> ShowStatus(Master& master, Output output) {
  const auto status = master.Ask<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  if (!status) return Fail(status.error());
  if (output == Output::kText) return Describe(*status);
  const Health health = HealthOf(*status);
  Json json = ToJson(*status);
  json["health"] = health.word;
  json["health_detail"] = health.sentence;
  return ToText(json);
}

}  // namespace ringfs::cli
