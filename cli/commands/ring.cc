#include "common/ring/ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"

namespace ringfs::cli {
namespace {

// How many memberships of a pool a server has, and should have.
struct Load {
  double fair = 0;
  uint64_t wanted = 0;
  uint64_t members = 0;
  uint64_t serving = 0;
  uint64_t syncing = 0;
  uint64_t offline = 0;
  uint64_t heads = 0;
};

struct PoolLoad {
  wire::Pool pool;
  std::map<uint32_t, Load> servers;
  uint64_t to_move = 0;  // memberships that the ring wants and that are not there
  uint64_t behind = 0;   // memberships that are there and do not serve
  std::string note;      // why there are no shares
};

// As the master sees them: one that is being emptied is wanted for nothing, one that is down keeps
// its place.
std::vector<RingServer> RingServers(const wire::ClusterMap& map) {
  std::vector<RingServer> servers;
  for (const wire::Server& server : map.servers()) {
    if (server.state() == wire::SERVER_GONE) continue;
    RingServer one;
    one.id = ServerId{server.id()};
    one.identity = server.uuid();
    one.zone = server.zone();
    one.host = server.host();
    one.weight = server.state() == wire::SERVER_DRAINING ? 0 : server.weight();
    servers.push_back(std::move(one));
  }
  return servers;
}

void CountBucket(const wire::Bucket& bucket, PoolLoad* load) {
  bool head_seen = false;
  for (int i = 0; i < bucket.servers_size() && i < bucket.states_size(); ++i) {
    Load& server = load->servers[bucket.servers(i)];
    ++server.members;
    if (bucket.states(i) == wire::MEMBER_SERVING) {
      ++server.serving;
      if (!head_seen) ++server.heads;
      head_seen = true;
    } else {
      ++(bucket.states(i) == wire::MEMBER_SYNCING ? server.syncing : server.offline);
      ++load->behind;
    }
  }
}

Result<void> CountWanted(const wire::Pool& pool, const std::vector<RingServer>& servers,
                         const WantedTable& present, PoolLoad* load) {
  PoolShape shape;
  shape.pool = PoolId{pool.id()};
  shape.replicas = pool.replicas();
  shape.bucket_bits = pool.bucket_bits();
  const auto shares = ServerShares(shape, servers);
  if (!shares) return Fail(shares.error());
  for (const ServerShare& share : *shares) {
    load->servers[Raw(share.id)].fair = static_cast<double>(share.fair) / kShareUnit;
  }
  const auto wanted = PlaceBuckets(shape, servers, present);
  if (!wanted) return Fail(wanted.error());
  for (size_t i = 0; i < wanted->size(); ++i) {
    for (const ServerId id : (*wanted)[i]) {
      ++load->servers[Raw(id)].wanted;
      const bool there = i < present.size() &&
                         std::find(present[i].begin(), present[i].end(), id) != present[i].end();
      if (!there) ++load->to_move;
    }
  }
  return {};
}

Result<PoolLoad> LoadOf(const wire::ClusterMap& map, const wire::Pool& pool) {
  if (pool.bucket_bits() > kMaxBucketBits) {
    return Fail(Errc::kProtocol, fmt::format("pool {} has too many buckets", pool.id()));
  }
  PoolLoad load;
  load.pool = pool;
  for (const wire::Server& server : map.servers()) {
    if (server.state() != wire::SERVER_GONE) load.servers[server.id()];
  }
  WantedTable present(size_t{1} << pool.bucket_bits());
  bool placed = false;
  for (const wire::BucketTable& table : map.tables()) {
    if (table.pool() != pool.id()) continue;
    for (const wire::Bucket& bucket : table.buckets()) {
      if (bucket.id() >= present.size()) continue;
      CountBucket(bucket, &load);
      for (const uint32_t id : bucket.servers()) present[bucket.id()].push_back(ServerId{id});
      placed = placed || bucket.servers_size() > 0;
    }
  }
  if (!placed) present.clear();
  const Result<void> counted = CountWanted(pool, RingServers(map), present, &load);
  if (!counted) load.note = counted.error().ToString();
  return load;
}

std::string Describe(const PoolLoad& load, const wire::ClusterMap& map) {
  using Align = Table::Align;
  Table table({{"SERVER", Align::kRight},
               {"ADDRESS"},
               {"STATE"},
               {"WEIGHT", Align::kRight},
               {"FAIR", Align::kRight},
               {"WANTED", Align::kRight},
               {"MEMBER", Align::kRight},
               {"OF FAIR", Align::kRight},
               {"SERVING", Align::kRight},
               {"SYNCING", Align::kRight},
               {"OFFLINE", Align::kRight},
               {"HEAD", Align::kRight}});
  for (const wire::Server& server : map.servers()) {
    const auto found = load.servers.find(server.id());
    if (found == load.servers.end()) continue;
    const Load& one = found->second;
    table.Add({std::to_string(server.id()), Shown(server.address()), StateOf(server),
               std::to_string(server.weight()), fmt::format("{:.1f}", one.fair),
               std::to_string(one.wanted), std::to_string(one.members),
               one.fair > 0
                   ? fmt::format("{:.0f} %", 100 * static_cast<double>(one.members) / one.fair)
                   : "-",
               std::to_string(one.serving), std::to_string(one.syncing),
               std::to_string(one.offline), std::to_string(one.heads)});
  }
  std::string text =
      fmt::format("pool {}: {} buckets of {} replicas, epoch {}\n", load.pool.id(),
                  uint64_t{1} << load.pool.bucket_bits(), load.pool.replicas(), map.epoch());
  text += table.empty() ? "no chunkserver has registered yet\n" : table.ToString();
  if (!load.note.empty()) {
    text += "the ring cannot place this pool: " + load.note + "\n";
  } else if (load.to_move > 0) {
    text += fmt::format("{} still to be added to buckets before all is where the ring wants it\n",
                        Count(load.to_move, "member"));
  }
  if (load.behind > 0) {
    text += fmt::format("{} of buckets away or catching up\n", Count(load.behind, "member"));
  }
  if (load.note.empty() && load.to_move == 0 && load.behind == 0) {
    text += "everything is where the ring wants it\n";
  }
  return text;
}

Json LoadToJson(const PoolLoad& load, const wire::ClusterMap& map) {
  Json json = cli::ToJson(load.pool);
  json["to_move"] = load.to_move;
  json["behind"] = load.behind;
  Json& servers = json["servers"] = Json::array();
  for (const wire::Server& server : map.servers()) {
    const auto found = load.servers.find(server.id());
    if (found == load.servers.end()) continue;
    const Load& one = found->second;
    Json entry;
    entry["id"] = server.id();
    entry["address"] = server.address();
    entry["state"] = StateOf(server);
    entry["weight"] = server.weight();
    entry["fair"] = one.fair;
    entry["wanted"] = one.wanted;
    entry["members"] = one.members;
    entry["serving"] = one.serving;
    entry["syncing"] = one.syncing;
    entry["offline"] = one.offline;
    entry["heads"] = one.heads;
    servers.push_back(std::move(entry));
  }
  return json;
}

}  // namespace

Result<std::string> ShowRing(Master& master, Output output) {
  const auto map = master.Ask<wire::ClusterMap>(wire::MASTER_GET_MAP, wire::GetMapRequest());
  if (!map) return Fail(map.error());
  std::string text;
  Json json;
  json["epoch"] = map->epoch();
  json["pools"] = Json::array();
  for (const wire::Pool& pool : map->pools()) {
    const Result<PoolLoad> load = LoadOf(*map, pool);
    if (!load) return Fail(load.error());
    text += (text.empty() ? "" : "\n") + Describe(*load, *map);
    json["pools"].push_back(LoadToJson(*load, *map));
  }
  if (output == Output::kJson) return ToText(json);
  return text.empty() ? "there is no pool\n" : text;
}

}  // namespace ringfs::cli
