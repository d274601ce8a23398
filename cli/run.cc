#include "cli/run.h"

#include <cstdlib>
#include <filesystem>

#include "cli/commands/check.h"
#include "cli/mount_table.h"
#include "cli/target.h"
#include "client/report.h"
#include "common/log.h"

namespace ringfs::cli {
namespace {

namespace fs = std::filesystem;

// The file that a command is about, as the master knows it.
struct File {
  std::string absolute;  // on this machine; empty: the command is about none
  std::string path;      // from the root of the filesystem
};

Result<File> FindFile(const std::string& file, const std::vector<MountEntry>& mounts) {
  File found;
  if (file.empty()) return found;
  found.absolute = AbsolutePath(file);
  if (auto path = PathInFilesystem(mounts, found.absolute)) {
    found.path = std::move(*path);
  } else if (file.starts_with('/')) {
    found.path = file;
  } else {
    return Fail(Errc::kNotFound, Printable(file) + " is not on a ringfs mount");
  }
  return found;
}

Result<std::string> Ask(const Arguments& arguments, Master& master, const std::string& path) {
  switch (arguments.action) {
    case Action::kStatus:
      return ShowStatus(master, arguments.output);
    case Action::kServers:
      return ShowServers(master, arguments.output);
    case Action::kOrderServer:
      return OrderServer(master, arguments.server, arguments.order, arguments.weight,
                         arguments.output);
    case Action::kRing:
      return ShowRing(master, arguments.output);
    case Action::kWhere:
      return ShowWhere(master, path, arguments.all, arguments.output);
    case Action::kPolicy:
      return Policy(master, path, arguments.policy_replicas, arguments.policy_block_size,
                    arguments.output);
    case Action::kLocks:
      return ShowLocks(master, path, arguments.output);
    case Action::kBreakLocks:
      return BreakLocks(master, arguments.session, arguments.output);
    case Action::kSessions:
      return ShowSessions(master, arguments.output);
    case Action::kSync:
      return SyncAll(master, arguments.output);
    case Action::kStats:
      return ShowStats(master, arguments.output);
    case Action::kBackup:
      return Backup(master, arguments.backup_file, arguments.output);
    case Action::kHelp:
    case Action::kUp:
    case Action::kDown:
    case Action::kExplain:
    case Action::kScrub:
    case Action::kFsck:
      break;
  }
  return Fail(Errc::kInvalid, "not a question to the master");
}

Result<Finding> Check(const Arguments& arguments, Master& master, const Say& print) {
  if (arguments.action == Action::kFsck) return Fsck(master, arguments.output);
  return Scrub(master, arguments.output, print);
}

bool IsCheck(Action action) { return action == Action::kScrub || action == Action::kFsck; }

Result<void> RunQuery(const Arguments& arguments, const Say& print) {
  const auto mounts = ReadMountTable();
  if (!mounts) return Fail(mounts.error());
  const auto file = FindFile(arguments.file, *mounts);
  if (!file) return Fail(file.error());
  Hints hints;
  hints.flag = arguments.master;
  const char* environment = std::getenv("RINGFS_MASTER");
  if (environment != nullptr) hints.environment = environment;
  hints.file = file->absolute;
  if (arguments.action == Action::kSync && !arguments.mountpoint.empty()) {
    hints.file = AbsolutePath(arguments.mountpoint);
    const MountEntry* mount = MountOf(*mounts, hints.file);
    if (mount == nullptr || !mount->is_ringfs()) {
      return Fail(Errc::kNotFound, Printable(arguments.mountpoint) + " is not on a ringfs mount");
    }
    // What the mount holds back comes before what the servers do.
    const auto flushed = ReadOfMount(mount->mountpoint, std::string(client::kSyncAttribute));
    if (!flushed) return Fail(flushed.error());
    // What is to be flushed is named; the environment does not say otherwise.
    if (hints.flag.empty()) hints.environment.clear();
  }
  std::error_code error;
  hints.directory = fs::current_path(error);
  auto masters = FindMasters(hints, *mounts);
  if (!masters) return Fail(masters.error());
  Master master(std::move(*masters));
  if (IsCheck(arguments.action)) {
    const auto finding = Check(arguments, master, print);
    if (!finding) return Fail(finding.error());
    print(finding->text);
    return finding->verdict;
  }
  const auto text = Ask(arguments, master, file->path);
  if (!text) return Fail(text.error());
  print(*text);
  return {};
}

// Touches nothing below the mountpoint: the kernel would ask for its attributes, and wait for a master
// that may be gone.
Result<void> RunExplain(const Arguments& arguments, const Say& print) {
  const auto mounts = ReadMountTable();
  if (!mounts) return Fail(mounts.error());
  std::error_code error;
  const fs::path path = fs::absolute(arguments.mountpoint, error).lexically_normal();
  const MountEntry* mount = error ? nullptr : MountOf(*mounts, path.string());
  if (mount == nullptr || !mount->is_ringfs()) {
    mount = MountOf(*mounts, AbsolutePath(arguments.mountpoint));  // by symbolic links
  }
  if (mount == nullptr || !mount->is_ringfs()) {
    return Fail(Errc::kNotFound, Printable(arguments.mountpoint) + " is not on a ringfs mount");
  }
  auto read = [&](const std::string& name) { return ReadOfMount(mount->mountpoint, name); };
  const auto text = Explain(mount->mountpoint, read, arguments.output);
  if (!text) return Fail(text.error());
  print(*text);
  return {};
}

Result<UpOptions> UpOptionsOf(const Arguments& arguments) {
  UpOptions options;
  options.mountpoint = arguments.mountpoint;
  options.data = arguments.data;
  options.chunkservers = arguments.chunkservers;
  options.replicas = arguments.replicas;
  std::error_code error;
  options.programs = fs::read_symlink("/proc/self/exe", error).parent_path();
  if (error) return Fail(ErrcFromErrno(error.value()), "/proc/self/exe: " + error.message());
  return options;
}

// `up` and `down` tell people what they do on the way, and programs at the end what came of it.
Result<void> RunLocal(const Arguments& arguments, const Say& print, const Say& print_aside) {
  const bool json = arguments.output == Output::kJson;
  auto say = [&](const std::string& line) { (json ? print_aside : print)(line + "\n"); };
  Json report;
  if (arguments.action == Action::kUp) {
    const auto options = UpOptionsOf(arguments);
    if (!options) return Fail(options.error());
    const auto up = Up(*options, say);
    if (!up) return Fail(up.error());
    report = ToJson(*up);
  } else {
    const auto down = Down({arguments.mountpoint, arguments.data}, say);
    if (!down) return Fail(down.error());
    report = ToJson(*down);
  }
  if (json) print(ToText(report));
  return {};
}

}  // namespace

Result<void> Run(const Arguments& arguments, const Say& print, const Say& print_aside) {
  switch (arguments.action) {
    case Action::kHelp:
      print(arguments.help);
      return {};
    case Action::kUp:
    case Action::kDown:
      return RunLocal(arguments, print, print_aside);
    case Action::kExplain:
      return RunExplain(arguments, print);
    default:
      return RunQuery(arguments, print);
  }
}

}  // namespace ringfs::cli
