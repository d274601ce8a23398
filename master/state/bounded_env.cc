#include "master/state/bounded_env.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringfs::master {
namespace {

leveldb::Status StatusOf(const std::string& name, int number) {
  if (number == ENOENT) return leveldb::Status::NotFound(name, std::strerror(number));
  return leveldb::Status::IOError(name, std::strerror(number));
}

constexpr size_t kBufferBytes = 64 << 10;  // of a log, as LevelDB's own files have
constexpr int64_t kAllocateBytes = 4 << 20;

class TableFile final : public leveldb::RandomAccessFile {
 public:
  TableFile(std::string name, int number) : name_(std::move(name)), number_(number) {}
  ~TableFile() override { close(number_); }

  // Fewer than `size` bytes only at the end of the file.
  leveldb::Status Read(uint64_t offset, size_t size, leveldb::Slice* result,
                       char* scratch) const override {
    size_t got = 0;
    while (got < size) {
      const ssize_t more =
          pread(number_, scratch + got, size - got, static_cast<off_t>(offset + got));
      if (more < 0 && errno == EINTR) continue;
      if (more < 0) return StatusOf(name_, errno);
      if (more == 0) break;
      got += static_cast<size_t>(more);
    }
    *result = leveldb::Slice(scratch, got);
    return leveldb::Status::OK();
  }

 private:
  std::string name_;
  int number_;
};

// What is appended reaches the file with Flush(), Sync() or when the buffer is full. After an error
// LevelDB writes no more to it. Threads: one at a time, as LevelDB does it.
class Log final : public leveldb::WritableFile {
 public:
  Log(std::string name, int number) : name_(std::move(name)), number_(number) {}
  ~Log() override {
    if (number_ >= 0) static_cast<void>(Close());
  }

  leveldb::Status Append(const leveldb::Slice& data) override {
    buffer_.append(data.data(), data.size());
    return buffer_.size() < kBufferBytes ? leveldb::Status::OK() : Flush();
  }

  leveldb::Status Flush() override {
    Allocate(written_ + buffer_.size());
    size_t done = 0;
    while (done < buffer_.size()) {
      const ssize_t more = pwrite(number_, buffer_.data() + done, buffer_.size() - done,
                                  static_cast<off_t>(written_));
      if (more < 0 && errno == EINTR) continue;
      if (more < 0) {
        const leveldb::Status status = StatusOf(name_, errno);
        buffer_.erase(0, done);
        return status;
      }
      done += static_cast<size_t>(more);
      written_ += static_cast<uint64_t>(more);
    }
    buffer_.clear();
    return leveldb::Status::OK();
  }

  leveldb::Status Sync() override {
    const leveldb::Status flushed = Flush();
    if (!flushed.ok()) return flushed;
    return fdatasync(number_) == 0 ? flushed : StatusOf(name_, errno);
  }

  leveldb::Status Close() override {
    leveldb::Status status = Flush();
    const bool cut =
        allocated_ <= written_ || ftruncate(number_, static_cast<off_t>(written_)) == 0;
    if (!cut && status.ok()) status = StatusOf(name_, errno);
    if (close(number_) != 0 && status.ok()) status = StatusOf(name_, errno);
    number_ = -1;
    return status;
  }

 private:
  void Allocate(uint64_t end) {
    while (allocates_ && allocated_ < end) {
      // Where that cannot be done, the write makes room itself, or says why not.
      allocates_ = fallocate(number_, 0, static_cast<off_t>(allocated_), kAllocateBytes) == 0;
      if (allocates_) allocated_ += kAllocateBytes;
    }
  }

  const std::string name_;
  int number_;
  std::string buffer_;
  uint64_t written_ = 0;
  uint64_t allocated_ = 0;
  bool allocates_ = true;
};

}  // namespace

leveldb::Status BoundedEnv::NewRandomAccessFile(const std::string& name,
                                                leveldb::RandomAccessFile** file) {
  const int number = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0) return StatusOf(name, errno);
  *file = new TableFile(name, number);
  return leveldb::Status::OK();
}

leveldb::Status BoundedEnv::NewWritableFile(const std::string& name,
                                            leveldb::WritableFile** file) {
  if (!name.ends_with(".log")) return EnvWrapper::NewWritableFile(name, file);
  const int number = open(name.c_str(), O_TRUNC | O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (number < 0) return StatusOf(name, errno);
  *file = new Log(name, number);
  return leveldb::Status::OK();
}

}  // namespace ringfs::master
