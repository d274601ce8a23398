#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace ringfs {

// A new folder, gone with the object.
class TempDir {
 public:
  TempDir() {
    std::string name = std::filesystem::temp_directory_path() / "ringfs-unit-test.";
    name += std::string(6, 'X');  // the pattern of mkdtemp(3)
    path_ = mkdtemp(name.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace ringfs
