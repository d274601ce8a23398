#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ringfs::master {

// The real program ringfs-master, as a child of the test.
//
// Owns: the process, which is killed with it.
class MasterProcess {
 public:
  MasterProcess() = default;
  ~MasterProcess() { Kill(); }
  MasterProcess(const MasterProcess&) = delete;
  MasterProcess& operator=(const MasterProcess&) = delete;

  // Starts it and waits for its ready line. Returns the address in it, or nothing when the program
  // ended before.
  std::string Start(const std::vector<std::string>& flags);
  // As kill -9; nothing happens when it does not run.
  void Kill();
  // Asks it to end and returns its exit status, -1 when a signal ended it.
  int Terminate();

  struct Ended {
    int status = -1;
    std::string err;
  };
  // Runs it to its end, which must come by itself.
  static Ended RunToEnd(const std::vector<std::string>& flags);

 private:
  pid_t pid_ = -1;
};

}  // namespace ringfs::master
