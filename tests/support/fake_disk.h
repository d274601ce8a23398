#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "chunkserver/store/disk.h"

namespace ringfs::chunkserver {

// What a power cut does to writes that were not synced.
enum class PowerCut {
  kDrop,  // all of them are lost
  kKeep,  // all of them have reached the platter
  // By seed: each sector of each is there or not; of what was appended, and of the changes of
  // names, a prefix.
  kTear,
};

// A disk in memory that forgets, fails and rots as it is told to. Sectors of 512 bytes are written
// whole or not at all. A Sync makes the bytes and the size of its file durable, SyncFolder the
// names.
//
// The platter outlives FakeDisk objects, as a machine's disk does its processes: make a new
// FakeDisk on the same platter after a crash.
//
// Threads: any.
class FakeDisk final : public Disk {
 public:
  struct Platter;

  explicit FakeDisk(uint64_t capacity_bytes = uint64_t{1} << 40);
  explicit FakeDisk(std::shared_ptr<Platter> platter);
  ~FakeDisk() override;

  std::shared_ptr<Platter> platter() const { return platter_; }

  // The power fails in the middle of the change number `count` from now (0: the next); that one and
  // all calls after it give kIo. Changes are writes, syncs, punches, and those of sizes and names.
  void CutPowerAfter(uint64_t count);
  // Called at each write and sync of a file with its path, before it, without a lock: what it does
  // with the disk happens in the middle of what the caller does.
  void OnChange(std::function<void(const std::string& path)> hook);
  bool power_is_off() const;
  uint64_t changes() const;  // so far
  // Decides what is left. Whoever used the disk is gone.
  void Crash(PowerCut how, uint64_t seed);

  void FailSyncs(bool fail);
  void FailWrites(bool fail);
  // Every read would have to wait.
  void CacheNothing(bool nothing);
  // Reads of the file give kIo.
  void FailReads(const std::string& path, bool fail);
  void FlipBit(const std::string& path, uint64_t offset, int bit);
  void SetCapacity(uint64_t bytes);
  uint64_t syncs() const;    // DiskFile::Sync calls so far
  uint64_t written() const;  // bytes so far

  Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) override;
  Result<void> MakeFolder(const std::string& path) override;
  Result<void> Remove(const std::string& path) override;
  Result<void> Rename(const std::string& from, const std::string& to) override;
  Result<std::vector<std::string>> List(const std::string& folder) override;
  Result<bool> Exists(const std::string& path) override;
  Result<void> SyncFolder(const std::string& folder) override;
  Result<DiskSpace> Space() override;
  Result<void> Lock() override;
  std::string Name() const override { return "fake"; }

 private:
  std::shared_ptr<Platter> platter_;
  bool locked_ = false;
};

}  // namespace ringfs::chunkserver
