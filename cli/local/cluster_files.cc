#include "cli/local/cluster_files.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "common/log.h"
#include "common/rpc/address.h"

namespace ringfs::cli {
namespace {

constexpr uint64_t kVersion = 1;
constexpr size_t kStateBytesMax = 64 << 10;

Failure Corrupted(const std::string& what) {
  return Fail(Errc::kCorrupted, "cluster.json: " + what);
}

bool IsAddress(const std::string& text) {
  return text.empty() || static_cast<bool>(rpc::ParseHostPort(text));
}

// By their numbers, from 1.
nlohmann::ordered_json Removed(const ClusterState& state) {
  auto removed = nlohmann::ordered_json::array();
  for (size_t i = 0; i < state.chunkservers.size(); ++i) {
    if (state.chunkservers[i].removed) removed.push_back(i + 1);
  }
  return removed;
}

Result<void> ReadChunkservers(const nlohmann::json& json, ClusterState& state) {
  const auto chunkservers = json.find("chunkservers");
  if (chunkservers == json.end() || !chunkservers->is_array() || chunkservers->empty() ||
      chunkservers->size() > kChunkserversEver) {
    return Corrupted("no chunkservers");
  }
  for (const auto& address : *chunkservers) {
    if (!address.is_string() || !IsAddress(address.get<std::string>())) {
      return Corrupted("a chunkserver is not HOST:PORT");
    }
    state.chunkservers.push_back({address.get<std::string>()});
  }
  return {};
}

Result<void> ReadRemoved(const nlohmann::json& json, ClusterState& state) {
  const auto removed = json.find("removed");
  if (removed == json.end()) return {};  // of a version that did not know it
  const Failure wrong = Corrupted("removed is not a list of chunkservers");
  if (!removed->is_array()) return wrong;
  for (const auto& number : *removed) {
    if (!number.is_number_unsigned()) return wrong;
    const auto index = number.get<uint64_t>() - 1;
    if (index >= state.chunkservers.size()) return wrong;
    state.chunkservers[index].removed = true;
  }
  return {};
}

}  // namespace

uint32_t ClusterState::members() const {
  return static_cast<uint32_t>(std::count_if(chunkservers.begin(), chunkservers.end(),
                                             [](const auto& server) { return !server.removed; }));
}

std::string ToText(const ClusterState& state) {
  nlohmann::ordered_json json;
  json["version"] = kVersion;
  json["replicas"] = state.replicas;
  json["mountpoint"] = state.mountpoint;
  json["master"] = state.master;
  json["chunkservers"] = nlohmann::ordered_json::array();
  for (const auto& server : state.chunkservers) json["chunkservers"].push_back(server.address);
  json["removed"] = Removed(state);
  // A mountpoint is bytes; what is not UTF-8 is not kept exactly, and then just does not match.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<ClusterState> ParseClusterState(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Corrupted("it is not a JSON object");
  const auto version = json.find("version");
  if (version == json.end() || !version->is_number_unsigned()) return Corrupted("no version");
  if (*version != kVersion) {
    return Fail(Errc::kVersion, "cluster.json: version " + version->dump() + " is not known here");
  }
  ClusterState state;
  const auto replicas = json.find("replicas");
  if (replicas == json.end() || !replicas->is_number_unsigned()) return Corrupted("no replicas");
  state.replicas = static_cast<uint32_t>(std::min<uint64_t>(replicas->get<uint64_t>(), UINT32_MAX));
  for (const auto& [name, field] :
       {std::pair{"mountpoint", &state.mountpoint}, std::pair{"master", &state.master}}) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_string()) return Corrupted(std::string("no ") + name);
    *field = found->get<std::string>();
  }
  if (!IsAddress(state.master)) return Corrupted("master is not HOST:PORT");
  Result<void> read = ReadChunkservers(json, state);
  if (read) read = ReadRemoved(json, state);
  if (!read) return Fail(read.error());
  if (state.members() > kChunkserversMax) return Corrupted("too many chunkservers");
  return state;
}

Result<void> ClusterFiles::Create() const {
  for (const char* folder : {"", "run", "logs"}) {
    std::error_code error;
    std::filesystem::create_directories(data_ / folder, error);
    if (error) return FailOfSystem(data_ / folder, error.value());
  }
  return {};
}

Result<ClusterState> ClusterFiles::Load() const {
  const auto text = ReadSmallFile(data_ / "cluster.json", kStateBytesMax);
  if (!text) return Fail(text.error());
  auto state = ParseClusterState(*text);
  if (!state) return Fail(state.code(), data_.string() + "/" + state.error().detail);
  return state;
}

Result<void> ClusterFiles::Save(const ClusterState& state) const {
  return ReplaceFile(data_ / "cluster.json", ToText(state));
}

Result<Fd> ClusterFiles::Lock(const std::function<void()>& when_waiting) const {
  const std::filesystem::path path = data_ / "lock";
  Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return FailOfSystem(path, errno);
  if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
  if (errno != EWOULDBLOCK) return FailOfSystem(path, errno);
  when_waiting();
  while (flock(file.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return FailOfSystem(path, errno);
  }
  return file;
}

std::filesystem::path DefaultData(const std::string& mountpoint) {
  std::string name =
      mountpoint.substr(std::min(mountpoint.find_first_not_of('/'), mountpoint.size()));
  std::replace(name.begin(), name.end(), '/', '-');
  return std::filesystem::path("/var/lib/ringfs") / (name.empty() ? "root" : name);
}

Result<std::filesystem::path> DataFolder(const std::string& given, const std::string& mountpoint) {
  std::error_code error;
  std::filesystem::path data = DefaultData(mountpoint);
  if (!given.empty()) data = std::filesystem::weakly_canonical(given, error);
  if (error) return FailOfSystem(given, error.value());
  if (std::filesystem::exists(data, error) && !std::filesystem::is_directory(data, error)) {
    return Fail(Errc::kNotDirectory, Printable(data.string()) + " is not a directory");
  }
  return data;
}

std::string ChunkserverName(size_t index) { return "chunkserver-" + std::to_string(index + 1); }

}  // namespace ringfs::cli
