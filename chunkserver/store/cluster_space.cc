#include "chunkserver/store/cluster_space.h"

#include <algorithm>
#include <iterator>

namespace ringfs::chunkserver {
namespace {

// The reserve is this part of the disk at most: an eighth.
constexpr uint64_t kReserveShare = 8;
// The disk is asked for its free space once for so much that is allocated.
constexpr uint64_t kBudgetBytes = 64 << 20;
// A run that is long enough is looked for among so many, then what comes first is taken.
constexpr int kMaxLooked = 16;

}  // namespace

bool ClusterSpace::MarkUsed(uint32_t address) {
  if (address >= marked_.size()) {
    marked_.resize(std::max<size_t>(size_t{address} + 1, marked_.size() * 2));
  }
  if (marked_[address]) {
    return false;
  }
  marked_[address] = true;
  end_ = std::max(end_, address + 1);
  ++used_clusters_;
  return true;
}

void ClusterSpace::FinishMarking() {
  uint32_t first = 0;
  for (uint32_t address = 0; address < end_; ++address) {
    if (marked_[address]) {
      if (first < address) {
        sparse_.emplace(first, address - first);
      }
      first = address + 1;
    }
  }
  marked_ = {};
}

Result<std::vector<ClusterRun>> ClusterSpace::Allocate(uint32_t count, bool prefer_reusable) {
  const std::lock_guard lock(mutex_);
  if (Result<void> charged = Charge(uint64_t{count} * kClusterBytes); !charged) {
    return Fail(charged.error());
  }
  std::vector<ClusterRun> taken;
  uint32_t left = count;
  const auto take_reusable = [&] {
    const uint32_t before = left;
    left = TakeFrom(&reusable_, left, &taken);
    reusable_clusters_ -= before - left;
  };
  if (prefer_reusable) {
    take_reusable();
  }
  left = TakeFrom(&sparse_, left, &taken);
  if (const uint32_t fresh = std::min(left, kNoCluster - end_); fresh > 0) {
    taken.push_back({end_, fresh});
    end_ += fresh;
    left -= fresh;
  }
  if (left > 0) {
    take_reusable();
  }
  if (left > 0) {
    for (const ClusterRun& run : taken) {
      Insert(&sparse_, run.first, run.count);
    }
    return Fail(Errc::kNoSpace, disk_.Name() + " has no address left");
  }
  used_clusters_ += count;
  return taken;
}

Result<void> ClusterSpace::Admit(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  return Charge(bytes);
}

void ClusterSpace::Free(std::vector<uint32_t> addresses) {
  std::sort(addresses.begin(), addresses.end());
  const std::lock_guard lock(mutex_);
  for (const uint32_t address : addresses) {
    Insert(&reusable_, address, 1);
  }
  reusable_clusters_ += addresses.size();
  used_clusters_ -= addresses.size();
}

std::vector<ClusterRun> ClusterSpace::TakeExcess(uint64_t keep_bytes) {
  const std::lock_guard lock(mutex_);
  std::vector<ClusterRun> excess;
  const uint64_t keep = keep_bytes / kClusterBytes;
  while (reusable_clusters_ > keep) {
    // The highest addresses go, so that the used ones gather low.
    const auto last = std::prev(reusable_.end());
    const auto count =
        static_cast<uint32_t>(std::min<uint64_t>(last->second, reusable_clusters_ - keep));
    excess.push_back({last->first + last->second - count, count});
    reusable_clusters_ -= count;
    last->second -= count;
    if (last->second == 0) {
      reusable_.erase(last);
    }
  }
  return excess;
}

void ClusterSpace::AddSparse(const std::vector<ClusterRun>& runs) {
  const std::lock_guard lock(mutex_);
  for (const ClusterRun& run : runs) {
    Insert(&sparse_, run.first, run.count);
  }
}

std::vector<ClusterRun> ClusterSpace::SparseRuns() const {
  const std::lock_guard lock(mutex_);
  std::vector<ClusterRun> runs;
  for (const auto& [first, count] : sparse_) {
    runs.push_back({first, count});
  }
  return runs;
}

Result<uint64_t> ClusterSpace::AvailableBytes() const {
  const std::lock_guard lock(mutex_);
  return Available();
}

uint64_t ClusterSpace::used_clusters() const {
  const std::lock_guard lock(mutex_);
  return used_clusters_;
}

uint32_t ClusterSpace::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

void ClusterSpace::Insert(Runs* runs, uint32_t first, uint32_t count) {
  auto next = runs->lower_bound(first);
  if (next != runs->end() && next->first == first + count) {
    count += next->second;
    next = runs->erase(next);
  }
  if (next != runs->begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == first) {
      before->second += count;
      return;
    }
  }
  runs->emplace_hint(next, first, count);
}

uint32_t ClusterSpace::TakeFrom(Runs* runs, uint32_t count, std::vector<ClusterRun>* taken) {
  const auto take = [&](Runs::iterator run, uint32_t size) {
    taken->push_back({run->first, size});
    if (run->second > size) {
      runs->emplace_hint(std::next(run), run->first + size, run->second - size);
    }
    runs->erase(run);
    count -= size;
  };
  int looked = 0;
  for (auto run = runs->begin(); run != runs->end() && looked < kMaxLooked; ++run, ++looked) {
    if (run->second >= count) {
      take(run, count);
      return count;
    }
  }
  while (count > 0 && !runs->empty()) {
    take(runs->begin(), std::min(count, runs->begin()->second));
  }
  return count;
}

Result<void> ClusterSpace::Charge(uint64_t bytes) {
  if (budget_bytes_ < bytes) {
    const Result<uint64_t> available = Available();
    if (!available) {
      return Fail(available.error());
    }
    budget_bytes_ = std::min(*available, kBudgetBytes);
  }
  if (budget_bytes_ < bytes) {
    return Fail(Errc::kNoSpace, disk_.Name() + " is full");
  }
  budget_bytes_ -= bytes;
  return {};
}

Result<uint64_t> ClusterSpace::Available() const {
  const Result<DiskSpace> space = disk_.Space();
  if (!space) {
    return Fail(space.error());
  }
  const uint64_t reserve = std::min(reserve_bytes_, space->total_bytes / kReserveShare);
  const uint64_t free = space->free_bytes + reusable_clusters_ * kClusterBytes;
  return free > reserve ? free - reserve : 0;
}

}  // namespace ringfs::chunkserver
