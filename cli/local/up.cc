#include <fmt/format.h>

#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "cli/format.h"
#include "cli/local/cluster_files.h"
#include "cli/local/local_cluster.h"
#include "cli/local/mountpoint.h"
#include "cli/local/process.h"
#include "cli/remote.h"
#include "common/daemon.h"
#include "common/log.h"
#include "proto/cluster.pb.h"
#include "proto/session.pb.h"

namespace ringfs::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kReadyMs = 60'000;
constexpr int64_t kUpEndMs = 10'000;
constexpr const char* kAnyPort = "127.0.0.1:0";

// A daemon of the cluster.
struct Unit {
  std::string name;
  std::string program;
  std::string marker;  // the argument that tells it from others
  std::vector<std::string> arguments;
};

// One `ringfs up`: brings every part to where it should be.
class Start {
 public:
  Start(const UpOptions& options, const ClusterFiles& files, std::string mountpoint, const Say& say)
      : options_(options), files_(files), mountpoint_(std::move(mountpoint)), say_(say) {}

  Result<UpReport> Run() {
    Result<void> done = LoadState();
    if (done) done = StartMaster();
    if (done) done = StartChunkservers();
    if (done) done = StartMount();
    if (!done) {
      if ((fresh_ || too_many_) && !started_.empty()) EndStarted();
      return Fail(done.error());
    }
    Explain();
    return Report();
  }

 private:
  Result<void> LoadState();
  Result<void> CheckAgainst(const ClusterState& known) const;
  Result<void> StartMaster();
  Result<void> Grow();
  Result<void> StartChunkservers();
  Result<void> StartChunkserversFrom(size_t first);
  Result<void> AwaitChunkserver(size_t index, Child& child);
  std::set<std::string> RemovedAddresses() const;
  void LeaveOut(size_t index);
  Result<void> CheckCount();
  Result<void> StartMount();
  Result<bool> IsMounted();
  Result<Child> StartUnit(const Unit& unit);
  Unit MasterUnit() const;
  Unit ChunkserverUnit(size_t index) const;
  void EndStarted();
  void Explain() const;
  UpReport Report() const;
  // How to call a program of ours from a shell.
  std::string Callable(const std::string& program) const;

  const UpOptions& options_;
  const ClusterFiles& files_;
  const std::string mountpoint_;
  const Say& say_;
  ClusterState state_;
  bool fresh_ = false;     // there was no such cluster before
  uint32_t wanted_ = 0;    // chunkservers, at least
  bool too_many_ = false;  // there are more chunkservers than are asked for
  struct Started {
    std::string name;
    Process process;
  };
  std::vector<Started> started_;
};

std::string Line(const std::string& name, const std::string& text) {
  return fmt::format("  {:<15} {}", name, text);
}

Result<void> Start::CheckAgainst(const ClusterState& known) const {
  if (options_.replicas && *options_.replicas != known.replicas) {
    return Fail(Errc::kInvalid,
                fmt::format("the cluster in {} was made with {}, which cannot be changed",
                            files_.data().string(), Count(known.replicas, "replica")));
  }
  if (known.mountpoint == mountpoint_) return {};
  const bool mounted =
      Process::Find(files_.PidOf(kMountName), "ringfs-mount", known.mountpoint).has_value();
  if (mounted || options_.data.empty()) {
    return Fail(Errc::kBusy, fmt::format("the cluster in {} is that of {}{}",
                                         files_.data().string(), Printable(known.mountpoint),
                                         mounted ? "; mount it at a second place with ringfs-mount"
                                                 : "; choose another folder with --data"));
  }
  return {};
}

Result<void> Start::LoadState() {
  fresh_ = !files_.Exists();
  if (fresh_) {
    state_.replicas = options_.replicas.value_or(kDefaultReplicas);
    wanted_ = options_.chunkservers.value_or(kDefaultChunkservers);
    if (state_.replicas > wanted_) {
      return Fail(Errc::kInvalid, fmt::format("{} need as many chunkservers; there are {}",
                                              Count(state_.replicas, "replica"), wanted_));
    }
  } else {
    auto known = files_.Load();
    if (!known) return Fail(known.error());
    const Result<void> fits = CheckAgainst(*known);
    if (!fits) return fits;
    state_ = std::move(*known);
    wanted_ = options_.chunkservers.value_or(0);
  }
  state_.mountpoint = mountpoint_;
  say_(fmt::format("ringfs: {} cluster in {}", fresh_ ? "a new" : "the", files_.data().string()));
  return Grow();
}

// Adds chunkservers until there are as many as are wanted, and saves.
Result<void> Start::Grow() {
  while (state_.members() < wanted_) {
    if (state_.chunkservers.size() == kChunkserversEver) {
      return Fail(Errc::kInvalid,
                  fmt::format("the cluster in {} has had {}: no more can be added",
                              files_.data().string(), Count(kChunkserversEver, "chunkserver")));
    }
    state_.chunkservers.emplace_back();
  }
  return files_.Save(state_);
}

Result<Child> Start::StartUnit(const Unit& unit) {
  Launch launch;
  launch.program = options_.programs / unit.program;
  launch.arguments = unit.arguments;
  launch.log = files_.LogOf(unit.name);
  auto child = Child::Start(launch);
  if (!child) return child;
  // Before it is known to be well, so that it can be found whatever comes.
  const pid_t pid = child->process().pid();
  auto handle = Process::Open(pid);
  if (handle) started_.push_back({unit.name, std::move(*handle)});
  const Result<void> noted = ReplaceFile(files_.PidOf(unit.name), fmt::format("{}\n", pid));
  if (!noted) {
    child->process().End(kUpEndMs);
    return Fail(noted.error());
  }
  return child;
}

Unit Start::MasterUnit() const {
  const std::string folder = files_.DataOf(kMasterName);
  return {
      kMasterName,
      "ringfs-master",
      folder,
      {"--data", folder, "--listen", state_.master.empty() ? kAnyPort : state_.master, "--replicas",
       std::to_string(state_.replicas), "--initial-servers", std::to_string(state_.members())}};
}

Unit Start::ChunkserverUnit(size_t index) const {
  const std::string name = ChunkserverName(index);
  const std::string folder = files_.DataOf(name);
  const std::string& address = state_.chunkservers[index].address;
  return {name,
          "ringfs-chunkserver",
          folder,
          {"--data", folder, "--listen", address.empty() ? kAnyPort : address, "--master",
           state_.master}};
}

Result<void> Start::StartMaster() {
  const Unit unit = MasterUnit();
  const auto running = Process::Find(files_.PidOf(unit.name), unit.program, unit.marker);
  if (running && !state_.master.empty()) {
    say_(Line(unit.name, fmt::format("runs at {} (process {})", state_.master, running->pid())));
    return {};
  }
  if (running) running->End(kUpEndMs);  // of an `up` that was cut short before it knew the address
  auto child = StartUnit(unit);
  if (!child) return Fail(child.error());
  const auto address = child->WaitReady(kReadyMs);
  if (!address) {
    child->process().End(kUpEndMs);
    return Fail(address.error());
  }
  state_.master = *address;
  say_(
      Line(unit.name, fmt::format("started at {} (process {})", *address, child->process().pid())));
  const Result<void> told = ReplaceFile(files_.MasterAddress(), *address + "\n");
  if (!told) return told;
  return files_.Save(state_);
}

Result<void> Start::StartChunkservers() {
  size_t begun = 0;
  do {
    // Also in place of those that were found to be removed.
    Result<void> done = Grow();
    if (done) done = StartChunkserversFrom(std::exchange(begun, state_.chunkservers.size()));
    if (!done) return done;
  } while (state_.members() < wanted_);
  return CheckCount();
}

// Not before it is known which were removed: one that was is not counted.
Result<void> Start::CheckCount() {
  if (!options_.chunkservers || state_.members() <= *options_.chunkservers) return {};
  too_many_ = true;
  return Fail(Errc::kInvalid,
              fmt::format("the cluster in {} has {}; `ringfs servers drain`, and then `remove`, "
                          "take one away",
                          files_.data().string(), Count(state_.members(), "chunkserver")));
}

Result<void> Start::StartChunkserversFrom(size_t first) {
  struct Starting {
    size_t index;
    Child child;
  };
  std::vector<Starting> starting;
  const std::set<std::string> removed = RemovedAddresses();
  for (size_t i = first; i < state_.chunkservers.size(); ++i) {
    const auto& [address, is_out] = state_.chunkservers[i];
    if (is_out) continue;
    const Unit unit = ChunkserverUnit(i);
    const auto running = Process::Find(files_.PidOf(unit.name), unit.program, unit.marker);
    if (running && !address.empty() && !removed.contains(address)) {
      say_(Line(unit.name, fmt::format("runs at {} (process {})", address, running->pid())));
      continue;
    }
    // Of an `up` that was cut short, or removed: it hears so when it starts again.
    if (running) running->End(kUpEndMs);
    auto child = StartUnit(unit);
    if (!child) return Fail(child.error());
    starting.push_back({i, std::move(*child)});
  }
  // They start side by side.
  Result<void> outcome;
  for (auto& [index, child] : starting) {
    const Result<void> started = AwaitChunkserver(index, child);
    if (!started && outcome) outcome = started;
  }
  const Result<void> saved = files_.Save(state_);
  return outcome ? saved : outcome;
}

Result<void> Start::AwaitChunkserver(size_t index, Child& child) {
  const std::string name = ChunkserverName(index);
  const auto address = child.WaitReady(kReadyMs);
  if (address) {
    state_.chunkservers[index].address = *address;
    say_(Line(name, fmt::format("started at {} (process {})", *address, child.process().pid())));
    return {};
  }
  if (child.exit_status() == kRemovedStatus) {
    LeaveOut(index);
    return {};
  }
  child.process().End(kUpEndMs);
  return Fail(address.code(), name + ": " + address.error().detail);
}

// Where those listened that the master has removed; nowhere when it does not answer.
std::set<std::string> Start::RemovedAddresses() const {
  std::set<std::string> addresses;
  if (fresh_) return addresses;
  Master master({state_.master});
  const auto status = master.Ask<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  if (!status) return addresses;
  for (const wire::Server& server : status->servers()) {
    if (server.state() == wire::SERVER_GONE) addresses.insert(server.address());
  }
  // Another may have got the port.
  for (const wire::Server& server : status->servers()) {
    if (server.state() != wire::SERVER_GONE) addresses.erase(server.address());
  }
  return addresses;
}

void Start::LeaveOut(size_t index) {
  const std::string name = ChunkserverName(index);
  state_.chunkservers[index].removed = true;
  std::error_code error;
  fs::remove(files_.PidOf(name), error);
  say_(Line(name, fmt::format("was removed from the cluster and is left out; {} can be deleted",
                              Printable(files_.DataOf(name).string()))));
}

// That it is a mount of all that this master has. kBusy: it is of something else.
Result<void> CheckIsOf(const MountEntry& mount, const std::string& master) {
  const auto source = ParseMountSource(mount.source);
  if (source && source->masters == std::vector{master} && source->subdirectory.empty()) return {};
  return Fail(Errc::kBusy, fmt::format("another ringfs ({}) is mounted at {}",
                                       Printable(mount.source), Printable(mount.mountpoint)));
}

// Whether the cluster is mounted there and answers.
Result<bool> Start::IsMounted() {
  const auto mounted = RingfsAt(mountpoint_);
  if (!mounted) return Fail(mounted.error());
  const auto process = Process::Find(files_.PidOf(kMountName), "ringfs-mount", mountpoint_);
  if (!*mounted) {
    // Unmounted behind our back; its client is on its way out.
    if (process && !process->WaitForEnd(kUpEndMs)) process->End(kUpEndMs);
    return false;
  }
  const Result<void> ours = CheckIsOf(**mounted, state_.master);
  if (!ours) return Fail(ours.error());
  if (!MountAnswers(mountpoint_)) {
    if (process) process->End(kUpEndMs);
    return false;
  }
  say_(Line(kMountName, fmt::format("is at {}{}", Printable(mountpoint_),
                                    process ? fmt::format(" (process {})", process->pid()) : "")));
  return true;
}

Result<void> Start::StartMount() {
  const auto mounted = IsMounted();
  if (!mounted) return Fail(mounted.error());
  if (*mounted) return {};
  const Unit unit{kMountName, "ringfs-mount", mountpoint_, {state_.master, mountpoint_, "-f"}};
  auto child = StartUnit(unit);
  if (!child) return Fail(child.error());
  const auto ready = child->WaitReady(kReadyMs);
  if (!ready) {
    child->process().End(kUpEndMs);
    return Fail(ready.error());
  }
  say_(Line(unit.name, fmt::format("mounted at {} (process {})", Printable(mountpoint_),
                                   child->process().pid())));
  return {};
}

void Start::EndStarted() {
  say_("ringfs: ending what was started");
  for (auto one = started_.rbegin(); one != started_.rend(); ++one) {
    one->process.End(kUpEndMs);
    std::error_code error;
    fs::remove(files_.PidOf(one->name), error);
  }
}

std::string Start::Callable(const std::string& program) const {
  const char* path = std::getenv("PATH");
  const std::string folders = fmt::format(":{}:", path == nullptr ? "" : path);
  const bool found =
      folders.find(fmt::format(":{}:", options_.programs.string())) != std::string::npos;
  return found ? program : (options_.programs / program).string();
}

void Start::Explain() const {
  const std::string mountpoint = Printable(mountpoint_);
  say_(fmt::format("ringfs: {} is ready", mountpoint));
  say_(Line("how it is", fmt::format("{} status --master {}", Callable("ringfs"), state_.master)));
  say_(Line("mount it again",
            fmt::format("{} {} OTHER_FOLDER", Callable("ringfs-mount"), state_.master)));
  const std::string data =
      options_.data.empty() ? "" : " --data " + Printable(files_.data().string());
  say_(Line("stop it",
            fmt::format("{} down {}{}  (the data stays)", Callable("ringfs"), mountpoint, data)));
  say_(Line("logs", files_.LogOf("*").string()));
}

UpReport Start::Report() const {
  UpReport report{mountpoint_, state_.master, files_.data(), {}, fresh_};
  for (size_t i = 0; i < state_.chunkservers.size(); ++i) {
    if (state_.chunkservers[i].removed) continue;
    const Unit unit = ChunkserverUnit(i);
    const auto process = Process::Find(files_.PidOf(unit.name), unit.program, unit.marker);
    report.chunkservers.push_back(
        {unit.name, state_.chunkservers[i].address, process ? process->pid() : 0});
  }
  return report;
}

// That no ringfs but that of the cluster in the folder is mounted there: nothing is made for a
// cluster that could not be mounted. kBusy: there is another.
Result<void> CheckNoOther(const ClusterFiles& files, const std::string& mountpoint) {
  const auto mounted = RingfsAt(mountpoint);
  if (!mounted) return Fail(mounted.error());
  if (!*mounted) return {};
  // Asked after the mount: another `up` has noted its master before it mounts.
  std::string master;
  if (files.Exists()) {
    auto state = files.Load();
    if (!state) return Fail(state.error());
    master = std::move(state->master);
  }
  return CheckIsOf(**mounted, master);
}

// Creates the mountpoint if there is none.
Result<void> PrepareMountpoint(const std::string& mountpoint) {
  const auto mounted = RingfsAt(mountpoint);
  if (!mounted) return Fail(mounted.error());
  if (*mounted) return {};  // not to be asked before the cluster runs
  std::error_code error;
  fs::create_directories(mountpoint, error);
  if (error) return FailOfSystem(Printable(mountpoint), error.value());
  return {};
}

}  // namespace

Result<UpReport> Up(const UpOptions& options, const Say& say) {
  const std::string mountpoint = ResolveMountpoint(options.mountpoint);
  const auto data = DataFolder(options.data, mountpoint);
  if (!data) return Fail(data.error());
  const ClusterFiles files(*data);
  const Result<void> allowed = CheckNoOther(files, mountpoint);
  if (!allowed) return Fail(allowed.error());
  const Result<void> prepared = PrepareMountpoint(mountpoint);
  if (!prepared) return Fail(prepared.error());
  const Result<void> created = files.Create();
  if (!created) return Fail(created.error());
  const auto lock = files.Lock([&] { say("ringfs: waits for another `ringfs up` or `down`"); });
  if (!lock) return Fail(lock.error());
  return Start(options, files, mountpoint, say).Run();
}

}  // namespace ringfs::cli
