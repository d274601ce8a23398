#include "tests/ring/clusters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace ringfs {

RingServer PlainServer(uint32_t id) {
  return {.id = ServerId{id}, .identity = "server-" + std::to_string(id), .zone = "", .host = ""};
}

std::vector<RingServer> PlainServers(uint32_t count) {
  std::vector<RingServer> servers;
  for (uint32_t id = 1; id <= count; ++id) servers.push_back(PlainServer(id));
  return servers;
}

std::vector<RingServer> RandomServers(uint32_t count, uint32_t zones, std::mt19937_64& random) {
  std::vector<RingServer> servers;
  for (uint32_t id = 1; id <= count; ++id) {
    RingServer server = PlainServer(id);
    server.weight = static_cast<uint32_t>(30 + random() % 271);
    uint32_t zone = static_cast<uint32_t>(random() % zones);
    if (random() % 2 == 0) zone /= 2;
    server.zone = "zone-" + std::to_string(zone);
    if (random() % 3 > 0) server.host = "host-" + std::to_string(random() % (count / 3 + 1));
    servers.push_back(server);
  }
  return servers;
}

WantedTable Place(const PoolShape& shape, const std::vector<RingServer>& servers,
                  const WantedTable& previous) {
  Result<WantedTable> table = PlaceBuckets(shape, servers, previous);
  EXPECT_TRUE(table) << table.error().ToString();
  return table ? *table : WantedTable{};
}

std::map<ServerId, uint32_t> Loads(const WantedTable& table) {
  std::map<ServerId, uint32_t> loads;
  for (const std::vector<ServerId>& members : table) {
    for (ServerId member : members) ++loads[member];
  }
  return loads;
}

double MovedOverNeeded(const WantedTable& before, const WantedTable& after, ServerId changed) {
  auto holds = [](const std::vector<ServerId>& members, ServerId server) {
    return std::find(members.begin(), members.end(), server) != members.end();
  };
  uint32_t needed = 0;
  uint32_t moved = 0;
  for (size_t bucket = 0; bucket < before.size(); ++bucket) {
    if (holds(before[bucket], changed) != holds(after[bucket], changed)) ++needed;
    for (ServerId member : after[bucket]) {
      if (!holds(before[bucket], member)) ++moved;
    }
  }
  return needed == 0 ? static_cast<double>(moved) : static_cast<double>(moved) / needed;
}

}  // namespace ringfs
