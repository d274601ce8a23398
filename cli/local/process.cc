#include "cli/local/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>

// glibc 2.36's header forgets to say that these are C.
extern "C" {
#include <sys/pidfd.h>
}

#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"

namespace ringfs::cli {
namespace {

constexpr size_t kPidFileMax = 32;
constexpr size_t kCommandLineMax = 1 << 20;
constexpr size_t kReadyLineMax = 4096;
constexpr int64_t kTailBytes = 8192;
// After its stdout was closed a program has ended for all that matters.
constexpr int64_t kLastMomentMs = 5000;

// Until `fd` is readable. False: it was not by `deadline_ns`.
bool WaitReadable(int fd, int64_t deadline_ns) {
  for (;;) {
    const int64_t left = (deadline_ns - SystemClock().MonotonicNs()) / kNsPerMs;
    pollfd wait{fd, POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready > 0) return true;
    if (ready == 0 && left <= 0) return false;
    if (ready < 0) RINGFS_CHECK(errno == EINTR);
  }
}

// What is set up for a posix_spawn and must be given back.
class SpawnSetup {
 public:
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

void DetachAll(SpawnSetup& setup, const std::string& log, int out) {
  posix_spawn_file_actions_addopen(&setup.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&setup.actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&setup.actions, STDERR_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_addclosefrom_np(&setup.actions, STDERR_FILENO + 1);
  posix_spawn_file_actions_addchdir_np(&setup.actions, "/");
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&setup.attributes, &none);
  posix_spawnattr_setsigdefault(&setup.attributes, &all);
  posix_spawnattr_setflags(&setup.attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

}  // namespace

std::optional<Process> Process::Open(pid_t pid) {
  if (pid <= 0) return std::nullopt;
  Fd handle(pidfd_open(pid, 0));
  if (!handle.valid()) return std::nullopt;
  return Process(pid, std::move(handle));
}

std::optional<Process> Process::Find(const std::filesystem::path& pid_file,
                                     const std::string& program, const std::string& marker) {
  const auto content = ReadSmallFile(pid_file, kPidFileMax);
  if (!content) return std::nullopt;
  pid_t pid = 0;
  const auto parsed = std::from_chars(content->data(), content->data() + content->size(), pid);
  if (parsed.ec != std::errc()) return std::nullopt;
  auto process = Open(pid);
  // Looked at while the handle keeps its number from being used again.
  if (process && !process->Runs(program, marker)) return std::nullopt;
  return process;
}

bool Process::Runs(const std::string& program, const std::string& marker) const {
  const std::string folder = fmt::format("/proc/{}", pid_);
  std::error_code error;
  const std::filesystem::path link = std::filesystem::read_symlink(folder + "/exe", error);
  if (error) return false;  // a zombie has none
  std::string name = link.filename();
  constexpr std::string_view kReplaced = " (deleted)";
  if (name.ends_with(kReplaced)) name.resize(name.size() - kReplaced.size());
  if (name != program) return false;
  const auto arguments = ReadSmallFile(folder + "/cmdline", kCommandLineMax);
  if (!arguments) return false;
  size_t start = 0;
  while (start < arguments->size()) {
    const size_t end = std::min(arguments->find('\0', start), arguments->size());
    if (arguments->compare(start, end - start, marker) == 0) return true;
    start = end + 1;
  }
  return false;
}

void Process::Signal(int number) const {
  if (pidfd_send_signal(handle_.get(), number, nullptr, 0) != 0 && errno != ESRCH) {
    spdlog::error("signal {} cannot be sent to process {}: {}", number, pid_, std::strerror(errno));
  }
}

bool Process::WaitForEnd(int64_t timeout_ms) const {
  return WaitReadable(handle_.get(), SystemClock().MonotonicNs() + timeout_ms * kNsPerMs);
}

bool Process::End(int64_t timeout_ms) const {
  Signal(SIGTERM);
  if (WaitForEnd(timeout_ms)) return true;
  Signal(SIGKILL);
  WaitForEnd(kLastMomentMs);
  return false;
}

Result<Child> Child::Start(const Launch& launch) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FailOfSystem("pipe", errno);
  Fd out(ends[0]);
  const Fd in(ends[1]);
  std::error_code error;
  const uint64_t log_size = std::filesystem::file_size(launch.log, error);
  SpawnSetup setup;
  const std::string log = launch.log;
  DetachAll(setup, log, in.get());
  std::vector<std::string> words = launch.arguments;
  words.insert(words.begin(), launch.program);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, launch.program.c_str(), &setup.actions, &setup.attributes,
                                 argv.data(), environ);
  if (failed != 0) {
    return Fail(ErrcFromErrno(failed), fmt::format("{} cannot be started: {}",
                                                   launch.program.string(), std::strerror(failed)));
  }
  auto process = Process::Open(pid);
  RINGFS_CHECK(process.has_value());  // our child is not reaped before we do it
  return Child(std::move(*process), std::move(out), launch.program.filename(), launch.log,
               error ? 0 : log_size);
}

Result<std::string> Child::WaitReady(int64_t timeout_ms) {
  const int64_t deadline = SystemClock().MonotonicNs() + timeout_ms * kNsPerMs;
  const std::string sign = program_ + " ready: ";
  std::string said;
  while (said.size() < kReadyLineMax) {
    if (!WaitReadable(out_.get(), deadline)) {
      return Fail(Errc::kTimedOut, fmt::format("{} is not ready after {} s{}", program_,
                                               timeout_ms / 1000, LastWords()));
    }
    char bytes[512];
    const ssize_t got = read(out_.get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(bytes, static_cast<size_t>(got));
    const size_t line = said.find(sign);
    const size_t end = line == std::string::npos ? line : said.find('\n', line);
    if (end != std::string::npos) {
      return said.substr(line + sign.size(), end - line - sign.size());
    }
  }
  process_.WaitForEnd(kLastMomentMs);
  int status = 0;
  const bool ended = waitpid(process_.pid(), &status, WNOHANG) == process_.pid();
  std::string how = "has closed its output";
  if (ended && WIFEXITED(status)) exit_status_ = WEXITSTATUS(status);
  if (exit_status_) how = fmt::format("ended with status {}", *exit_status_);
  if (ended && WIFSIGNALED(status)) how = fmt::format("was ended by signal {}", WTERMSIG(status));
  return Fail(Errc::kUnavailable, fmt::format("{} {}{}", program_, how, LastWords()));
}

std::string Child::LastWords() const {
  std::ifstream in(log_, std::ios::binary);
  in.seekg(0, std::ios::end);
  const auto size = static_cast<int64_t>(in.tellg());
  const auto start = std::max(static_cast<int64_t>(log_start_), size - kTailBytes);
  in.seekg(start);
  std::string last;
  for (std::string line; in && std::getline(in, line);) {
    if (!line.empty()) last = std::move(line);
  }
  const std::string where = fmt::format(" (its log: {})", log_.string());
  return (last.empty() ? "" : ": " + Printable(last)) + where;
}

}  // namespace ringfs::cli
