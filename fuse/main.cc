// ringfs-mount: mounts a ringfs filesystem.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/syslog_sink.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "client/filesystem.h"
#include "common/async.h"
#include "common/daemon.h"
#include "common/dead_mount.h"
#include "common/log.h"
#include "common/metrics_server.h"
#include "fuse/mount.h"
#include "fuse/options.h"
#include "fuse/session.h"

namespace ringfs::fuse {
namespace {

constexpr const char* kProgram = "ringfs-mount";
// After an order to end, how long files that are still open may keep the mount alive.
constexpr int64_t kBusyMountMs = 5000;
// A longer wait for the master is announced.
constexpr int64_t kPatienceMs = 5000;
constexpr const char* kReadAheadKb = "4096";

// A mountpoint whose client was killed answers ENOTCONN to everything: it is taken away.
Result<void> PrepareMountpoint(const std::string& mountpoint) {
  struct stat stat {};
  constexpr int kStackedMax = 16;
  for (int i = 0; i < kStackedMax; ++i) {
    const bool dead = IsDeadMount(mountpoint);
    if (!dead && ::stat(mountpoint.c_str(), &stat) == 0) break;
    if (!dead && errno != ENOTCONN) {
      return Fail(ErrcFromErrno(errno), mountpoint + ": " + std::strerror(errno));
    }
    spdlog::info("{}: clearing the mount of a client that has died", mountpoint);
    if (umount2(mountpoint.c_str(), MNT_DETACH) != 0) {
      return Fail(ErrcFromErrno(errno),
                  "cannot clear the dead mount at " + mountpoint + ": " + std::strerror(errno));
    }
  }
  if (!S_ISDIR(stat.st_mode)) return Fail(Errc::kNotDirectory, mountpoint + " is not a directory");
  return {};
}

// The kernel reads ahead 128 KiB unless told otherwise, here. Not to be found by stat(): that would
// wait for ourselves.
void RaiseReadAhead(const std::string& mountpoint) {
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  std::string device;
  while (std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::string id, parent, number, root, target;
    fields >> id >> parent >> number >> root >> target;
    if (target == mountpoint) device = number;  // the last is on top
  }
  std::ofstream knob("/sys/class/bdi/" + device + "/read_ahead_kb");
  knob << kReadAheadKb << std::flush;
  if (!knob) spdlog::debug("read-ahead of {} stays as the kernel has it", mountpoint);
}

std::vector<std::string> KernelOptions(const MountOptions& options) {
  std::string source = options.source;
  for (size_t at = 0; (at = source.find(',', at)) != std::string::npos; at += 2) {
    source.insert(at, "\\");
  }
  std::vector<std::string> kernel = {"fsname=" + source, "subtype=ringfs", "default_permissions"};
  if (options.allow_other) kernel.push_back("allow_other");
  if (options.read_only) kernel.push_back("ro");
  if (geteuid() == 0) {
    kernel.push_back("suid");
    kernel.push_back("dev");
  }
  kernel.insert(kernel.end(), options.kernel.begin(), options.kernel.end());
  return kernel;
}

void StartMountLog(const MountOptions& options) {
  RINGFS_CHECK(StartLog(kProgram, options.log_level));
  std::shared_ptr<spdlog::logger> logger;
  if (!options.log_file.empty()) {
    logger = std::make_shared<spdlog::logger>(
        kProgram, std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.log_file));
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %n: %v");
  } else if (!options.foreground) {
    logger = std::make_shared<spdlog::logger>(
        kProgram,
        std::make_shared<spdlog::sinks::syslog_sink_mt>(kProgram, LOG_PID, LOG_DAEMON, false));
    logger->set_pattern("%l: %v");
  } else {
    return;
  }
  logger->set_level(spdlog::default_logger()->level());
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

// Serves one mount until it is unmounted or a signal orders the end.
class Program {
 public:
  Program(asio::io_context& context, MountOptions options, int ready_pipe)
      : context_(context), options_(std::move(options)), ready_pipe_(ready_pipe) {}

  asio::awaitable<void> Run() {
    auto prepared = co_await Start();
    if (!prepared) {
      Report(prepared.error());
      if (filesystem_) co_await filesystem_->Close();
      context_.stop();
      co_return;
    }
    Spawn(context_.get_executor(), EndOnSignal(), "signals");
    if (!options_.as_helper) AnnounceReady(kProgram, options_.mountpoint);
    Ready();
    co_await session_->Serve();
    spdlog::info("{} is unmounted", options_.mountpoint);
    co_await Finish();
  }

  // Ends the mount if it still stands.
  void DropMount() { session_.reset(); }

  int status() const { return status_; }

 private:
  asio::awaitable<Result<void>> Start() {
    client::Options options;
    options.masters = options_.masters;
    options.mountpoint = options_.mountpoint;
    options.subdirectory = options_.subdirectory;
    options.timeout_ms = options_.timeout_ms;
    options.session_ttl_ms = options_.session_ttl_ms;
    options.caching = options_.caching;
    options.max_dirty_bytes = options_.max_dirty_bytes;
    options.dirsync = options_.dirsync;
    options.sync_on_close = options_.sync_on_close;
    // Who waits for a shorter time has the reason soon enough, in one line.
    if (options_.timeout_ms > kPatienceMs) {
      options.on_waiting = [this](const std::string& why) { SayThatItWaits(why); };
    }
    auto filesystem =
        co_await client::Filesystem::Connect(context_.get_executor(), std::move(options));
    if (!filesystem) {
      Error error = filesystem.error();
      if (error.code == Errc::kNotFound || error.code == Errc::kNotDirectory) {
        error.detail = "the filesystem has no directory /" + options_.subdirectory;
      }
      co_return Fail(std::move(error));
    }
    filesystem_ = std::move(*filesystem);
    mount_.emplace(context_.get_executor(), *filesystem_);
    if (!options_.metrics.empty()) {
      auto metrics = MetricsServer::Start(options_.metrics, mount_->metrics);
      if (!metrics) co_return Fail(metrics.error());
      metrics_server_ = std::move(*metrics);
    }
    mount_->atime = options_.atime;
    mount_->read_only = options_.read_only;
    mount_->caching = options_.caching;
    filesystem_->SetForgetInKernel([mount = &*mount_](InodeId inode, bool pages) {
      return mount->kernel.Forget(inode, pages);
    });
    const std::vector<std::string> kernel = KernelOptions(options_);
    auto session = Session::Start(context_.get_executor(), *mount_, options_.mountpoint, kernel);
    if (!session) co_return Fail(session.error());
    session_ = std::move(*session);
    RaiseReadAhead(options_.mountpoint);
    co_return Result<void>();
  }

  asio::awaitable<void> EndOnSignal() {
    auto signal = co_await WaitForEndSignal();
    if (!signal) co_return;
    AnnounceStopping();
    spdlog::info("signal {}: unmounting {}", *signal, options_.mountpoint);
    co_await session_->Unmount();
    co_await SleepMs(kBusyMountMs);
    // Still here: a process holds a file open. It gets ENOTCONN from now on.
    spdlog::warn("{} is busy; ending all the same", options_.mountpoint);
    co_await Finish();
  }

  asio::awaitable<void> Finish() {
    if (finishing_) co_return;
    finishing_ = true;
    auto synced = co_await filesystem_->SyncAll();
    if (!synced) {
      spdlog::error("not everything could be flushed: {}", synced.error().ToString());
      status_ = 1;
    } else {
      status_ = 0;
    }
    co_await filesystem_->Close();
    context_.stop();
  }

  void Ready() {
    if (ready_pipe_ < 0) return;
    const char good = 0;
    if (write(ready_pipe_, &good, 1) != 1) spdlog::debug("nobody waits for the mount");
    close(ready_pipe_);
    ready_pipe_ = -1;
    // A daemon keeps no terminal and no directory.
    const int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2 && null >= 0; ++fd) dup2(null, fd);
    if (null > 2) close(null);
    if (chdir("/") != 0) spdlog::debug("cannot change to /");
  }

  void SayThatItWaits(const std::string& why) const {
    const std::string line =
        fmt::format("{}: waits up to {} s for the master at {}: {}\n", kProgram,
                    (options_.timeout_ms + 999) / 1000, fmt::join(options_.masters, ","), why);
    std::fputs(line.c_str(), stderr);
  }

  void Report(const Error& error) {
    FailToStart(kProgram, error);
    status_ = 1;
  }

  asio::io_context& context_;
  MountOptions options_;
  int ready_pipe_;
  int status_ = 1;
  bool finishing_ = false;
  std::unique_ptr<client::Filesystem> filesystem_;
  std::optional<Mount> mount_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::unique_ptr<Session> session_;
};

[[noreturn]] void Serve(MountOptions options, int ready_pipe) {
  StartMountLog(options);
  asio::io_context context(1);
  Program program(context, std::move(options), ready_pipe);
  Spawn(context.get_executor(), program.Run(), "mount");
  context.run();
  program.DropMount();
  spdlog::shutdown();
  // Calls that never got their answer are still suspended, and refer to the program and the
  // context: the process ends without unwinding them.
  std::_Exit(program.status());
}

// The parent returns when the child says that the mount answers, or has ended.
int ServeInBackground(MountOptions options) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return FailToStart(kProgram, Error{Errc::kIo, std::strerror(errno)});
  const pid_t child = fork();
  if (child < 0) return FailToStart(kProgram, Error{Errc::kIo, std::strerror(errno)});
  if (child == 0) {
    close(pipe_ends[0]);
    setsid();
    Serve(std::move(options), pipe_ends[1]);
  }
  close(pipe_ends[1]);
  char answer = 1;
  ssize_t got = 0;
  do {
    got = read(pipe_ends[0], &answer, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1 && answer == 0) return 0;
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace ringfs::fuse

int main(int argc, char** argv) {
  using namespace ringfs;
  using namespace ringfs::fuse;
  const std::string name = std::filesystem::path(argv[0]).filename();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  auto options = ParseMountOptions(arguments, name.starts_with("mount."));
  if (!options) {
    FailToStart(kProgram, options.error());
    return 2;
  }
  if (options->help) {
    std::fputs(MountHelp().c_str(), stdout);
    return 0;
  }
  if (options->version) {
    std::puts("ringfs-mount " RINGFS_VERSION);
    return 0;
  }
  if (options->fake) return 0;
  IgnoreBrokenPipes();
  if (!StartLog(kProgram, options->log_level)) {
    return FailToStart(kProgram, Error{Errc::kInvalid,
                                       "log_level knows trace, debug, info, warn "
                                       "and error, not '" +
                                           options->log_level + "'"});
  }
  auto prepared = PrepareMountpoint(options->mountpoint);
  if (!prepared) return FailToStart(kProgram, prepared.error());
  if (options->foreground) Serve(std::move(*options), -1);
  return ServeInBackground(std::move(*options));
}
