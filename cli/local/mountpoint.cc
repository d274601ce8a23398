#include "cli/local/mountpoint.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "cli/local/file.h"
#include "common/dead_mount.h"

namespace ringfs::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNameMax = 64;

bool LiesIn(const std::string& mountpoint, const fs::path& link) {
  std::error_code error;
  const std::string target = fs::read_symlink(link, error);
  if (error) return false;  // not ours to see, or it has ended
  return target == mountpoint || target.starts_with(mountpoint + "/");
}

bool Uses(const fs::path& process, const std::string& mountpoint) {
  for (const char* link : {"cwd", "root", "exe"}) {
    if (LiesIn(mountpoint, process / link)) return true;
  }
  for (const char* folder : {"fd", "map_files"}) {
    std::error_code error;
    fs::directory_iterator entry(process / folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      if (LiesIn(mountpoint, entry->path())) return true;
    }
  }
  return false;
}

}  // namespace

std::string ResolveMountpoint(const std::string& mountpoint) {
  std::error_code error;
  fs::path path = fs::absolute(mountpoint, error).lexically_normal();
  if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
  const auto mounts = ReadMountTable();
  if (mounts && MountAt(*mounts, path) != nullptr) return path;
  struct stat stat {};
  if (lstat(path.c_str(), &stat) == 0 && S_ISLNK(stat.st_mode)) {
    const fs::path target = fs::read_symlink(path, error);
    if (!error) path = (path.parent_path() / target).lexically_normal();
  }
  const fs::path parent = fs::weakly_canonical(path.parent_path(), error);
  if (error || !path.has_relative_path()) return path;
  return parent / path.filename();
}

Result<std::optional<MountEntry>> RingfsAt(const std::string& mountpoint) {
  const auto mounts = ReadMountTable();
  if (!mounts) return Fail(mounts.error());
  const MountEntry* entry = MountAt(*mounts, mountpoint);
  if (entry == nullptr || !entry->is_ringfs()) return std::optional<MountEntry>();
  return std::optional(*entry);
}

bool MountAnswers(const std::string& mountpoint) {
  struct stat stat {};
  return !IsDeadMount(mountpoint) && ::stat(mountpoint.c_str(), &stat) == 0;
}

std::vector<MountUser> UsersOf(const std::string& mountpoint) {
  std::vector<MountUser> users;
  std::error_code error;
  fs::directory_iterator entry("/proc", error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string number = entry->path().filename();
    MountUser user;
    const char* end = number.data() + number.size();
    if (std::from_chars(number.data(), end, user.pid).ptr != end || user.pid == getpid()) continue;
    if (!Uses(entry->path(), mountpoint)) continue;
    if (auto name = ReadSmallFile(entry->path() / "comm", kNameMax)) {
      user.name = name->substr(0, name->find('\n'));
    }
    users.push_back(std::move(user));
  }
  return users;
}

Result<void> Unmount(const std::string& mountpoint, Unmounting how) {
  const int flags = UMOUNT_NOFOLLOW | (how == Unmounting::kLazy ? MNT_DETACH : 0);
  if (umount2(mountpoint.c_str(), flags) == 0) return {};
  return FailOfSystem(mountpoint, errno);
}

}  // namespace ringfs::cli
