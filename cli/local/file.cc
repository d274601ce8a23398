#include "cli/local/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace ringfs::cli {

void Fd::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Failure FailOfSystem(const std::filesystem::path& path, int number) {
  return Fail(ErrcFromErrno(number), path.string() + ": " + std::strerror(number));
}

Result<std::string> ReadSmallFile(const std::filesystem::path& path, size_t limit) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return FailOfSystem(path, errno);
  std::string content(limit, '\0');
  size_t size = 0;
  while (size < limit) {
    const ssize_t got = read(file.get(), content.data() + size, limit - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailOfSystem(path, errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  content.resize(size);
  return content;
}

Result<void> ReplaceFile(const std::filesystem::path& path, const std::string& content) {
  const std::filesystem::path next = path.string() + ".new";
  const Fd file(open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return FailOfSystem(next, errno);
  for (size_t done = 0; done < content.size();) {
    const ssize_t wrote = write(file.get(), content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FailOfSystem(next, errno);
    done += static_cast<size_t>(wrote);
  }
  if (fsync(file.get()) != 0) return FailOfSystem(next, errno);
  if (std::rename(next.c_str(), path.c_str()) != 0) return FailOfSystem(path, errno);
  return {};
}

}  // namespace ringfs::cli
