#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/local/file.h"
#include "common/result.h"

namespace ringfs::cli {

// A running process that cannot be taken for a later one with the same number.
class Process {
 public:
  // None: there is no such process (any more).
  static std::optional<Process> Open(pid_t pid);
  // The process that the file names, if it runs `program` (the name of its executable) and has
  // `marker` among its arguments; a number that another process has got meanwhile is not ours.
  static std::optional<Process> Find(const std::filesystem::path& pid_file,
                                     const std::string& program, const std::string& marker);

  pid_t pid() const { return pid_; }
  // Nothing happens when it has ended.
  void Signal(int number) const;
  // False: it still runs after `timeout_ms`.
  bool WaitForEnd(int64_t timeout_ms) const;
  // SIGTERM, and SIGKILL when that did not end it within `timeout_ms`. False: it had to be killed.
  bool End(int64_t timeout_ms) const;

 private:
  Process(pid_t pid, Fd handle) : pid_(pid), handle_(std::move(handle)) {}
  bool Runs(const std::string& program, const std::string& marker) const;

  pid_t pid_;
  Fd handle_;
};

// What is started.
struct Launch {
  std::filesystem::path program;
  std::vector<std::string> arguments;
  std::filesystem::path log;  // its stderr is appended there
};

// A daemon that was started here: in a session of its own, without a terminal or any of our files,
// so that it outlives this program.
class Child {
 public:
  // kNotFound and others: the program cannot be run.
  static Result<Child> Start(const Launch& launch);

  const Process& process() const { return process_; }
  // Waits for the line "PROGRAM ready: WHERE" on its stdout and returns WHERE. When it ends first,
  // or nothing comes within `timeout_ms`, the error has the last line of its log.
  Result<std::string> WaitReady(int64_t timeout_ms);
  // Of one that has ended by itself in WaitReady().
  std::optional<int> exit_status() const { return exit_status_; }

 private:
  Child(Process process, Fd out, std::string program, std::filesystem::path log, uint64_t log_start)
      : process_(std::move(process)),
        out_(std::move(out)),
        program_(std::move(program)),
        log_(std::move(log)),
        log_start_(log_start) {}
  std::string LastWords() const;

  Process process_;
  Fd out_;  // the other end of its stdout
  std::string program_;
  std::filesystem::path log_;
  std::optional<int> exit_status_;
  uint64_t log_start_;  // what is before it was written by earlier ones
};

}  // namespace ringfs::cli
