#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/json.h"
#include "common/result.h"

// `ringfs up` and `ringfs down`: a whole cluster on this machine, and its mount.
namespace ringfs::cli {

// Gets each line of progress, for people.
using Say = std::function<void(const std::string& line)>;

struct UpOptions {
  std::string mountpoint;
  std::string data;  // empty: DefaultData()
  std::optional<uint32_t> chunkservers;
  std::optional<uint32_t> replicas;
  std::filesystem::path programs;  // the folder that has ringfs-master and the others
};
inline constexpr uint32_t kDefaultChunkservers = 3;
inline constexpr uint32_t kDefaultReplicas = 2;

// The cluster as `ringfs up` leaves it.
struct UpReport {
  struct Chunkserver {
    std::string name;
    std::string address;
    pid_t pid = 0;  // 0: not known
  };
  std::string mountpoint;
  std::string master;
  std::string data;
  std::vector<Chunkserver> chunkservers;
  bool is_new = false;  // there was no such cluster before
};
Json ToJson(const UpReport& report);

// Starts what does not run and mounts what is not mounted. After an error the processes of a
// cluster that was new are ended again; those of an older one stay.
Result<UpReport> Up(const UpOptions& options, const Say& say);

struct DownOptions {
  std::string mountpoint;
  std::string data;  // empty: DefaultData()
};

struct DownReport {
  bool stopped = false;  // false: nothing was running
  std::string data;
};
Json ToJson(const DownReport& report);

// Unmounts and ends what runs; the data stays.
Result<DownReport> Down(const DownOptions& options, const Say& say);

}  // namespace ringfs::cli
