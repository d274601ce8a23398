#include "fuse/known_paths.h"

#include <functional>
#include <utility>

#include "common/log.h"

namespace ringfs::fuse {
namespace {

constexpr uint64_t kRootNode = 1;
constexpr size_t kPathBytesMax = 4096;

}  // namespace

uint64_t KnownPaths::KeyOf(uint64_t parent, std::string_view name) {
  return std::hash<std::string_view>()(name) ^ (parent * 0x9e3779b97f4a7c15);
}

void KnownPaths::Learn(uint64_t parent, std::string_view name, uint64_t node) {
  if (node == kRootNode || node == 0 || name == "." || name == "..") return;
  const auto known = young_.find(node);
  if (known != young_.end() && known->second.parent == parent && known->second.name == name) return;
  if (young_.size() >= generation_ || young_nodes_.size() >= 2 * generation_) {
    old_ = std::exchange(young_, {});
    old_nodes_ = std::exchange(young_nodes_, {});
  }
  young_[node] = Place{parent, std::string(name)};
  young_nodes_[KeyOf(parent, name)] = node;
}

uint64_t KnownPaths::NodeAt(uint64_t parent, std::string_view name) const {
  for (const Nodes* nodes : {&young_nodes_, &old_nodes_}) {
    const auto found = nodes->find(KeyOf(parent, name));
    if (found == nodes->end()) continue;
    const Place* place = Find(found->second);
    // What has another name by now was moved away.
    if (place != nullptr && place->parent == parent && place->name == name) return found->second;
  }
  return 0;
}

void KnownPaths::Moved(uint64_t parent, const std::string& name, uint64_t new_parent,
                       const std::string& new_name) {
  Learn(new_parent, new_name, NodeAt(parent, name));
}

void KnownPaths::Exchanged(uint64_t parent, const std::string& name, uint64_t new_parent,
                           const std::string& new_name) {
  const uint64_t one = NodeAt(parent, name);
  const uint64_t other = NodeAt(new_parent, new_name);
  Learn(new_parent, new_name, one);
  Learn(parent, name, other);
}

const KnownPaths::Place* KnownPaths::Find(uint64_t node) const {
  for (const Places* places : {&young_, &old_}) {
    const auto found = places->find(node);
    if (found != places->end()) return &found->second;
  }
  return nullptr;
}

std::string KnownPaths::PathOf(uint64_t node) const {
  if (node == kRootNode) return "/";
  std::string path;
  // The bound of the length also ends a circle, which renames seen in part can leave.
  while (node != kRootNode && path.size() < kPathBytesMax) {
    const Place* place = Find(node);
    if (place == nullptr) return path.empty() ? path : "?" + path;
    path.insert(0, "/" + Printable(place->name));
    node = place->parent;
  }
  return node == kRootNode ? path : "?" + path;
}

}  // namespace ringfs::fuse
