#include "tests/chunkserver/bit_flips.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>

namespace ringfs::chunkserver {
namespace {

namespace fs = std::filesystem;

struct Extent {
  fs::path file;
  off_t offset = 0;
  off_t length = 0;
};

void AddExtents(const fs::path& file, std::vector<Extent>& extents) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  for (off_t at = 0;;) {
    const off_t begin = lseek(fd, at, SEEK_DATA);
    if (begin < 0) break;  // no more
    const off_t end = lseek(fd, begin, SEEK_HOLE);
    if (end <= begin) break;
    extents.push_back(Extent{file, begin, end - begin});
    at = end;
  }
  close(fd);
}

bool FlipOne(const fs::path& file, off_t offset, unsigned bit) {
  const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  unsigned char byte = 0;
  bool done = pread(fd, &byte, 1, offset) == 1;
  byte = static_cast<unsigned char>(byte ^ (1u << bit));
  done = done && pwrite(fd, &byte, 1, offset) == 1;
  close(fd);
  return done;
}

}  // namespace

size_t FlipBits(const fs::path& folder, const std::string& prefix, size_t count,
                std::mt19937_64& random) {
  std::vector<Extent> extents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string below = fs::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && below.starts_with(prefix)) AddExtents(entry.path(), extents);
  }
  uint64_t stored = 0;
  for (const Extent& extent : extents) stored += static_cast<uint64_t>(extent.length);
  size_t flipped = 0;
  while (stored > 0 && flipped < count) {
    auto at = static_cast<off_t>(random() % stored);
    for (const Extent& extent : extents) {
      if (at < extent.length) {
        if (!FlipOne(extent.file, extent.offset + at, random() % 8)) return flipped;
        break;
      }
      at -= extent.length;
    }
    ++flipped;
  }
  return flipped;
}

}  // namespace ringfs::chunkserver
