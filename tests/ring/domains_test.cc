#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "common/ring/ring.h"
#include "tests/ring/clusters.h"

namespace ringfs {
namespace {

// The failure domains of a cluster, told apart by name.
struct Domains {
  std::map<ServerId, std::string> zone;
  std::map<ServerId, std::string> host;

  explicit Domains(const std::vector<RingServer>& servers) {
    for (const RingServer& server : servers) {
      zone[server.id] = server.zone;
      host[server.id] =
          server.zone + "/" + (server.host.empty() ? "alone-" + server.identity : server.host);
    }
  }
};

size_t CountDistinct(const std::map<ServerId, std::string>& names) {
  std::set<std::string> distinct;
  for (const auto& [server, name] : names) distinct.insert(name);
  return distinct.size();
}

size_t CountDistinct(const std::vector<ServerId>& members,
                     const std::map<ServerId, std::string>& names) {
  std::set<std::string> distinct;
  for (ServerId member : members) distinct.insert(names.at(member));
  return distinct.size();
}

// As many zones as can be where there are enough of them, and so with hosts.
void ExpectDistinct(const PoolShape& shape, const std::vector<RingServer>& servers,
                    const WantedTable& table) {
  const Domains domains(servers);
  const size_t width = std::min<size_t>(shape.replicas, servers.size());
  const size_t zones = std::min(width, CountDistinct(domains.zone));
  const size_t hosts = std::min(width, CountDistinct(domains.host));
  for (const std::vector<ServerId>& members : table) {
    ASSERT_EQ(std::set<ServerId>(members.begin(), members.end()).size(), width);
    ASSERT_EQ(CountDistinct(members, domains.host), hosts);
    if (zones == width) {
      ASSERT_EQ(CountDistinct(members, domains.zone), zones);
    }
  }
}

TEST(Domains, AreDistinctInRandomClustersAndAfterChanges) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const PoolShape shape{.replicas = static_cast<uint32_t>(1 + random() % 4), .bucket_bits = 8};
    std::vector<RingServer> servers = RandomServers(
        static_cast<uint32_t>(1 + random() % 40), static_cast<uint32_t>(1 + random() % 8), random);
    WantedTable table = Place(shape, servers);
    ExpectDistinct(shape, servers, table);
    for (int change = 0; change < 4; ++change) {
      const size_t moved = random() % servers.size();
      if (change % 2 == 0) {
        servers[moved].zone = "zone-new";
      } else if (servers.size() > 1) {
        servers.erase(servers.begin() + static_cast<ptrdiff_t>(moved));
      }
      table = Place(shape, servers, table);
      ExpectDistinct(shape, servers, table);
    }
  }
}

TEST(Domains, SpreadOverTwoZonesWhenThreeReplicasFindOnlyTwo) {
  std::vector<RingServer> servers = PlainServers(12);
  for (RingServer& server : servers) server.zone = Raw(server.id) <= 4 ? "small" : "large";
  const Domains domains(servers);

  for (const auto& members : Place({.replicas = 3, .bucket_bits = 8}, servers)) {
    EXPECT_EQ(CountDistinct(members, domains.zone), 2u);
  }
}

TEST(Domains, UseOneHostTwiceOnlyWhenThereAreTooFew) {
  std::vector<RingServer> servers = PlainServers(6);
  for (RingServer& server : servers) server.host = Raw(server.id) <= 2 ? "a" : "b";
  const Domains domains(servers);

  for (const auto& members : Place({.replicas = 3, .bucket_bits = 8}, servers)) {
    EXPECT_EQ(members.size(), 3u);
    EXPECT_EQ(CountDistinct(members, domains.host), 2u);
  }
}

TEST(Domains, TakeOneNameOfAHostInTwoZonesForTwoHosts) {
  std::vector<RingServer> servers = PlainServers(2);
  for (RingServer& server : servers) server.host = "node-1";
  servers[1].zone = "other";

  for (const auto& members : Place({.replicas = 2, .bucket_bits = 4}, servers)) {
    EXPECT_EQ(members.size(), 2u);
  }
}

// Three replicas in three zones: each zone has every bucket, whatever its size.
TEST(Domains, WinOverTheSharesByWeight) {
  const PoolShape shape{.replicas = 3, .bucket_bits = 10};
  std::vector<RingServer> servers = PlainServers(10);
  for (RingServer& server : servers) {
    const uint32_t id = Raw(server.id);
    server.zone = id == 1 ? "one" : id <= 4 ? "three" : "six";
  }

  std::map<ServerId, uint32_t> loads = Loads(Place(shape, servers));

  Result<std::vector<ServerShare>> shares = ServerShares(shape, servers);
  ASSERT_TRUE(shares);
  for (const ServerShare& share : *shares) {
    const uint32_t id = Raw(share.id);
    const double zone_servers = id == 1 ? 1 : id <= 4 ? 3 : 6;
    EXPECT_NEAR(static_cast<double>(share.fair) / kShareUnit, 1024 / zone_servers, 0.01);
    EXPECT_LE(loads[share.id], share.keeps);
  }
  EXPECT_EQ(loads[ServerId{1}], 1024u);
}

// The walk to the only server of a zone would pass nearly all points of the others.
TEST(Domains, FindTheLonelyServerOfAZoneAmongMany) {
  std::vector<RingServer> servers = PlainServers(300);
  servers[17].zone = "lonely";
  servers[17].weight = 1;

  const WantedTable table = Place({.replicas = 2, .bucket_bits = 11}, servers);

  EXPECT_EQ(Loads(table)[servers[17].id], 2048u);
}

}  // namespace
}  // namespace ringfs
