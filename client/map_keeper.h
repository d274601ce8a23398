#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <functional>

#include "client/background.h"
#include "client/cluster_view.h"
#include "client/master_link.h"

namespace ringfs::client {

// Keeps the cluster map of this client as new as the master's.
//
// Threads: only from `executor`.
class MapKeeper {
 public:
  // `on_change` is called after each change, before those who wait for changed().
  MapKeeper(asio::any_io_executor executor, const Clock& clock, MasterLink& link,
            Background& background, std::function<void()> on_change);

  // A complete map, from the master's answer to a connect.
  void Take(const wire::ClusterMap& map);
  // The master has this epoch: fetches what changed, if anything did.
  void Learn(Epoch epoch);
  // Somebody says that the map is old: asks the master. One question is under way at a time.
  void Refresh();

  const ClusterView& view() const { return view_; }
  Event& changed() { return changed_; }

 private:
  asio::awaitable<void> Fetch();

  const Clock& clock_;
  MasterLink& link_;
  Background& background_;
  std::function<void()> on_change_;
  ClusterView view_;
  Event changed_;
  Epoch newest_{0};
  bool fetching_ = false;
};

}  // namespace ringfs::client
