#include "chunkserver/store/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/clock.h"

namespace ringfs::chunkserver {
namespace {

constexpr size_t kMaxPiecesPerCall = 256;

Failure Errno(const std::string& what, const std::string& path) {
  const int number = errno;
  return Fail(ErrcFromErrno(number), what + " " + path + ": " + std::strerror(number));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile final : public DiskFile {
 public:
  PosixFile(Descriptor fd, std::string path, const DiskFigures& figures)
      : fd_(std::move(fd)), path_(std::move(path)), figures_(figures) {}

  Result<size_t> Read(uint64_t offset, std::span<std::byte> out, Patience patience) override {
    const int flags = patience == Patience::kNow ? RWF_NOWAIT : 0;
    size_t done = 0;
    while (done < out.size()) {
      const iovec rest{out.data() + done, out.size() - done};
      const ssize_t n = ::preadv2(fd_.get(), &rest, 1, static_cast<off_t>(offset + done), flags);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      // Not every filesystem can tell beforehand whether it would wait.
      if (n < 0 && flags != 0 && (errno == EAGAIN || errno == EOPNOTSUPP)) {
        return Fail(Errc::kWouldBlock);
      }
      if (n < 0) {
        return Errno("reading", path_);
      }
      if (n == 0) {
        break;
      }
      done += static_cast<size_t>(n);
    }
    return done;
  }

  Result<void> Write(uint64_t offset, std::span<const std::span<const std::byte>> pieces) override {
    std::array<iovec, kMaxPiecesPerCall> vec;
    size_t next = 0;     // the first piece that is not written whole
    size_t skipped = 0;  // bytes of it that are written
    while (next < pieces.size()) {
      const size_t count = std::min(pieces.size() - next, vec.size());
      for (size_t i = 0; i < count; ++i) {
        const std::span<const std::byte> piece = pieces[next + i].subspan(i == 0 ? skipped : 0);
        vec[i] = {const_cast<std::byte*>(piece.data()), piece.size()};
      }
      const ssize_t n =
          ::pwritev(fd_.get(), vec.data(), static_cast<int>(count), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0) {
        return Errno("writing", path_);
      }
      offset += static_cast<uint64_t>(n);
      skipped += static_cast<size_t>(n);
      while (next < pieces.size() && skipped >= pieces[next].size()) {
        skipped -= pieces[next].size();
        ++next;
      }
    }
    return {};
  }

  Result<void> Sync() override {
    const int64_t began_ns = SystemClock().MonotonicNs();
    const int status = ::fdatasync(fd_.get());
    if (figures_.sync_seconds != nullptr) {
      figures_.sync_seconds->Observe(SystemClock().MonotonicNs() - began_ns);
    }
    if (status != 0) {
      // Whatever the kernel calls it, what was written is in doubt: EIO for the caller.
      return Fail(Errc::kIo, "syncing " + path_ + ": " + std::strerror(errno));
    }
    return {};
  }

  void StartWriteback(uint64_t offset, uint64_t length) override {
    // Only a hint: an error shows at the next Sync.
    (void)::sync_file_range(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length),
                            SYNC_FILE_RANGE_WRITE);
  }

  Result<void> PunchHole(uint64_t offset, uint64_t length) override {
    if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
      return Errno("punching a hole into", path_);
    }
    return {};
  }

  Result<void> SetSize(uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      return Errno("setting the size of", path_);
    }
    return {};
  }

  Result<uint64_t> Size() override {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) {
      return Errno("looking at", path_);
    }
    return static_cast<uint64_t>(status.st_size);
  }

 private:
  Descriptor fd_;
  std::string path_;
  const DiskFigures figures_;
};

int FlagsOf(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT;
    case OpenMode::kTruncate:
      return O_RDWR | O_CREAT | O_TRUNC;
  }
  return O_RDONLY;
}

class PosixDisk final : public Disk {
 public:
  PosixDisk(Descriptor folder, std::string path, const DiskFigures& figures)
      : folder_(std::move(folder)), path_(std::move(path)), figures_(figures) {}

  Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) override {
    Descriptor fd(::openat(folder_.get(), path.c_str(), FlagsOf(mode) | O_CLOEXEC, 0600));
    if (fd.get() < 0) {
      return Errno("opening", Full(path));
    }
    return std::unique_ptr<DiskFile>(
        std::make_unique<PosixFile>(std::move(fd), Full(path), figures_));
  }

  Result<void> MakeFolder(const std::string& path) override {
    if (::mkdirat(folder_.get(), path.c_str(), 0700) != 0 && errno != EEXIST) {
      return Errno("making", Full(path));
    }
    return {};
  }

  Result<void> Remove(const std::string& path) override {
    if (::unlinkat(folder_.get(), path.c_str(), 0) != 0) {
      return Errno("removing", Full(path));
    }
    return {};
  }

  Result<void> Rename(const std::string& from, const std::string& to) override {
    if (::renameat(folder_.get(), from.c_str(), folder_.get(), to.c_str()) != 0) {
      return Errno("renaming", Full(from));
    }
    return {};
  }

  Result<std::vector<std::string>> List(const std::string& folder) override {
    const int fd = OpenFolder(folder);
    DIR* listing = fd < 0 ? nullptr : ::fdopendir(fd);
    if (listing == nullptr) {
      const Failure failure = Errno("listing", Full(folder));
      if (fd >= 0) {
        ::close(fd);
      }
      return failure;
    }
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(listing)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") {
        names.push_back(name);
      }
    }
    ::closedir(listing);
    return names;
  }

  Result<bool> Exists(const std::string& path) override {
    if (::faccessat(folder_.get(), path.c_str(), F_OK, 0) == 0) {
      return true;
    }
    if (errno == ENOENT) {
      return false;
    }
    return Errno("looking for", Full(path));
  }

  Result<void> SyncFolder(const std::string& folder) override {
    const Descriptor fd(OpenFolder(folder));
    if (fd.get() < 0 || ::fsync(fd.get()) != 0) {
      return Fail(Errc::kIo, "syncing " + Full(folder) + ": " + std::strerror(errno));
    }
    return {};
  }

  Result<DiskSpace> Space() override {
    struct statvfs status {};
    if (::fstatvfs(folder_.get(), &status) != 0) {
      return Errno("asking for the space of", path_);
    }
    return DiskSpace{uint64_t{status.f_blocks} * status.f_frsize,
                     uint64_t{status.f_bavail} * status.f_frsize};
  }

  Result<void> Lock() override {
    if (::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0) {
      return {};
    }
    if (errno == EWOULDBLOCK) {
      return Fail(Errc::kBusy, path_ + " is in use by another process");
    }
    return Errno("locking", path_);
  }

  std::string Name() const override { return path_; }

 private:
  std::string Full(const std::string& path) const { return path_ + "/" + path; }
  int OpenFolder(const std::string& folder) const {
    return ::openat(folder_.get(), folder.empty() ? "." : folder.c_str(),
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }

  Descriptor folder_;
  std::string path_;
  const DiskFigures figures_;
};

}  // namespace

Result<std::unique_ptr<Disk>> OpenPosixDisk(const std::string& path, const DiskFigures& figures) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Errno("making", path);
  }
  Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) {
    return Errno("opening", path);
  }
  return std::unique_ptr<Disk>(std::make_unique<PosixDisk>(std::move(folder), path, figures));
}

}  // namespace ringfs::chunkserver
