#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace ringfs::fuse {

// Under which names the kernel found its inodes, to tell people where an error was. A guess: another
// machine may have renamed the file since.
//
// Bounded: two generations of `generation` names each; what was not looked up for that long is
// forgotten.
class KnownPaths {
 public:
  explicit KnownPaths(size_t generation = 16'384) : generation_(generation) {}

  // Numbers are the kernel's: 1 is the root of the mount.
  void Learn(uint64_t parent, std::string_view name, uint64_t node);
  void Moved(uint64_t parent, const std::string& name, uint64_t new_parent,
             const std::string& new_name);
  void Exchanged(uint64_t parent, const std::string& name, uint64_t new_parent,
                 const std::string& new_name);

  // "/folder/file", printable; "?/file" when a folder above is not known; empty: nothing is known.
  std::string PathOf(uint64_t node) const;

 private:
  struct Place {
    uint64_t parent = 0;
    std::string name;
  };
  using Places = std::unordered_map<uint64_t, Place>;
  using Nodes = std::unordered_map<uint64_t, uint64_t>;  // by hash of parent and name

  static uint64_t KeyOf(uint64_t parent, std::string_view name);
  const Place* Find(uint64_t node) const;
  // 0: not known.
  uint64_t NodeAt(uint64_t parent, std::string_view name) const;

  size_t generation_;
  Places young_, old_;
  Nodes young_nodes_, old_nodes_;
};

}  // namespace ringfs::fuse
