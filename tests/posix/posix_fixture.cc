#include "posix_fixture.h"

#include <grp.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

namespace ringfs::posix {

int As(const Person& person, const std::function<int()>& call) {
  const pid_t child = fork();
  if (child == 0) {
    const bool changed = setgroups(person.groups.size(), person.groups.data()) == 0 &&
                         setgid(person.gid) == 0 && setuid(person.uid) == 0;
    _exit(changed ? call() : 255);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

struct stat StatOf(const std::string& path) {
  struct stat stat {};
  EXPECT_EQ(ErrorOf(lstat(path.c_str(), &stat)), 0) << path;
  return stat;
}

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

std::string Content(const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY));
  EXPECT_TRUE(file.ok()) << path;
  std::string all;
  char bytes[65536];
  for (ssize_t got = 0; (got = read(file.get(), bytes, sizeof bytes)) > 0;) {
    all.append(bytes, static_cast<size_t>(got));
  }
  return all;
}

void Fill(const std::string& path, std::string_view content, mode_t mode) {
  const File file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode));
  EXPECT_TRUE(file.ok()) << path;
  EXPECT_EQ(write(file.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
}

void PosixTest::SetUp() {
  const char* where = std::getenv("RINGFS_POSIX_DIR");
  ASSERT_NE(where, nullptr) << "RINGFS_POSIX_DIR names no directory to work in";
  ASSERT_EQ(geteuid(), 0u) << "not root";
  const char* other = std::getenv("RINGFS_POSIX_OTHER");
  umask_ = umask(022);
  const std::string name = "/posix-" + std::to_string(getpid());
  folder_ = where + name;
  elsewhere_ = (other != nullptr ? other : where) + name;
  ASSERT_EQ(ErrorOf(mkdir(folder_.c_str(), 0755)), 0);
}

void PosixTest::TearDown() {
  umask(umask_);
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  EXPECT_FALSE(error) << error.message();
}

}  // namespace ringfs::posix
