#include "master_process.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string_view>

#include "common/check.h"

namespace ringfs::master {
namespace {

// Starts the program with its output (`stream` 1 or 2) going to a pipe, whose reading end is put
// into `output`.
pid_t Launch(const std::vector<std::string>& flags, int stream, int* output) {
  std::array<int, 2> ends{};
  RINGFS_CHECK(pipe(ends.data()) == 0);
  std::vector<std::string> words = {RINGFS_MASTER_PROGRAM};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t pid = fork();
  RINGFS_CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], stream);
    close(ends[0]);
    close(ends[1]);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(ends[1]);
  *output = ends[0];
  return pid;
}

// Reads up to `end`, or to the end of the stream.
std::string ReadTo(int fd, std::string_view end) {
  std::string text;
  char c = 0;
  while (!text.ends_with(end) || end.empty()) {
    if (read(fd, &c, 1) != 1) break;
    text += c;
  }
  return text;
}

}  // namespace

std::string MasterProcess::Start(const std::vector<std::string>& flags) {
  RINGFS_CHECK(pid_ < 0);
  int output = -1;
  pid_ = Launch(flags, STDOUT_FILENO, &output);
  const std::string line = ReadTo(output, "\n");
  close(output);
  constexpr std::string_view kReady = "ringfs-master ready: ";
  if (!line.starts_with(kReady)) {
    Kill();
    return "";
  }
  return line.substr(kReady.size(), line.size() - kReady.size() - 1);
}

void MasterProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int MasterProcess::Terminate() {
  RINGFS_CHECK(pid_ >= 0);
  kill(pid_, SIGTERM);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

MasterProcess::Ended MasterProcess::RunToEnd(const std::vector<std::string>& flags) {
  int output = -1;
  const pid_t pid = Launch(flags, STDERR_FILENO, &output);
  Ended ended;
  ended.err = ReadTo(output, "");
  close(output);
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status)) ended.status = WEXITSTATUS(status);
  return ended;
}

}  // namespace ringfs::master
