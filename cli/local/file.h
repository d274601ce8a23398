#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>

#include "common/result.h"

namespace ringfs::cli {

// A file descriptor; -1 is none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { Close(); }

  void Close();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// The file's first `limit` bytes. kNotFound: there is none.
Result<std::string> ReadSmallFile(const std::filesystem::path& path, size_t limit);

// The file has the old content or the new, whatever happens in between.
Result<void> ReplaceFile(const std::filesystem::path& path, const std::string& content);

// An Error for errno: "PATH: what the system says".
Failure FailOfSystem(const std::filesystem::path& path, int number);

}  // namespace ringfs::cli
