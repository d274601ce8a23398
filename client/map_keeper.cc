#include "client/map_keeper.h"

#include <utility>

#include "common/log.h"

namespace ringfs::client {
namespace {

constexpr int64_t kFetchTimeoutMs = 10'000;

}  // namespace

MapKeeper::MapKeeper(asio::any_io_executor executor, const Clock& clock, MasterLink& link,
                     Background& background, std::function<void()> on_change)
    : clock_(clock),
      link_(link),
      background_(background),
      on_change_(std::move(on_change)),
      changed_(std::move(executor)) {}

void MapKeeper::Take(const wire::ClusterMap& map) {
  const Epoch before = view_.epoch();
  if (auto applied = view_.Apply(map); !applied) {
    spdlog::error("the master's cluster map is not used: {}", applied.error().ToString());
    return;
  }
  if (view_.epoch() == before) return;
  on_change_();
  changed_.NotifyAll();
}

void MapKeeper::Learn(Epoch epoch) {
  if (epoch > newest_) newest_ = epoch;
  if (newest_ > view_.epoch()) Refresh();
}

void MapKeeper::Refresh() {
  if (fetching_ || background_.stopping()) return;
  fetching_ = true;
  background_.Start(Fetch(), "fetch map");
}

asio::awaitable<void> MapKeeper::Fetch() {
  do {
    const Deadline deadline(clock_, kFetchTimeoutMs);
    auto map = co_await link_.GetMap(view_.epoch(), deadline);
    if (!map) {
      // Whoever needs the map asks again, and every keepalive tells the epoch.
      spdlog::warn("no newer cluster map: {}", map.error().ToString());
      break;
    }
    const Epoch before = view_.epoch();
    Take(*map);
    if (view_.epoch() == before) break;
  } while (newest_ > view_.epoch() && !background_.stopping());
  fetching_ = false;
}

}  // namespace ringfs::client
