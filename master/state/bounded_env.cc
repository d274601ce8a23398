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

}  // namespace

leveldb::Status BoundedEnv::NewRandomAccessFile(const std::string& name,
                                                leveldb::RandomAccessFile** file) {
  const int number = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0) return StatusOf(name, errno);
  *file = new TableFile(name, number);
  return leveldb::Status::OK();
}

}  // namespace ringfs::master
