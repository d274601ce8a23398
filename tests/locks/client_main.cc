// lock_client FOLDER FILES SEED HISTORY: locks, reads, writes and unlocks FOLDER/0, FOLDER/1, ...
// until it is killed or HISTORY.stop exists, and writes down what it does (tests/locks/history.h).
// File n is locked by flock, by fcntl as a process, or as an open file description: n modulo 3.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <iostream>
#include <random>
#include <string>

namespace {

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// Each line is in the kernel when the call that it tells of is begun.
class Recorder {
 public:
  explicit Recorder(const char* path)
      : file_(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {}

  // Runs `call`, which gives -1 and errno, or a value. The error is returned, 0 without one.
  int Run(const char* name, uint32_t number, uint64_t value, const std::function<int64_t()>& call) {
    Put(name + (" " + std::to_string(number)) + " " + std::to_string(value));
    const int64_t result = call();
    const int error = result < 0 ? errno : 0;
    Put(error == 0 ? "ok " + std::to_string(result) : "error " + std::to_string(error));
    return error;
  }

 private:
  void Put(const std::string& words) {
    const std::string line = words + " " + std::to_string(NowNs()) + "\n";
    if (write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      std::cerr << "the history cannot be written\n";
      std::exit(1);
    }
  }
  int file_;
};

int64_t Lock(int file, uint32_t number, int type, bool wait) {
  if (number % 3 == 0) {
    const int how = type == F_WRLCK ? LOCK_EX : type == F_RDLCK ? LOCK_SH : LOCK_UN;
    return flock(file, how | (wait ? 0 : LOCK_NB));
  }
  struct flock lock {};
  lock.l_type = static_cast<short>(type);
  lock.l_whence = SEEK_SET;
  lock.l_len = 8;
  if (number % 3 == 1) return fcntl(file, wait ? F_SETLKW : F_SETLK, &lock);
  return fcntl(file, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
}

int64_t ReadValue(int file) {
  std::array<char, 32> text{};
  const ssize_t size = pread(file, text.data(), text.size() - 1, 0);
  if (size < 0) return -1;
  return static_cast<int64_t>(std::strtoull(text.data(), nullptr, 10));
}

int64_t WriteValue(int file, uint64_t value) {
  const std::string text = std::to_string(10'000'000'000'000'000 + value).substr(1) + "\n";
  return pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) ? 0 : -1;
}

class LockClient {
 public:
  LockClient(std::string folder, uint32_t files, uint32_t seed, const char* history)
      : folder_(std::move(folder)), files_(files), seed_(seed), random_(seed), recorder_(history) {}

  // One lock, if it can be had, and some work under it. False: the file is to be opened again.
  bool Round(int file, uint32_t number) {
    const bool shared = Chance(4);
    const bool wait = !Chance(4);
    // A wait is ended by a signal.
    const itimerval limit{{0, 0}, {1 + Chance(3), 0}};
    setitimer(ITIMER_REAL, &limit, nullptr);
    const int refused = recorder_.Run(shared ? "share" : "lock", number, 0, [&] {
      return Lock(file, number, shared ? F_RDLCK : F_WRLCK, wait);
    });
    const itimerval none{};
    setitimer(ITIMER_REAL, &none, nullptr);
    if (refused != 0) return refused == EAGAIN || refused == EINTR;
    if (!Work(file, number, shared)) return false;
    return recorder_.Run("unlock", number, 0, [&] { return Lock(file, number, F_UNLCK, false); }) ==
           0;
  }

  void Run(const std::string& stop) {
    while (access(stop.c_str(), F_OK) != 0) {
      const uint32_t number = static_cast<uint32_t>(random_() % files_);
      // It must not be made: without the mount there is only an empty folder. Past the kernel's
      // pages, in which processes of one machine see what a write that fails has left so far.
      const std::string path = folder_ + "/" + std::to_string(number);
      const int file = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
      if (file < 0) {
        usleep(20'000);
        continue;
      }
      for (int i = 0; i < 8 && Round(file, number); ++i) {
      }
      close(file);
    }
  }

 private:
  bool Chance(uint32_t one_of) { return random_() % one_of == 0; }

  bool Work(int file, uint32_t number, bool shared) {
    if (recorder_.Run("read", number, 0, [&] { return ReadValue(file); }) != 0) return false;
    if (shared) return true;
    // Now and then the lock is kept for a while.
    if (Chance(8)) usleep(static_cast<useconds_t>(random_() % 200'000));
    const uint64_t value = uint64_t{seed_} * 1'000'000 + ++writes_;
    if (recorder_.Run("write", number, value, [&] { return WriteValue(file, value); }) != 0) {
      return false;
    }
    if (!Chance(4) && recorder_.Run("sync", number, 0, [&] { return fdatasync(file); }) != 0) {
      return false;
    }
    return !Chance(4) || recorder_.Run("read", number, 0, [&] { return ReadValue(file); }) == 0;
  }

  std::string folder_;
  uint32_t files_;
  uint32_t seed_;
  std::mt19937 random_;
  Recorder recorder_;
  uint64_t writes_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    std::cerr << "usage: lock_client FOLDER FILES SEED HISTORY\n";
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = [](int) {};  // without SA_RESTART: it ends a wait
  sigaction(SIGALRM, &action, nullptr);
  const auto files = static_cast<uint32_t>(std::atoi(arguments[2]));
  const auto seed = static_cast<uint32_t>(std::atoi(arguments[3]));
  LockClient client(arguments[1], files, seed, arguments[4]);
  client.Run(std::string(arguments[4]) + ".stop");
  return 0;
}
