#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ringfs::posix {

// errno of a call that returned -1, 0 of any other.
template <typename Returned>
int ErrorOf(Returned returned) {
  return returned == static_cast<Returned>(-1) ? errno : 0;
}

// A descriptor that closes itself.
class File {
 public:
  explicit File(int number) : number_(number) {}
  ~File() { Close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int get() const { return number_; }
  bool ok() const { return number_ >= 0; }
  void Close() {
    if (number_ >= 0) close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

// Who a call is made as.
struct Person {
  uid_t uid = 65'534;
  gid_t gid = 65'534;
  std::vector<gid_t> groups;  // supplementary
};

// Calls `call` in a process of that person's; returns what it returns, a small number such as an
// errno.
int As(const Person& person, const std::function<int()>& call);

struct stat StatOf(const std::string& path);
int64_t Nanoseconds(const timespec& time);
// The whole content.
std::string Content(const std::string& path);
// Makes the file, or replaces its content.
void Fill(const std::string& path, std::string_view content, mode_t mode = 0644);

// Each test works in an empty directory of the filesystem that RINGFS_POSIX_DIR names, removed
// after it. Run as root.
class PosixTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string In(const std::string& name) const { return folder_ + "/" + name; }
  const std::string& folder() const { return folder_; }
  // The same through the other mount, RINGFS_POSIX_OTHER, or through the same if there is none.
  std::string Elsewhere(const std::string& name) const { return elsewhere_ + "/" + name; }

 private:
  std::string folder_;
  std::string elsewhere_;
  mode_t umask_ = 0;
};

}  // namespace ringfs::posix
