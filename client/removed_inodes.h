#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>

#include "common/ids.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

// The attributes of what this mount has removed: the master keeps nothing of an inode that has
// neither name nor open handle, but programs may still stand in a directory that they have removed,
// or ask for the attributes of a file that they hold only by O_PATH.
//
// Bounded: the oldest is given up, and is a stale inode from then on.
class RemovedInodes {
 public:
  void Remember(const wire::Attributes& attributes) {
    if (!attributes_.insert_or_assign(attributes.inode(), attributes).second) return;
    order_.push_back(attributes.inode());
    if (order_.size() <= kMost) return;
    attributes_.erase(order_.front());
    order_.pop_front();
  }

  // Null: not removed here, or too long ago. Valid until the next call.
  const wire::Attributes* Find(InodeId inode) const {
    const auto found = attributes_.find(Raw(inode));
    return found != attributes_.end() ? &found->second : nullptr;
  }

 private:
  static constexpr size_t kMost = 16'384;

  std::unordered_map<uint64_t, wire::Attributes> attributes_;
  std::deque<uint64_t> order_;  // oldest first
};

}  // namespace ringfs::client
