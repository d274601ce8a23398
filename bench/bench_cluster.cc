#include "bench/bench_cluster.h"

#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <system_error>

namespace ringfs::bench {
namespace {

constexpr int64_t kStartTimeoutMs = 120'000;
constexpr int64_t kEndTimeoutMs = 10'000;

void EndAndReap(const cli::Child& child) {
  child.process().End(kEndTimeoutMs);
  waitpid(child.process().pid(), nullptr, 0);
}

}  // namespace

BenchCluster::~BenchCluster() {
  if (chunkserver_) EndAndReap(*chunkserver_);
  if (master_) EndAndReap(*master_);
}

Result<void> BenchCluster::Start() {
  Result<void> started = StartMaster("127.0.0.1:0");
  if (!started) return started;
  cli::Launch launch;
  launch.program = programs_ / "ringfs-chunkserver";
  launch.log = folder_ / "chunkserver.log";
  launch.arguments = {"--data",      folder_ / "blocks", "--listen",
                      "127.0.0.1:0", "--master",         address_};
  Result<cli::Child> child = cli::Child::Start(launch);
  if (!child) return Fail(child.error());
  chunkserver_ = *std::move(child);
  const Result<std::string> ready = chunkserver_->WaitReady(kStartTimeoutMs);
  if (!ready) return Fail(ready.error());
  return {};
}

Result<double> BenchCluster::RestartMaster() {
  master_->process().Signal(SIGKILL);
  waitpid(master_->process().pid(), nullptr, 0);
  const auto before = std::chrono::steady_clock::now();
  const Result<void> started = StartMaster(address_);
  if (!started) return Fail(started.error());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
}

Result<void> BenchCluster::StartMaster(const std::string& listen) {
  master_.reset();
  cli::Launch launch;
  launch.program = programs_ / "ringfs-master";
  launch.log = folder_ / "master.log";
  launch.arguments = {"--data", folder_ / "names", "--listen", listen, "--replicas", "1"};
  Result<cli::Child> child = cli::Child::Start(launch);
  if (!child) return Fail(child.error());
  master_ = *std::move(child);
  Result<std::string> ready = master_->WaitReady(kStartTimeoutMs);
  if (!ready) return Fail(ready.error());
  address_ = *std::move(ready);
  return {};
}

uint64_t BenchCluster::StatusBytes(const std::string& field) const {
  std::ifstream status("/proc/" + std::to_string(master_->process().pid()) + "/status");
  for (std::string word; status >> word;) {
    uint64_t kib = 0;
    if (word == field && status >> kib) return kib * 1024;
  }
  return 0;
}

uint64_t BenchCluster::DiskBytes() const {
  uint64_t bytes = 0;
  std::error_code gone;  // of a file that was compacted away meanwhile
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "names")) {
    const uint64_t size = entry.file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

}  // namespace ringfs::bench
