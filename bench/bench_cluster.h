#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/local/process.h"
#include "common/result.h"

namespace ringfs::bench {

// A master and one chunkserver of its own, for a benchmark that kills and measures them.
//
// Owns: the processes, which are ended with it; the folder is the caller's.
class BenchCluster {
 public:
  // `programs`: the folder of ringfs-master and ringfs-chunkserver.
  BenchCluster(std::filesystem::path programs, std::filesystem::path folder)
      : programs_(std::move(programs)), folder_(std::move(folder)) {}
  ~BenchCluster();
  BenchCluster(const BenchCluster&) = delete;
  BenchCluster& operator=(const BenchCluster&) = delete;

  Result<void> Start();
  // kill -9 of the master, and its start on the same address. Returns the seconds from its start to
  // the line that says that it is ready.
  Result<double> RestartMaster();

  const std::string& address() const { return address_; }
  // Of the master.
  uint64_t ResidentBytes() const { return StatusBytes("VmRSS:"); }
  uint64_t PeakResidentBytes() const { return StatusBytes("VmHWM:"); }
  uint64_t DiskBytes() const;

 private:
  Result<void> StartMaster(const std::string& listen);
  uint64_t StatusBytes(const std::string& field) const;

  std::filesystem::path programs_;
  std::filesystem::path folder_;
  std::optional<cli::Child> master_;
  std::optional<cli::Child> chunkserver_;
  std::string address_;
};

}  // namespace ringfs::bench
