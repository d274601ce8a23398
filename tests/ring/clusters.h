#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "common/ring/ring.h"

namespace ringfs {

// A server of weight 100 without zone and host.
RingServer PlainServer(uint32_t id);
std::vector<RingServer> PlainServers(uint32_t count);

// Servers of weight 30 to 300 in `zones` zones of very different sizes, up to four on a host.
std::vector<RingServer> RandomServers(uint32_t count, uint32_t zones, std::mt19937_64& random);

// The table, which the test expects to exist.
WantedTable Place(const PoolShape& shape, const std::vector<RingServer>& servers,
                  const WantedTable& previous = {});

std::map<ServerId, uint32_t> Loads(const WantedTable& table);

// A change of the cluster as a ratio: memberships that are new, over those that had to be.
double MovedOverNeeded(const WantedTable& before, const WantedTable& after, ServerId changed);

}  // namespace ringfs
