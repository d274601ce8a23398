#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chunkserver/store/block_state.h"
#include "chunkserver/store/disk.h"
#include "common/result.h"

namespace ringfs::chunkserver {

inline constexpr uint32_t kClustersPerSegment = 16384;  // 1 GiB, sparse

using SegmentId = uint32_t;

constexpr SegmentId SegmentOfUnit(uint64_t unit_address) {
  return static_cast<SegmentId>(unit_address / (kClustersPerSegment * kUnitsPerCluster));
}

// The files that hold the bytes of blocks. Addresses count 4 KiB units. Keeps a bounded number of
// files open.
//
// Threads: any.
class SegmentFiles {
 public:
  explicit SegmentFiles(Disk& disk) : disk_(disk) {}

  // Makes their folder, durably.
  Result<void> MakeFolder();
  // Fills `out` from the start of the unit. kCorrupted: the file ends before or is missing, or the disk
  // cannot read it.
  Result<void> Read(uint64_t unit_address, std::span<std::byte> out, Patience patience);
  // Writes the pieces from the start of the unit on and asks for an early writeback if
  // `start_writeback`. kNoSpace, kIo.
  Result<void> Write(uint64_t unit_address, std::vector<std::span<const std::byte>> pieces,
                     bool start_writeback);
  Result<void> Sync(const std::set<SegmentId>& segments);
  // The first cluster behind all files that exist.
  Result<uint32_t> EndCluster();
  // Gives the space of the runs back to the disk.
  Result<void> Punch(const std::vector<ClusterRun>& runs);

 private:
  Result<std::shared_ptr<DiskFile>> Open(SegmentId segment, bool create, Patience patience);
  Result<std::shared_ptr<DiskFile>> OpenOnDisk(SegmentId segment, bool create);

  struct OpenFile {
    std::shared_ptr<DiskFile> file;
    std::list<SegmentId>::iterator use;
  };

  Disk& disk_;
  std::mutex mutex_;
  std::unordered_map<SegmentId, OpenFile> open_;
  std::list<SegmentId> uses_;  // the latest first
};

}  // namespace ringfs::chunkserver
