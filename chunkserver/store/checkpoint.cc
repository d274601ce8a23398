#include <chrono>
#include <utility>

#include "chunkserver/store/store_core.h"
#include "common/check.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr auto kFlushPeriod = std::chrono::seconds(1);
constexpr int kFlushesPerCheckpoint = 10;

}  // namespace

Result<void> ChunkStore::Core::Checkpoint() {
  const std::lock_guard lock(checkpoint_mutex_);
  // What is frozen should have little left to be written: until it is, nothing new can be.
  if (Result<void> synced = SyncAll(); !synced) {
    return synced;
  }
  if (!frozen_) {
    journal_.Freeze([&] {
      frozen_generation_ = journal_.generation() - 1;
      frozen_ = std::exchange(changes_, Changes{});
    });
  }
  if (Result<void> closed = journal_.CloseFrozen(); !closed) {
    return closed;
  }
  if (Result<void> moved = MoveChanges(*frozen_, frozen_generation_); !moved) {
    return moved;
  }
  const Changes done = std::move(*frozen_);
  frozen_.reset();
  checkpointed_ = frozen_generation_;
  journal_.ReleaseFrozen();
  space_.Free(done.freed);
  Clean(done, frozen_generation_);
  return GiveBackExcess();
}

// After this the index alone tells what the generation has left behind. kNoSpace: nothing is lost,
// and it may be tried again.
Result<void> ChunkStore::Core::MoveChanges(const Changes& changes, uint64_t generation) {
  std::set<SegmentId> segments;
  for (const auto& [entry, state] : changes.blocks) {
    const Result<void> placed = PlacePending(*state, generation, &segments);
    if (!placed && placed.code() == Errc::kNoSpace) {
      return placed;
    }
    if (!placed) {
      journal_.SetFailed(placed.error());
      return CheckHealth();
    }
  }
  if (const Result<void> synced = segments_.Sync(segments); !synced) {
    journal_.SetFailed(synced.error());
    return CheckHealth();
  }
  if (const Result<void> written = WriteIndex(changes, generation); !written) {
    journal_.SetFailed(written.error());
    return CheckHealth();
  }
  return {};
}

// Writes pending units over what their places held: whatever part of it a crash leaves, the records
// that recovery reads write them again.
Result<void> ChunkStore::Core::PlacePending(const BlockState& state, uint64_t generation,
                                            std::set<SegmentId>* segments) {
  std::vector<std::span<const std::byte>> pieces;
  uint64_t start = 0;
  const auto write = [&]() -> Result<void> {
    if (pieces.empty()) {
      return {};
    }
    segments->insert(SegmentOfUnit(start));
    segments->insert(SegmentOfUnit(start + pieces.size() - 1));
    return segments_.Write(start, std::exchange(pieces, {}), false);
  };
  for (const auto& [unit, pending] : state.pending) {
    if (pending.generation != generation) {
      continue;
    }
    const uint64_t address = state.UnitAddress(unit);
    if (address != start + pieces.size()) {
      if (Result<void> written = write(); !written) {
        return written;
      }
    }
    if (pieces.empty()) {
      start = address;
    }
    pieces.push_back(pending.bytes.bytes());
  }
  return write();
}

Result<void> ChunkStore::Core::WriteIndex(const Changes& changes, uint64_t generation) {
  IndexBatch batch(options_.bucket_of);
  for (const auto& [entry, state] : changes.blocks) {
    batch.PutBlock(entry->key, *state);
  }
  for (const auto& [tag, last] : changes.tags) {
    if (last) {
      batch.PutTag(tag, *last);
    } else {
      batch.DeleteTag(tag);
    }
  }
  batch.PutGeneration(generation);
  return index_->Write(batch);
}

// Forgets what memory keeps only for what is in the index now.
void ChunkStore::Core::Clean(const Changes& changes, uint64_t generation) {
  for (const auto& [entry, frozen_state] : changes.blocks) {
    const std::unique_lock lock(entry->lock);
    std::erase_if(entry->state->pending,
                  [&](const auto& item) { return item.second.generation <= generation; });
    if (entry->dirty_generation <= generation) {
      const std::lock_guard listing_lock(listing_mutex_);
      dirty_by_bucket_.erase({{entry->key.pool, options_.bucket_of(entry->key)}, entry->key});
      dirty_by_data_.erase(entry->key);
    }
    table_.Settle(entry, generation);
  }
}

Result<void> ChunkStore::Core::GiveBackExcess() {
  const std::vector<ClusterRun> excess = space_.TakeExcess(options_.reusable_bytes);
  if (const Result<void> punched = segments_.Punch(excess); !punched) {
    // The space is only not given back; the clusters can be used all the same.
    spdlog::warn("store {}: {}", disk_.Name(), punched.error().ToString());
  }
  space_.AddSparse(excess);
  return {};
}

void ChunkStore::Core::StartBackground() {
  background_ = std::thread([this] { RunBackground(); });
}

void ChunkStore::Core::RunBackground() {
  int flushes = 0;
  std::unique_lock lock(background_mutex_);
  while (!stopping_) {
    background_wake_.wait_for(lock, kFlushPeriod, [&] { return stopping_ || checkpoint_wanted_; });
    if (stopping_) {
      break;
    }
    const bool checkpoint = std::exchange(checkpoint_wanted_, false) ||
                            (++flushes >= kFlushesPerCheckpoint && HasChanges());
    lock.unlock();
    const Result<void> done = checkpoint ? Checkpoint() : SyncAll();
    if (!done && done.code() == Errc::kNoSpace) {
      spdlog::warn("store {}: cannot checkpoint: {}", disk_.Name(), done.error().ToString());
    }
    // Any other error has made the store fail, which is logged there.
    flushes = checkpoint ? 0 : flushes;
    lock.lock();
  }
}

}  // namespace ringfs::chunkserver
