#include "cli/target.h"

#include <set>

namespace ringfs::cli {
namespace {

Result<std::vector<std::string>> MastersOf(const std::string& source) {
  auto parsed = ParseMountSource(source);
  if (!parsed) return Fail(parsed.error());
  return parsed->masters;
}

}  // namespace

Result<std::vector<std::string>> FindMasters(const Hints& hints,
                                             const std::vector<MountEntry>& mounts) {
  if (!hints.flag.empty()) return MastersOf(hints.flag);
  if (!hints.environment.empty()) {
    auto masters = MastersOf(hints.environment);
    if (!masters) return Fail(masters.code(), "RINGFS_MASTER: " + masters.error().detail);
    return masters;
  }
  for (const std::string& place : {hints.file, hints.directory}) {
    if (place.empty()) continue;
    const MountEntry* mount = MountOf(mounts, place);
    if (mount != nullptr && mount->is_ringfs()) return MastersOf(mount->source);
  }
  // A cluster that is mounted at several places is one all the same.
  std::set<std::vector<std::string>> mounted;
  for (const MountEntry& mount : mounts) {
    if (!mount.is_ringfs()) continue;
    if (auto masters = MastersOf(mount.source)) mounted.insert(*masters);
  }
  if (mounted.size() == 1) return *mounted.begin();
  return Fail(Errc::kNotFound, std::string(mounted.empty() ? "no ringfs is mounted here"
                                                           : "several clusters are mounted here") +
                                   ": say which with --master HOST:PORT (or in RINGFS_MASTER)");
}

}  // namespace ringfs::cli
