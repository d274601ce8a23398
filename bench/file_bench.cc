// Does one kind of file work again and again and prints the rate:
//   file_bench OP FOLDER [--threads N] [--files N] [--passes N] [--bytes N]
// Works through plain system calls, on whatever is mounted at FOLDER. Operations on small files
// expect those that `create` has made; each thread has its own. Prints "UNITS SECONDS", where a unit
// is an operation, or a byte for `sequential-write` and `sequential-read`.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/buffer.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSmallBytes = 4096;
constexpr size_t kRequestBytes = 1 << 20;
constexpr auto kLockTime = std::chrono::milliseconds(700);

struct Job {
  std::string folder;
  int thread = 0;
  int files = 0;
  uint64_t bytes = 0;  // of a large file

  std::string Name(const char* kind, int i) const {
    return folder + "/" + kind + std::to_string(thread) + "." + std::to_string(i);
  }
  std::string Large() const { return folder + "/large" + std::to_string(thread); }
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "file_bench: %s: %s\n", what.c_str(), std::strerror(errno));
  std::_Exit(EXIT_FAILURE);
}

// A descriptor that must open and must close well.
class File {
 public:
  File(const std::string& path, int flags) : path_(path), fd_(open(path.c_str(), flags, 0644)) {
    if (fd_ < 0) Die(path);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (close(fd_) != 0) Die(path_);
  }
  int fd() const { return fd_; }

 private:
  std::string path_;
  int fd_;
};

void WriteAll(int fd, const std::byte* data, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = write(fd, data + done, size - done);
    if (n <= 0) Die("write");
    done += static_cast<size_t>(n);
  }
}

ringfs::Buffer Noise(size_t size) {
  ringfs::Buffer noise = ringfs::Buffer::Allocate(size);
  uint64_t state = 88172645463325252u;
  for (size_t i = 0; i + sizeof(state) <= size; i += sizeof(state)) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(noise.data() + i, &state, sizeof(state));
  }
  return noise;
}

// Each returns the units of work that it has done.

template <typename Each>
uint64_t ForEachFile(const Job& job, const char* kind, Each each) {
  for (int i = 0; i < job.files; ++i) each(job.Name(kind, i));
  return static_cast<uint64_t>(job.files);
}

uint64_t Create(const Job& job) {
  return ForEachFile(job, "f", [](const std::string& name) {
    const File made(name, O_CREAT | O_EXCL | O_WRONLY);
  });
}

uint64_t WriteSmall(const Job& job) {
  const ringfs::Buffer noise = Noise(kSmallBytes);
  return ForEachFile(job, "f", [&](const std::string& name) {
    const File file(name, O_WRONLY);
    WriteAll(file.fd(), noise.data(), noise.size());
  });
}

uint64_t ReadSmall(const Job& job) {
  const ringfs::Buffer into = ringfs::Buffer::Allocate(kSmallBytes);
  return ForEachFile(job, "f", [&](const std::string& name) {
    const File file(name, O_RDONLY);
    if (read(file.fd(), into.data(), into.size()) != ssize_t{kSmallBytes}) Die("read " + name);
  });
}

uint64_t Stat(const Job& job) {
  return ForEachFile(job, "f", [](const std::string& name) {
    struct stat status {};
    if (stat(name.c_str(), &status) != 0) Die(name);
  });
}

// As `ls -l`: an entry and its attributes are a unit.
uint64_t List(const Job& job) {
  DIR* const listing = opendir(job.folder.c_str());
  if (listing == nullptr) Die(job.folder);
  uint64_t entries = 0;
  while (const dirent* entry = readdir(listing)) {
    struct stat status {};
    if (fstatat(dirfd(listing), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) Die("fstatat");
    ++entries;
  }
  closedir(listing);
  return entries;
}

uint64_t Chmod(const Job& job) {
  return ForEachFile(job, "f", [](const std::string& name) {
    if (chmod(name.c_str(), 0600) != 0) Die(name);
  });
}

uint64_t Rename(const Job& job) {
  for (int i = 0; i < job.files; ++i) {
    if (rename(job.Name("f", i).c_str(), job.Name("g", i).c_str()) != 0) Die(job.Name("f", i));
  }
  return static_cast<uint64_t>(job.files);
}

uint64_t Unlink(const Job& job) {
  return ForEachFile(job, "g", [](const std::string& name) {
    if (unlink(name.c_str()) != 0) Die(name);
  });
}

uint64_t Lock(const std::string& path) {
  const File file(path, O_CREAT | O_RDWR);
  uint64_t pairs = 0;
  for (const auto end = Clock::now() + kLockTime; Clock::now() < end; ++pairs) {
    if (flock(file.fd(), LOCK_EX) != 0 || flock(file.fd(), LOCK_UN) != 0) Die(path);
  }
  return pairs;
}

uint64_t LockOwn(const Job& job) { return Lock(job.Name("lock", 0)); }
uint64_t LockShared(const Job& job) { return Lock(job.folder + "/lock"); }

uint64_t SequentialWrite(const Job& job) {
  const ringfs::Buffer noise = Noise(kRequestBytes);
  const File file(job.Large(), O_CREAT | O_TRUNC | O_WRONLY);
  for (uint64_t done = 0; done < job.bytes; done += kRequestBytes) {
    WriteAll(file.fd(), noise.data(), noise.size());
  }
  if (fsync(file.fd()) != 0) Die("fsync");
  return job.bytes;
}

uint64_t SequentialRead(const Job& job) {
  const ringfs::Buffer into = ringfs::Buffer::Allocate(kRequestBytes);
  const File file(job.Large(), O_RDONLY);
  uint64_t total = 0;
  while (const ssize_t n = read(file.fd(), into.data(), into.size())) {
    if (n < 0) Die("read");
    total += static_cast<uint64_t>(n);
  }
  return total;
}

const std::map<std::string, uint64_t (*)(const Job&)>& Operations() {
  static const std::map<std::string, uint64_t (*)(const Job&)> operations = {
      {"create", Create},         {"write", WriteSmall},
      {"read", ReadSmall},        {"stat", Stat},
      {"list", List},             {"chmod", Chmod},
      {"rename", Rename},         {"unlink", Unlink},
      {"lock-own", LockOwn},      {"lock-shared", LockShared},
      {"sequential-read", SequentialRead}, {"sequential-write", SequentialWrite}};
  return operations;
}

}  // namespace

int main(int argc, char** argv) {
  std::string operation;
  Job job;
  int threads = 1;
  int passes = 1;
  CLI::App app("Does one kind of file work again and again and prints the rate.");
  app.add_option("operation", operation)->required()->check(CLI::IsMember(Operations()));
  app.add_option("folder", job.folder)->required();
  app.add_option("--threads", threads)->check(CLI::Range(1, 1024));
  app.add_option("--files", job.files, "small files of each thread");
  app.add_option("--passes", passes, "how often each thread does it; for what can be done again");
  app.add_option("--bytes", job.bytes, "of the large file of each thread");
  CLI11_PARSE(app, argc, argv);

  const auto work = Operations().at(operation);
  std::atomic<uint64_t> units = 0;
  std::barrier ready(threads + 1);
  std::vector<std::jthread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&, own = job, i]() mutable {
      own.thread = i;
      ready.arrive_and_wait();
      for (int pass = 0; pass < passes; ++pass) units += work(own);
    });
  }
  ready.arrive_and_wait();
  const auto begin = Clock::now();
  workers.clear();
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  std::printf("%llu %.6f\n", static_cast<unsigned long long>(units.load()), seconds.count());
  return EXIT_SUCCESS;
}
