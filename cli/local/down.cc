#include <fmt/format.h>

#include <csignal>
#include <vector>

#include "cli/format.h"
#include "cli/local/cluster_files.h"
#include "cli/local/local_cluster.h"
#include "cli/local/mountpoint.h"
#include "cli/local/process.h"
#include "common/log.h"

namespace ringfs::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDownEndMs = 30'000;
constexpr int kStackedMax = 16;
constexpr size_t kUsersShown = 5;

// Whether it is a mount of this master alone; of all of its filesystem, or a part.
bool IsOf(const MountEntry& mount, const std::string& master) {
  if (!mount.is_ringfs()) return false;
  const auto source = ParseMountSource(mount.source);
  return source && source->masters == std::vector{master};
}

// One `ringfs down`.
class Stop {
 public:
  Stop(const ClusterFiles& files, ClusterState state, std::string mountpoint, const Say& say)
      : files_(files), state_(std::move(state)), mountpoint_(std::move(mountpoint)), say_(say) {}

  Result<DownReport> Run() {
    Result<void> unmounted = EndMount();
    if (!unmounted) return Fail(unmounted.error());
    WarnOfOtherMounts();
    std::vector<std::string> names;
    for (size_t i = 0; i < state_.chunkservers.size(); ++i) names.push_back(ChunkserverName(i));
    EndAll(names, "ringfs-chunkserver");
    EndAll({kMasterName}, "ringfs-master");
    say_(found_any_ ? fmt::format("ringfs: stopped; the data stays in {}", files_.data().string())
                    : "ringfs: nothing is running");
    return DownReport{found_any_, files_.data()};
  }

 private:
  Result<void> EndMount();
  Result<bool> UnmountTop();
  void WarnOfOtherMounts() const;
  void EndAll(const std::vector<std::string>& names, const std::string& program);
  void WaitForEnd(const std::string& name, const Process& process);

  const ClusterFiles& files_;
  const ClusterState state_;
  const std::string mountpoint_;
  const Say& say_;
  bool found_any_ = false;
};

std::string Names(const std::vector<MountUser>& users) {
  std::string text;
  for (size_t i = 0; i < users.size() && i < kUsersShown; ++i) {
    text += fmt::format("{}{} ({})", i == 0 ? "" : ", ", Printable(users[i].name), users[i].pid);
  }
  if (users.size() > kUsersShown) text += fmt::format(" and {} more", users.size() - kUsersShown);
  return text.empty() ? "somebody that /proc does not show" : text;
}

// True: one mount of this cluster was taken away. False: there is none.
Result<bool> Stop::UnmountTop() {
  const auto mounted = RingfsAt(mountpoint_);
  if (!mounted) return Fail(mounted.error());
  if (!*mounted || !IsOf(**mounted, state_.master)) return false;
  found_any_ = true;
  const std::string place = Printable(mountpoint_);
  Result<void> unmounted = Unmount(mountpoint_, Unmounting::kOrderly);
  if (unmounted) {
    say_("ringfs: unmounted " + place);
    return true;
  }
  // Without the right to unmount, its client does it.
  if (unmounted.code() == Errc::kNotPermitted) return false;
  if (unmounted.code() == Errc::kBusy) {
    say_(fmt::format("ringfs: {} is in use by {}: unmounted all the same, they get errors now",
                     place, Names(UsersOf(mountpoint_))));
  }
  unmounted = Unmount(mountpoint_, Unmounting::kLazy);
  if (!unmounted) return Fail(unmounted.error());
  const auto process = Process::Find(files_.PidOf(kMountName), "ringfs-mount", mountpoint_);
  if (process) process->Signal(SIGTERM);
  return true;
}

Result<void> Stop::EndMount() {
  bool unmounted = false;
  for (int i = 0; i < kStackedMax; ++i) {
    const auto one = UnmountTop();
    if (!one) return Fail(one.error());
    if (!*one) break;
    unmounted = true;
  }
  const auto process = Process::Find(files_.PidOf(kMountName), "ringfs-mount", mountpoint_);
  if (process) {
    found_any_ = true;
    // After an unmount it ends by itself, when all is flushed.
    if (!unmounted) process->Signal(SIGTERM);
    WaitForEnd(kMountName, *process);
  }
  std::error_code error;
  fs::remove(files_.PidOf(kMountName), error);
  return {};
}

void Stop::WarnOfOtherMounts() const {
  const auto mounts = ReadMountTable();
  if (!mounts || state_.master.empty()) return;
  for (const MountEntry& mount : *mounts) {
    if (!IsOf(mount, state_.master)) continue;
    say_(fmt::format("ringfs: it is still mounted at {}, where calls wait, then fail",
                     Printable(mount.mountpoint)));
  }
}

void Stop::EndAll(const std::vector<std::string>& names, const std::string& program) {
  std::vector<std::pair<std::string, Process>> running;
  for (const std::string& name : names) {
    auto process = Process::Find(files_.PidOf(name), program, files_.DataOf(name));
    if (!process) continue;
    process->Signal(SIGTERM);
    running.emplace_back(name, std::move(*process));
  }
  for (const auto& [name, process] : running) {
    found_any_ = true;
    WaitForEnd(name, process);
  }
  for (const std::string& name : names) {
    std::error_code error;
    fs::remove(files_.PidOf(name), error);
  }
}

void Stop::WaitForEnd(const std::string& name, const Process& process) {
  if (process.WaitForEnd(kDownEndMs)) {
    say_(fmt::format("  {:<15} ended", name));
    return;
  }
  say_(fmt::format("  {:<15} did not end within {} s and was killed (its log: {})", name,
                   kDownEndMs / 1000, files_.LogOf(name).string()));
  process.End(0);
}

// That no ringfs is mounted there, or one of this master: another would stay, and be taken for
// stopped. kNotFound: there is one.
Result<void> CheckNoOther(const ClusterFiles& files, const std::string& mountpoint,
                          const std::string& master) {
  const auto mounted = RingfsAt(mountpoint);
  if (!mounted) return Fail(mounted.error());
  if (!*mounted || IsOf(**mounted, master)) return {};
  return Fail(Errc::kNotFound,
              fmt::format("a ringfs ({}) is mounted at {}, but not by a cluster in {}: name its "
                          "folder with --data",
                          Printable((*mounted)->source), Printable(mountpoint),
                          Printable(files.data().string())));
}

}  // namespace

Result<DownReport> Down(const DownOptions& options, const Say& say) {
  const std::string mountpoint = ResolveMountpoint(options.mountpoint);
  const auto data = DataFolder(options.data, mountpoint);
  if (!data) return Fail(data.error());
  const ClusterFiles files(*data);
  if (!files.Exists()) {
    const Result<void> nothing = CheckNoOther(files, mountpoint, "");
    if (!nothing) return Fail(nothing.error());
    say(fmt::format("ringfs: nothing is running (there is no cluster in {})",
                    files.data().string()));
    return DownReport{false, files.data()};
  }
  const auto lock = files.Lock([&] { say("ringfs: waits for another `ringfs up` or `down`"); });
  if (!lock) return Fail(lock.error());
  auto state = files.Load();
  if (!state) return Fail(state.error());
  if (options.data.empty()) {
    const Result<void> ours = CheckNoOther(files, mountpoint, state->master);
    if (!ours) return Fail(ours.error());
  }
  if (options.data.empty() && state->mountpoint != mountpoint) {
    return Fail(Errc::kNotFound, fmt::format("the cluster in {} is that of {}",
                                             files.data().string(), Printable(state->mountpoint)));
  }
  // What `ringfs up` has mounted, wherever that is.
  const std::string mounted = state->mountpoint;
  return Stop(files, std::move(*state), mounted, say).Run();
}

}  // namespace ringfs::cli
