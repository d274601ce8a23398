#include "tests/chunkserver/bit_flips.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace ringfs::chunkserver {
namespace {

namespace fs = std::filesystem;

constexpr off_t kPageBytes = 4096;

struct Page {
  fs::path file;
  off_t offset = 0;
  off_t length = 0;  // less than a page at the end of a file
};

void AddPages(const fs::path& file, std::vector<Page>& pages) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  std::array<char, kPageBytes> bytes{};
  for (off_t at = lseek(fd, 0, SEEK_DATA); at >= 0;) {
    const ssize_t size = pread(fd, bytes.data(), bytes.size(), at);
    if (size <= 0) break;
    if (std::any_of(bytes.begin(), bytes.begin() + size, [](char c) { return c != 0; })) {
      pages.push_back(Page{file, at, static_cast<off_t>(size)});
    }
    at = lseek(fd, at + kPageBytes, SEEK_DATA);  // -1: no more
    at -= at > 0 ? at % kPageBytes : 0;
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
  std::vector<Page> pages;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string below = fs::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && below.starts_with(prefix)) AddPages(entry.path(), pages);
  }
  size_t flipped = 0;
  while (!pages.empty() && flipped < count) {
    const Page& page = pages[random() % pages.size()];
    const off_t at = page.offset + static_cast<off_t>(random() % static_cast<size_t>(page.length));
    if (!FlipOne(page.file, at, random() % 8)) break;
    ++flipped;
  }
  return flipped;
}

}  // namespace ringfs::chunkserver
