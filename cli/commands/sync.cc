#include <fmt/format.h>

#include <set>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "proto/chunk.pb.h"

namespace ringfs::cli {
namespace {

constexpr int64_t kFlushMs = 120'000;

Result<wire::ClusterMap> GetMap(Master& master) {
  return master.Ask<wire::ClusterMap>(wire::MASTER_GET_MAP, wire::GetMapRequest());
}

std::set<uint32_t> ServingServers(const wire::ClusterMap& map) {
  std::set<uint32_t> serving;
  for (const wire::BucketTable& table : map.tables()) {
    for (const wire::Bucket& bucket : table.buckets()) {
      for (int i = 0; i < bucket.servers_size() && i < bucket.states_size(); ++i) {
        if (bucket.states(i) == wire::MEMBER_SERVING) serving.insert(bucket.servers(i));
      }
    }
  }
  return serving;
}

std::vector<Result<void>> Flush(const std::vector<wire::Server>& servers) {
  // A server that is not there shows at the first step; the second may take its time.
  std::vector<Step> steps(2);
  steps[0].method = wire::CHUNK_STATUS;
  steps[1].method = wire::CHUNK_SYNC_ALL;
  steps[1].timeout_ms = kFlushMs;
  std::vector<std::string> addresses;
  for (const wire::Server& server : servers) addresses.push_back(server.address());
  return CallEach(addresses, steps);
}

// Of one that has failed; the others have all that it had.
struct LeftOut {
  wire::Server server;
  std::string why;
};

std::string Story(const LeftOut& left_out) {
  return fmt::format("chunkserver {} at {}: {}", left_out.server.id(),
                     Shown(left_out.server.address()), left_out.why);
}

std::string Describe(uint64_t flushed, const std::vector<LeftOut>& left_out) {
  std::string text;
  for (const LeftOut& one : left_out) {
    text += "left out, since it serves nothing now: " + Story(one) + "\n";
  }
  return text + "everything is on the disks of " + Count(flushed, "chunkserver") + "\n";
}

std::string DescribeAsJson(uint64_t flushed, const std::vector<LeftOut>& left_out) {
  Json json{{"flushed", flushed}, {"left_out", Json::array()}};
  for (const LeftOut& one : left_out) {
    json["left_out"].push_back(
        {{"server", one.server.id()}, {"address", one.server.address()}, {"error", one.why}});
  }
  return ToText(json);
}

}  // namespace

Result<std::string> SyncAll(Master& master, Output output) {
  const auto map = GetMap(master);
  if (!map) return Fail(map.error());
  std::vector<wire::Server> servers;
  for (const wire::Server& server : map->servers()) {
    if (server.state() != wire::SERVER_GONE) servers.push_back(server);
  }
  const std::vector<Result<void>> flushed = Flush(servers);
  // Who has failed meanwhile serves nothing any more, and others have all that it had.
  const auto now = GetMap(master);
  if (!now) return Fail(now.error());
  const std::set<uint32_t> serving = ServingServers(*now);
  std::vector<LeftOut> left_out;
  uint64_t good = 0;
  for (size_t i = 0; i < servers.size(); ++i) {
    if (flushed[i]) {
      ++good;
      continue;
    }
    left_out.push_back({servers[i], flushed[i].error().ToString()});
    if (serving.contains(servers[i].id())) {
      return Fail(flushed[i].code(), "not everything is flushed: " + Story(left_out.back()));
    }
  }
  return output == Output::kJson ? DescribeAsJson(good, left_out) : Describe(good, left_out);
}

}  // namespace ringfs::cli
