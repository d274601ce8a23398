#include "master/service/master_figures.h"

#include "common/locks/lock_table.h"
#include "master/service/context.h"

namespace ringfs::master {

MasterFigures::MasterFigures(Metrics& metrics)
    : epoch_(metrics.AddGauge("ringfs_epoch", "Version of the cluster map.")),
      sessions_(metrics.AddGauge("ringfs_sessions", "Mounts.")),
      servers_up_(metrics.AddGauge("ringfs_servers_up", "Chunkservers that are up.")),
      locks_(metrics.AddGauge("ringfs_locks", "Locks that are held or waited for.")),
      inodes_(metrics.AddGauge("ringfs_inodes", "Files, directories and special files.")),
      files_bytes_(metrics.AddGauge("ringfs_files_bytes", "Sum of the sizes of all files.")),
      garbage_(metrics.AddGauge("ringfs_garbage_entries", "Removed files that still have blocks.")),
      leases_(metrics.AddGauge("ringfs_leases", "Leases that mounts hold.")),
      grants_(metrics.AddGauge("ringfs_lease_grants", "Leases granted since the start.")),
      recalls_(metrics.AddGauge("ringfs_lease_recalls", "Leases recalled since the start.")),
      timeouts_(metrics.AddGauge("ringfs_lease_timeouts", "Recalls not answered in time.")),
      copies_left_(metrics.AddGauge("ringfs_copies_left", "Copies of buckets to be made.")) {}

void MasterFigures::Update(const Context& context) {
  const Statistics statistics = context.state.statistics();
  const LeaseTable::Statistics leases = context.leases.statistics();
  uint64_t up = 0;
  for (const wire::ServerRecord* record : context.state.Servers()) {
    const wire::ServerState state = record->server().state();
    up += state == wire::SERVER_UP || state == wire::SERVER_DRAINING ? 1 : 0;
  }
  epoch_.Set(context.state.epoch());
  sessions_.Set(context.sessions.all().size());
  servers_up_.Set(up);
  locks_.Set(context.state.locks().size());
  inodes_.Set(statistics.inodes);
  files_bytes_.Set(statistics.files_bytes);
  garbage_.Set(statistics.garbage_entries);
  leases_.Set(leases.leases);
  grants_.Set(leases.grants);
  recalls_.Set(leases.recalls);
  timeouts_.Set(leases.timed_out);
  if (context.membership == nullptr) return;
  copies_left_.Set(context.membership->MeasureMovement(context.clock.MonotonicNs()).copies_left);
}

}  // namespace ringfs::master
