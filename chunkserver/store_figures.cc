#include "chunkserver/store_figures.h"

namespace ringfs::chunkserver {

StoreFigures::StoreFigures(Metrics& metrics)
    : corrupt_blocks(&metrics.AddCounter("ringfs_corrupt_reads_total",
                                         "Reads that found a block damaged on the disk.")),
      capacity_bytes(&metrics.AddGauge("ringfs_store_capacity_bytes", "Space of the disks.")),
      used_bytes(&metrics.AddGauge("ringfs_store_used_bytes", "Of it, what is used.")),
      blocks(&metrics.AddGauge("ringfs_store_blocks", "Blocks that are stored.")),
      failed_stores(&metrics.AddGauge("ringfs_failed_stores", "Disks that have failed.")) {
  disk.sync_seconds = &metrics.AddHistogram("ringfs_fsync_seconds", "Flushes of a disk.");
}

void StoreFigures::Update(const wire::ServerUsage& usage) {
  capacity_bytes->Set(usage.capacity_bytes());
  used_bytes->Set(usage.used_bytes());
  blocks->Set(usage.blocks());
  failed_stores->Set(usage.failed_stores());
}

}  // namespace ringfs::chunkserver
