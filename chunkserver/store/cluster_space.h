#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "chunkserver/store/block_state.h"
#include "chunkserver/store/disk.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// Which clusters of the segment files are free. A free cluster is either `reusable` (the disk still
// has blocks for it) or sparse (the disk gives it space when it is written).
//
// The one who frees a cluster sees to it that no record which is still needed names it: see
// checkpoint.cc.
//
// Threads: any.
class ClusterSpace {
 public:
  // `reserve_bytes` stay free for the index, of a small disk an eighth at most.
  ClusterSpace(Disk& disk, uint64_t reserve_bytes) : disk_(disk), reserve_bytes_(reserve_bytes) {}

  // Recovery: the cluster is used. False when it was already.
  bool MarkUsed(uint32_t address);
  // Recovery: everything else that lies below the highest used one is free and sparse.
  void FinishMarking();

  // `count` clusters in as few runs as is easy. `prefer_reusable` for those that are written whole.
  // kNoSpace: the disk is full but for the reserve.
  Result<std::vector<ClusterRun>> Allocate(uint32_t count, bool prefer_reusable);
  // Success when there is room for `bytes` in clusters that the caller has already.
  Result<void> Admit(uint64_t bytes);
  void Free(std::vector<uint32_t> addresses);
  // Takes out reusable runs beyond `keep_bytes`, to be punched and given to AddSparse.
  std::vector<ClusterRun> TakeExcess(uint64_t keep_bytes);
  void AddSparse(const std::vector<ClusterRun>& runs);
  std::vector<ClusterRun> SparseRuns() const;
  // The first cluster that was never used.
  uint32_t end() const;

  // What may still be allocated.
  Result<uint64_t> AvailableBytes() const;
  uint64_t used_clusters() const;

 private:
  using Runs = std::map<uint32_t, uint32_t>;  // first -> count, never touching

  static void Insert(Runs* runs, uint32_t first, uint32_t count);
  static uint32_t TakeFrom(Runs* runs, uint32_t count, std::vector<ClusterRun>* taken);
  Result<void> Charge(uint64_t bytes);
  Result<uint64_t> Available() const;

  Disk& disk_;
  const uint64_t reserve_bytes_;
  mutable std::mutex mutex_;
  Runs reusable_;
  Runs sparse_;
  uint32_t end_ = 0;  // no cluster from here on was ever used
  uint64_t reusable_clusters_ = 0;
  uint64_t used_clusters_ = 0;
  uint64_t budget_bytes_ = 0;  // may be allocated before the disk is asked again
  std::vector<bool> marked_;   // during recovery
};

}  // namespace ringfs::chunkserver
