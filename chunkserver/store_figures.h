#pragma once

#include "chunkserver/store/posix_disk.h"
#include "common/metrics.h"
#include "proto/cluster.pb.h"
#include "proto/session.pb.h"

namespace ringfs::chunkserver {

// What is counted of the stores of a chunkserver.
struct StoreFigures {
  explicit StoreFigures(Metrics& metrics);
  void Update(const wire::ServerUsage& usage);

  DiskFigures disk;
  Counter* corrupt_blocks;
  Gauge* capacity_bytes;
  Gauge* used_bytes;
  Gauge* blocks;
  Gauge* failed_stores;
};

}  // namespace ringfs::chunkserver
