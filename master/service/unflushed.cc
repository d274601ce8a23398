#include "master/service/unflushed.h"

#include <algorithm>

namespace ringfs::master {

void Unflushed::Add(uint64_t number, SessionId told, const std::vector<InodeId>& touched) {
  newest_[told] = number;
  for (const InodeId inode : touched) {
    Mark& mark = marks_[inode];
    if (mark.told != told) {
      mark.others = std::max(mark.others, mark.newest);
      mark.told = told;
    }
    mark.newest = number;
    by_number_.emplace_back(number, inode);
  }
}

void Unflushed::Flushed(uint64_t number) {
  while (!by_number_.empty() && by_number_.front().first <= number) {
    const auto mark = marks_.find(by_number_.front().second);
    if (mark != marks_.end() && mark->second.newest <= number) marks_.erase(mark);
    by_number_.pop_front();
  }
  std::erase_if(newest_, [number](const auto& one) { return one.second <= number; });
  if (of_all_ <= number) of_all_ = 0;
}

uint64_t Unflushed::NeededFor(SessionId session, const std::vector<InodeId>& inodes) const {
  uint64_t needed = of_all_;
  for (const InodeId inode : inodes) {
    const auto mark = marks_.find(inode);
    if (mark == marks_.end()) continue;
    const bool own = mark->second.told == session && session != SessionId{0};
    needed = std::max(needed, own ? mark->second.others : mark->second.newest);
  }
  return needed;
}

uint64_t Unflushed::NeededForAll(SessionId session) const {
  uint64_t needed = of_all_;
  for (const auto& [told, newest] : newest_) {
    if (told != session || told == SessionId{0}) needed = std::max(needed, newest);
  }
  return needed;
}

}  // namespace ringfs::master
