#include <algorithm>
#include <utility>

#include "chunkserver/store/change_plan.h"
#include "chunkserver/store/store_core.h"
#include "chunkserver/store/update_record.h"

namespace ringfs::chunkserver {

struct ChunkStore::Core::Room {
  Room(Journal& owner, uint64_t size) : journal(owner), bytes(size) {}
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  ~Room() {
    if (bytes > 0) {
      journal.Unreserve(bytes);
    }
  }
  uint64_t Use() { return std::exchange(bytes, 0); }

  Journal& journal;
  uint64_t bytes;
};

Result<void> ChunkStore::Core::Apply(const BlockChange& change, Patience patience) {
  if (Result<void> good = CheckChange(change); !good) {
    return good;
  }
  Result<void> applied = ApplyOnce(change, patience);
  if (!applied && applied.code() == Errc::kNoSpace && HasFreed()) {
    if (patience == Patience::kNow) {
      return Fail(Errc::kWouldBlock);
    }
    // Space that blocks have left is free for others only after a checkpoint.
    if (Result<void> moved = Checkpoint(); !moved) {
      return moved;
    }
    applied = ApplyOnce(change, patience);
  }
  return applied;
}

Result<void> ChunkStore::Core::ApplyOnce(const BlockChange& change, Patience patience) {
  if (patience == Patience::kNow && WritesDirect(change, options_.small_write_bytes)) {
    return Fail(Errc::kWouldBlock);
  }
  const uint64_t bytes = JournalRoom(change, options_.small_write_bytes);
  if (Result<void> made = MakeRoom(bytes, patience); !made) {
    return made;
  }
  Room room(journal_, bytes);
  const BlockEntryPtr entry = table_.Get(change.key);
  const auto lock = LockForChange(entry, patience);
  if (!lock) {
    return Fail(lock.error());
  }
  const BlockState& state = *entry->state;
  const bool newer = change.kind == ChangeKind::kReplace || change.version > state.version;
  if (!newer || (change.expected && *change.expected != state.version)) {
    return Fail(Errc::kVersionMismatch, "the block has version " +
                                            std::to_string(state.version.bucket_version) + "." +
                                            std::to_string(state.version.counter));
  }
  Result<ChangePlan> plan =
      PlanChange(change, state, options_.small_write_bytes, segments_, space_, patience);
  if (!plan) {
    return Fail(plan.error());
  }
  std::set<SegmentId> segments;
  if (Result<void> written = WriteDirect(*plan, &segments); !written) {
    space_.Free(std::move(plan->allocated));
    return written;
  }
  Commit(entry, plan->update, segments, room.Use());
  table_.Settle(entry, checkpointed_);
  return {};
}

// Takes the entry's lock alone, with its state loaded.
Result<std::unique_lock<std::shared_mutex>> ChunkStore::Core::LockForChange(
    const BlockEntryPtr& entry, Patience patience) {
  std::unique_lock lock(entry->lock, std::defer_lock);
  if (patience == Patience::kWait) {
    lock.lock();
  } else if (!lock.try_lock()) {
    return Fail(Errc::kWouldBlock);
  }
  if (Result<void> loaded = Load(*entry, patience); !loaded) {
    return Fail(loaded.error());
  }
  return lock;
}

Result<void> ChunkStore::Core::MakeRoom(uint64_t bytes, Patience patience) {
  if (Result<void> health = CheckHealth(); !health) {
    return health;
  }
  while (!journal_.Reserve(bytes)) {
    if (patience == Patience::kNow) {
      return Fail(Errc::kWouldBlock);
    }
    if (Result<void> moved = Checkpoint(); !moved) {
      return moved;
    }
  }
  if (options_.background && journal_.HalfFull()) {
    const std::lock_guard lock(background_mutex_);
    checkpoint_wanted_ = true;
    background_wake_.notify_one();
  }
  return {};
}

Result<void> ChunkStore::Core::WriteDirect(const ChangePlan& plan, std::set<SegmentId>* segments) {
  for (const DirectWrite& write : plan.writes) {
    const Result<void> written = segments_.Write(write.unit_address, write.pieces, true);
    if (!written && written.code() != Errc::kNoSpace) {
      journal_.SetFailed(written.error());
      return CheckHealth();
    }
    if (!written) {
      return written;
    }
    segments->insert(SegmentOfUnit(write.unit_address));
    segments->insert(SegmentOfUnit(write.unit_address + write.units - 1));
  }
  return {};
}

void ChunkStore::Core::Commit(const BlockEntryPtr& entry, const BlockUpdate& update,
                              const std::set<SegmentId>& segments, uint64_t room) {
  JournalRecord record{EncodeUpdate(update), update.journaled, 0};
  const std::lock_guard lock(journal_.mutex());
  const uint64_t generation = journal_.generation();
  BlockState& state = MutableState(entry, generation);
  NoteEffect(update, ApplyUpdate(update, generation, &state));
  NoteTags(update);
  const bool bulk = !segments.empty() || !journal_.BulkIsDurable(entry->bulk_lsn);
  const uint64_t lsn = journal_.Append(std::move(record), bulk, segments, room);
  (bulk ? entry->bulk_lsn : entry->small_lsn) = lsn;
}

BlockState& ChunkStore::Core::MutableState(const BlockEntryPtr& entry, uint64_t generation) {
  if (entry->state->generation != generation) {
    // The checkpoint may be reading the old one.
    entry->state = std::make_shared<BlockState>(*entry->state);
    entry->state->generation = generation;
    entry->dirty_generation = generation;
    changes_.blocks.emplace_back(entry, entry->state);
    const std::lock_guard lock(listing_mutex_);
    const BucketKey bucket(entry->key.pool, options_.bucket_of(entry->key));
    dirty_by_bucket_.emplace(bucket, entry->key);
    dirty_by_data_.insert(entry->key);
  }
  return *entry->state;
}

void ChunkStore::Core::NoteEffect(const BlockUpdate& update, const UpdateEffect& effect) {
  changes_.freed.insert(changes_.freed.end(), effect.freed.begin(), effect.freed.end());
  stored_units_ += effect.units;
  blocks_ += effect.blocks;
  if (effect.blocks != 0) {
    highest_data_ = std::max<uint64_t>(highest_data_, Raw(update.key.data));
    const std::lock_guard lock(listing_mutex_);
    const BucketKey bucket(update.key.pool, options_.bucket_of(update.key));
    uint64_t& count = bucket_blocks_[bucket];
    count += static_cast<uint64_t>(effect.blocks);
    if (count == 0) {
      bucket_blocks_.erase(bucket);
    }
  }
}

void ChunkStore::Core::NoteTags(const BlockUpdate& update) {
  for (auto at = tags_.begin(); update.replaces && at != tags_.end();) {
    if (at->second.key != update.key) {
      ++at;
      continue;
    }
    changes_.tags[at->first] = std::nullopt;
    at = tags_.erase(at);
  }
  for (const TagRecord& record : update.copied_tags) {
    NoteTag(record.tag, LastWrite{record.tag.sequence, update.key, record.version});
  }
  if (update.tag) {
    NoteTag(*update.tag, LastWrite{update.tag->sequence, update.key, update.version});
  }
}

void ChunkStore::Core::NoteTag(const WriteTag& tag, const LastWrite& last) {
  const TagKey key(tag.session, tag.channel);
  const auto [found, made] = tags_.try_emplace(key, last);
  if (!made && found->second.sequence > last.sequence) {
    return;
  }
  found->second = last;
  changes_.tags[key] = last;
}

void ChunkStore::Core::NoteDropTags(SessionId session) {
  const auto begin = tags_.lower_bound({session, 0});
  auto end = begin;
  for (; end != tags_.end() && end->first.first == session; ++end) {
    changes_.tags[end->first] = std::nullopt;
  }
  tags_.erase(begin, end);
}

Result<void> ChunkStore::Core::Remove(const BlockKey& key) {
  BlockUpdate update;
  update.key = key;
  update.remove = true;
  const uint64_t bytes = Journal::RoomFor(MaxUpdateBytes(0, 0), 0);
  if (Result<void> made = MakeRoom(bytes, Patience::kWait); !made) {
    return made;
  }
  Room room(journal_, bytes);
  const BlockEntryPtr entry = table_.Get(key);
  const auto lock = LockForChange(entry, Patience::kWait);
  if (!lock) {
    return Fail(lock.error());
  }
  if (entry->state->present) {
    Commit(entry, update, {}, room.Use());
  }
  table_.Settle(entry, checkpointed_);
  return {};
}

Result<void> ChunkStore::Core::DropTags(SessionId session) {
  JournalRecord record{EncodeDropTags(session), {}, 0};
  const uint64_t bytes = Journal::RoomFor(record.bytes.size(), 0);
  if (Result<void> made = MakeRoom(bytes, Patience::kWait); !made) {
    return made;
  }
  const std::lock_guard lock(journal_.mutex());
  NoteDropTags(session);
  // In the queue of the bulk records, so that it comes after all that have a tag of the session.
  journal_.Append(std::move(record), true, {}, bytes);
  return {};
}

}  // namespace ringfs::chunkserver
