#include "cli/mount_table.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/rpc/address.h"

namespace ringfs::cli {
namespace {

// Blanks, tabs, newlines and backslashes are written as three octal digits.
std::string Unescape(std::string_view text) {
  std::string bytes;
  auto is_octal = [&](size_t i) { return text[i] >= '0' && text[i] <= '7'; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(i + 1) && is_octal(i + 2) &&
        is_octal(i + 3)) {
      bytes += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      bytes += text[i];
    }
  }
  return bytes;
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find(separator, start), text.size());
    if (end > start) parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

std::optional<MountEntry> ParseLine(std::string_view line) {
  constexpr size_t kRoot = 3;
  constexpr size_t kMountpoint = 4;
  constexpr size_t kFixed = 6;  // then optional fields up to a "-"
  const std::vector<std::string> fields = Split(line, ' ');
  size_t dash = kFixed;
  while (dash < fields.size() && fields[dash] != "-") ++dash;
  if (dash + 2 >= fields.size()) return std::nullopt;
  MountEntry entry;
  entry.root = Unescape(fields[kRoot]);
  entry.mountpoint = Unescape(fields[kMountpoint]);
  entry.type = Unescape(fields[dash + 1]);
  entry.source = Unescape(fields[dash + 2]);
  return entry;
}

// Whether `path` is `folder` or lies in it; then what follows, without a slash in front.
std::optional<std::string> Below(const std::string& folder, const std::string& path) {
  if (path == folder) return "";
  const std::string prefix = folder.ends_with('/') ? folder : folder + "/";
  if (!path.starts_with(prefix)) return std::nullopt;
  return path.substr(prefix.size());
}

void AppendPath(std::string& path, std::string_view more) {
  while (more.starts_with('/')) more.remove_prefix(1);
  if (more.empty()) return;
  if (!path.ends_with('/')) path += '/';
  path += more;
}

}  // namespace

std::vector<MountEntry> ParseMountTable(std::string_view text) {
  std::vector<MountEntry> entries;
  for (const std::string& line : Split(text, '\n')) {
    if (auto entry = ParseLine(line)) entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<std::vector<MountEntry>> ReadMountTable() {
  std::ifstream in("/proc/self/mountinfo");
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return Fail(Errc::kIo, "/proc/self/mountinfo cannot be read");
  return ParseMountTable(text.str());
}

const MountEntry* MountOf(const std::vector<MountEntry>& mounts, const std::string& path) {
  const MountEntry* found = nullptr;
  for (const MountEntry& entry : mounts) {
    if (!Below(entry.mountpoint, path)) continue;
    // Of several at one place the last is on top.
    if (found == nullptr || entry.mountpoint.size() >= found->mountpoint.size()) found = &entry;
  }
  return found;
}

const MountEntry* MountAt(const std::vector<MountEntry>& mounts, const std::string& mountpoint) {
  const MountEntry* found = MountOf(mounts, mountpoint);
  return found != nullptr && found->mountpoint == mountpoint ? found : nullptr;
}

Result<MountSource> ParseMountSource(const std::string& source) {
  MountSource parsed;
  const size_t slash = source.find(":/");
  if (slash != std::string::npos) {
    parsed.subdirectory = source.substr(slash + 2);
    while (parsed.subdirectory.starts_with('/')) parsed.subdirectory.erase(0, 1);
    while (parsed.subdirectory.ends_with('/')) parsed.subdirectory.pop_back();
  }
  parsed.masters = Split(source.substr(0, slash), ',');
  for (const std::string& master : parsed.masters) {
    if (!rpc::ParseHostPort(master)) {
      return Fail(Errc::kInvalid, "'" + master + "' is not HOST:PORT of a master");
    }
  }
  if (parsed.masters.empty()) return Fail(Errc::kInvalid, "'" + source + "' names no master");
  return parsed;
}

std::string AbsolutePath(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  // A dead mount answers nothing: then the path is taken as it is written.
  fs::path absolute = fs::weakly_canonical(path, error);
  if (error) absolute = fs::absolute(path, error).lexically_normal();
  std::string text = absolute;
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

std::optional<std::string> PathInFilesystem(const std::vector<MountEntry>& mounts,
                                            const std::string& path) {
  const MountEntry* mount = MountOf(mounts, path);
  if (mount == nullptr || !mount->is_ringfs()) return std::nullopt;
  const auto source = ParseMountSource(mount->source);
  if (!source) return std::nullopt;
  std::string inside = "/";
  AppendPath(inside, source->subdirectory);
  AppendPath(inside, mount->root);  // of a bind mount: a directory
  AppendPath(inside, *Below(mount->mountpoint, path));
  return inside;
}

}  // namespace ringfs::cli
