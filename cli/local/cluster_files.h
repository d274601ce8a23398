#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/local/file.h"
#include "common/result.h"

namespace ringfs::cli {

// What `ringfs up` remembers of its cluster, so that it starts again as it was: cluster.json.
struct ClusterState {
  struct Chunkserver {
    std::string address;   // HOST:PORT; empty: not started yet
    bool removed = false;  // by `ringfs servers remove`: it is not started any more

    bool operator==(const Chunkserver&) const = default;
  };

  uint32_t replicas = 2;
  std::string mountpoint;
  std::string master;  // HOST:PORT; empty: not started yet
  // All there ever were: the number of one that was removed is not used again.
  std::vector<Chunkserver> chunkservers;

  // How many chunkservers there are, without those that were removed.
  uint32_t members() const;
  bool operator==(const ClusterState&) const = default;
};

std::string ToText(const ClusterState& state);
// kCorrupted: it is not what ToText() makes. kVersion: a newer version has written it.
Result<ClusterState> ParseClusterState(const std::string& text);

inline constexpr uint32_t kChunkserversMax = 64;
// With those that were removed.
inline constexpr uint32_t kChunkserversEver = 1024;

// Where `ringfs up` keeps what, under one folder.
class ClusterFiles {
 public:
  explicit ClusterFiles(std::filesystem::path data) : data_(std::move(data)) {}

  const std::filesystem::path& data() const { return data_; }
  std::filesystem::path DataOf(const std::string& name) const { return data_ / name; }
  std::filesystem::path PidOf(const std::string& name) const {
    return data_ / "run" / (name + ".pid");
  }
  std::filesystem::path LogOf(const std::string& name) const {
    return data_ / "logs" / (name + ".log");
  }
  std::filesystem::path MasterAddress() const { return data_ / "master.address"; }

  bool Exists() const { return std::filesystem::exists(data_ / "cluster.json"); }
  Result<void> Create() const;
  Result<ClusterState> Load() const;
  Result<void> Save(const ClusterState& state) const;
  // Held as long as the descriptor is open; `when_waiting` is called before a wait for another
  // `ringfs up` or `ringfs down`.
  Result<Fd> Lock(const std::function<void()>& when_waiting) const;

 private:
  std::filesystem::path data_;
};

// /var/lib/ringfs/mnt-shared for /mnt/shared.
std::filesystem::path DefaultData(const std::string& mountpoint);

// The folder of the cluster: the one that was given, else the default one.
// kNotDirectory: it is something else.
Result<std::filesystem::path> DataFolder(const std::string& given, const std::string& mountpoint);

inline constexpr const char* kMasterName = "master";
inline constexpr const char* kMountName = "mount";
// "chunkserver-1" is the first.
std::string ChunkserverName(size_t index);

}  // namespace ringfs::cli
