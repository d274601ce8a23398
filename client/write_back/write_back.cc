#include "client/write_back/write_back.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "client/parallel.h"
#include "client/ranges.h"
#include "client/write_back/held_file.h"
#include "common/log.h"

namespace ringfs::client {
namespace {

// The chunkservers bring to their disks within another second and a half what reached them.
constexpr int64_t kAgeNs = 400 * kNsPerMs;
// How often it is looked what is due; flushes of many small files go together.
constexpr int64_t kTickMs = 100;
constexpr int64_t kRetryNs = kNsPerSecond;
// What is kept of a file beside its bytes, about.
constexpr size_t kFileMemory = 2048;
// Of the bound: when one file, or all together, have so much, it is flushed.
constexpr uint64_t kFileShare = 4;
constexpr uint64_t kTotalShare = 2;
// While something is held back, it is asked so often how much space there is. It is low when it would
// not do for so many times the bound, or is less than a part of all: servers do not fill up evenly.
constexpr int64_t kSpacePeriodNs = 2 * kNsPerSecond;
constexpr uint64_t kBoundsOfSpace = 2;
constexpr uint64_t kLowShare = 16;
// After a server was full.
constexpr int64_t kFullNs = 10 * kNsPerSecond;

uint64_t BytesOf(const DirtyRanges& ranges) {
  uint64_t bytes = 0;
  for (const FilePiece& piece : ranges.All()) bytes += piece.bytes.size();
  return bytes;
}

void ShowOne(const Held& held, wire::Attributes& attributes) {
  if (!held.any) return;
  attributes.set_size(std::max(attributes.size(), held.end));
  held.attributes.Show(attributes);
}

}  // namespace

WriteBack::WriteBack(asio::any_io_executor executor, const Clock& clock, Background& background,
                     Limits limits, WriteBackHooks hooks)
    : executor_(executor),
      clock_(clock),
      background_(background),
      limits_(limits),
      hooks_(std::move(hooks)),
      room_(executor) {}

WriteBack::FilePtr WriteBack::Find(InodeId inode) const {
  const auto found = files_.find(inode);
  return found == files_.end() ? nullptr : found->second;
}

std::vector<InodeId> WriteBack::Inodes() const {
  std::vector<InodeId> inodes;
  for (const auto& [inode, file] : files_) inodes.push_back(inode);
  return inodes;
}

// --- holding back

bool WriteBack::MayHold(const Inode& inode, const Write& write, const wire::Attributes& now) const {
  if (inode.passages > 0 || now.has_cut() || !S_ISREG(now.mode())) return false;
  const uint64_t offset = write.append ? now.size() : write.offset;
  const uint64_t largest = LargestSize(now.block_size());
  return write.bytes.size() <= largest && offset <= largest - write.bytes.size();
}

bool WriteBack::MayRunOutOfSpace() const {
  return space_is_low_ || clock_.MonotonicNs() < full_until_ns_;
}

asio::awaitable<void> WriteBack::LookAtSpace() {
  look_at_space_ns_ = INT64_MAX;
  const auto space = co_await hooks_.space();
  look_at_space_ns_ = clock_.MonotonicNs() + kSpacePeriodNs;
  // Without an answer: what was true last.
  if (!space || space->capacity_bytes() == 0) co_return;
  const uint64_t low = std::max<uint64_t>(limits_.dirty_bytes * kBoundsOfSpace,
                                          space->capacity_bytes() / kLowShare);
  space_is_low_ = space->free_bytes() < low;
}

asio::awaitable<Result<std::optional<uint64_t>>> WriteBack::Hold(std::shared_ptr<Inode> inode,
                                                                 Write write, Deadline deadline) {
  for (;;) {
    const bool may_fail = background_.stopping() || MayRunOutOfSpace();
    const wire::Attributes* owned = may_fail ? nullptr : hooks_.owned(inode->id);
    if (owned == nullptr || !MayHold(*inode, write, *owned)) co_return std::optional<uint64_t>();
    const size_t wanted = write.bytes.size() + kFileMemory;
    if (memory_bytes_ == 0 || memory_bytes_ + wanted <= limits_.dirty_bytes) {
      co_return std::optional<uint64_t>(Keep(inode, write, *owned));
    }
    StartSome();
    if (!co_await room_.WaitFor(deadline.left_ms())) {
      co_return Fail(Errc::kTimedOut,
                     fmt::format("{} bytes wait to be written back", memory_bytes_));
    }
  }
}

uint64_t WriteBack::Keep(const std::shared_ptr<Inode>& inode, const Write& write,
                         wire::Attributes now) {
  const FilePtr file = Make(inode, now);
  Show(*file, now);
  const uint64_t offset = write.append ? now.size() : write.offset;
  Held& held = file->fresh;
  if (!write.bytes.empty()) {
    held.ranges.Put(offset, write.bytes);
    held.end = std::max(held.end, offset + write.bytes.size());
  }
  held.attributes.Wrote(NextStamp(now), write.kill_set_ids);
  Kept(file, now);
  if (file->counted >= limits_.dirty_bytes / kFileShare) Start(file);
  return offset;
}

// What is held of the file; it is about to be more.
WriteBack::FilePtr WriteBack::Make(const std::shared_ptr<Inode>& inode,
                                   const wire::Attributes& now) {
  FilePtr& file = files_[inode->id];
  if (!file) {
    file = std::make_shared<File>(executor_, inode);
    file->told_size = now.size();
    // Nobody has it open: it was not known here by more than its lease.
    if (inode->known.inode() == 0) inode->known = now;
  }
  inode->holds_back = true;
  return file;
}

int64_t WriteBack::NextStamp(const wire::Attributes& now) {
  last_stamp_ns_ =
      std::max({hooks_.now_ns(), now.ctime_ns() + 1, now.mtime_ns() + 1, last_stamp_ns_ + 1});
  return last_stamp_ns_;
}

// Something more is held back.
void WriteBack::Kept(const FilePtr& file, wire::Attributes& now) {
  if (!std::exchange(file->fresh.any, true) && !file->failing) {
    file->due_ns = clock_.MonotonicNs() + kAgeNs;
  }
  Recount(file);
  Show(*file, now);
  hooks_.changed(now);
  if (memory_bytes_ >= limits_.dirty_bytes / kTotalShare) StartSome();
  if (!std::exchange(aging_, true)) background_.Start(Age(), "write back");
}

std::optional<wire::Attributes> WriteBack::HoldAttributes(const std::shared_ptr<Inode>& inode,
                                                          const AttributeChange& change) {
  const wire::Attributes* owned = background_.stopping() ? nullptr : hooks_.owned(inode->id);
  // With an ACL the mode is a part of it.
  if (owned == nullptr || !MayHold(*inode, Write{}, *owned) || owned->has_acl()) return {};
  if (memory_bytes_ != 0 && memory_bytes_ + kFileMemory > limits_.dirty_bytes) return {};
  wire::Attributes now = *owned;
  const FilePtr file = Make(inode, now);
  Show(*file, now);
  file->fresh.attributes.Set(change, now, NextStamp(now));
  Kept(file, now);
  return now;
}

void WriteBack::HoldTimes(const std::shared_ptr<Inode>& inode, const wire::Attributes& now) {
  Keep(inode, Write{}, now);
}

bool WriteBack::HoldsBytes(InodeId inode) const {
  const FilePtr file = Find(inode);
  return file && !(file->fresh.ranges.empty() && file->flushing.ranges.empty());
}

void WriteBack::Recount(const FilePtr& file) {
  const bool empty = !file->fresh.any && !file->flushing.any;
  const size_t now = empty ? 0
                           : kFileMemory + file->fresh.ranges.memory_bytes() +
                                 file->flushing.ranges.memory_bytes();
  memory_bytes_ = memory_bytes_ - file->counted + now;
  if (now < file->counted) room_.NotifyAll();
  file->counted = now;
  if (!empty || file->started || !file->turn.idle()) return;
  file->inode->holds_back = false;
  hooks_.emptied(file->inode);
  files_.erase(file->inode->id);
}

std::vector<FilePiece> WriteBack::Within(InodeId inode, uint64_t offset, uint64_t size) const {
  const FilePtr file = Find(inode);
  if (!file) return {};
  std::vector<FilePiece> older = file->flushing.ranges.Within(offset, size);
  if (older.empty()) return file->fresh.ranges.Within(offset, size);
  DirtyRanges both;
  both.PutUnder(file->fresh.ranges.Within(offset, size));
  both.PutUnder(older);
  return both.All();
}

// --- attributes

void WriteBack::Show(const File& file, wire::Attributes& attributes) const {
  ShowOne(file.flushing, attributes);
  ShowOne(file.fresh, attributes);
}

void WriteBack::Show(wire::Attributes& attributes) const {
  if (const FilePtr file = Find(InodeId{attributes.inode()})) Show(*file, attributes);
}

void WriteBack::Answered(const wire::MetaRequest& request, wire::MetaReply& reply) {
  if (files_.empty()) return;
  if (request.has_set_attributes()) {
    const wire::SetAttributes& set = request.set_attributes();
    if (const FilePtr file = Find(InodeId{set.inode()})) file->fresh.attributes.Told(set);
  }
  if (reply.has_attributes()) Show(*reply.mutable_attributes());
  for (wire::Attributes& changed : *reply.mutable_changed()) Show(changed);
  for (wire::Entry& entry : *reply.mutable_entries()) {
    if (entry.has_attributes()) Show(*entry.mutable_attributes());
  }
}

asio::awaitable<Result<WriteBack::AttributesTurn>> WriteBack::BeginSetAttributes(
    InodeId inode, Deadline deadline) {
  AttributesTurn turn;
  turn.file = Find(inode);
  if (!turn.file) co_return std::move(turn);
  turn.turn = co_await turn.file->turn.Take(1, deadline.left_ms());
  if (!turn.turn) co_return Fail(Errc::kTimedOut, "waited for what was written before");
  co_return std::move(turn);
}

// --- flushing

asio::awaitable<Result<WriteBack::Passage>> WriteBack::Pass(std::shared_ptr<Inode> inode,
                                                            Deadline deadline) {
  Passage passage(inode);
  if (inode->holds_back) {
    auto flushed = co_await Flush(inode->id, deadline);
    if (!flushed) co_return Fail(flushed.error());
  }
  co_return std::move(passage);
}

asio::awaitable<Result<void>> WriteBack::Flush(InodeId inode, Deadline deadline) {
  FilePtr file = Find(inode);
  if (!file) co_return Result<void>();
  co_return co_await FlushFile(std::move(file), Durable::kStored, deadline);
}

asio::awaitable<Result<void>> WriteBack::Sync(InodeId inode, bool data_only, Deadline deadline) {
  FilePtr file = Find(inode);
  if (!file) co_return Result<void>();
  const Durable durable = data_only ? Durable::kBytes : Durable::kAll;
  co_return co_await FlushFile(std::move(file), durable, deadline);
}

asio::awaitable<Result<void>> WriteBack::FlushAll(Deadline deadline) {
  std::vector<asio::awaitable<Result<void>>> flushes;
  for (const auto& [inode, file] : files_) {
    flushes.push_back(FlushFile(file, Durable::kStored, deadline));
  }
  const auto flushed = co_await Parallel(executor_, std::move(flushes));
  for (const Result<void>& one : flushed) {
    if (!one) co_return one;
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> WriteBack::FlushFile(FilePtr file, Durable durable,
                                                   Deadline deadline) {
  std::optional<Limiter::Hold> turn = co_await file->turn.Take(1, deadline.left_ms());
  if (!turn) co_return Fail(Errc::kTimedOut, "waited for what was written before");
  if (file->dropped) co_return Fail(Errc::kFenced, "the session has expired");
  Held& fresh = file->fresh;
  // A recall is not answered while somebody has the turn: a lease that is there now stays.
  const bool bytes_only = durable == Durable::kBytes && fresh.any && fresh.end <= file->told_size && hooks_.owned(file->inode->id) != nullptr;
  if (!fresh.any || (bytes_only && fresh.ranges.empty())) {
    // Whoever had the turn before could not forget it: we were waiting.
    turn.reset();
    Recount(file);
    co_return Result<void>();
  }
  file->flushing = std::exchange(fresh, Held());
  HeldChange change;
  change.pieces = file->flushing.ranges.All();
  change.end = file->flushing.end;
  change.attributes = file->flushing.attributes;
  change.sync = durable != Durable::kStored;
  change.bytes_only = bytes_only;
  Result<void> stored = co_await hooks_.store(file->inode, std::move(change), deadline);
  if (file->dropped) co_return Fail(Errc::kFenced, "the session has expired");
  if (stored.code() == Errc::kStale) {
    // Its last name is gone, and nobody has it open.
    file->fresh = Held();
    stored = Result<void>();
  }
  Settle(*file, stored);
  if (stored && bytes_only) KeepAttributes(*file);
  if (stored) hooks_.stored(file->inode, file->flushing.ranges.All());
  file->flushing = Held();
  turn.reset();
  Recount(file);
  co_return stored;
}

// A flush has ended.
void WriteBack::Settle(File& file, const Result<void>& stored) {
  if (stored) {
    file.failing = false;
    file.told_size = std::max(file.told_size, file.flushing.end);
    return;
  }
  if (MayRetry(stored.code()) || stored.code() == Errc::kFenced ||
      stored.code() == Errc::kTimedOut) {
    if (!std::exchange(file.failing, true)) NoteError(file, stored.error());
    return KeepForLater(file);
  }
  if (stored.code() == Errc::kNoSpace) full_until_ns_ = clock_.MonotonicNs() + kFullNs;
  NoteError(file, stored.error());
  spdlog::error("inode {}: {} bytes that were written are lost: {}", Raw(file.inode->id),
                BytesOf(file.flushing.ranges), stored.error().ToString());
  hooks_.lost(file.inode->id);
}

// The bytes of a flush are stored, its attributes are not.
void WriteBack::KeepAttributes(File& file) {
  Held& fresh = file.fresh;
  if (!std::exchange(fresh.any, true)) file.due_ns = clock_.MonotonicNs() + kAgeNs;
  fresh.attributes.PutUnder(file.flushing.attributes);
}

// What a flush has not brought away goes under what was written since.
void WriteBack::KeepForLater(File& file) {
  Held& fresh = file.fresh;
  fresh.ranges.PutUnder(file.flushing.ranges.All());
  fresh.end = std::max(fresh.end, file.flushing.end);
  fresh.attributes.PutUnder(file.flushing.attributes);
  fresh.any = true;
  file.due_ns = clock_.MonotonicNs() + kRetryNs;
}

void WriteBack::NoteError(File& file, const Error& error) {
  ++file.inode->write_errors;
  file.inode->last_write_error = error;
  spdlog::warn("inode {}: writing back: {}", Raw(file.inode->id), error.ToString());
}

void WriteBack::FlushSoon(InodeId inode) {
  const FilePtr file = Find(inode);
  if (file && !file->failing) file->due_ns = 0;
}

void WriteBack::Start(const FilePtr& file) {
  if (file->failing && file->due_ns > clock_.MonotonicNs()) return;
  if (!file->fresh.any || std::exchange(file->started, true)) return;
  background_.Start(FlushInBackground(file), "flush");
}

asio::awaitable<void> WriteBack::FlushInBackground(FilePtr file) {
  const size_t bytes = file->counted;
  started_bytes_ += bytes;
  // Its error is noted in the inode, and logged.
  (void)co_await FlushFile(file, Durable::kStored, Deadline(clock_, limits_.timeout_ms));
  started_bytes_ -= bytes;
  file->started = false;
  if (!file->dropped) Recount(file);
}

// Makes sure that a good part of what is held back is on its way.
void WriteBack::StartSome() {
  std::vector<FilePtr> some;
  uint64_t bytes = started_bytes_;
  for (auto file = files_.begin();
       file != files_.end() && bytes < limits_.dirty_bytes / kTotalShare; ++file) {
    if (file->second->started || !file->second->fresh.any) continue;
    bytes += file->second->counted;
    some.push_back(file->second);
  }
  for (const FilePtr& file : some) Start(file);
}

asio::awaitable<void> WriteBack::Age() {
  while (!files_.empty() && !background_.stopping()) {
    co_await background_.SleepMs(kTickMs);
    const int64_t now_ns = clock_.MonotonicNs();
    if (now_ns >= look_at_space_ns_) background_.Start(LookAtSpace(), "space");
    std::vector<FilePtr> due;
    for (const auto& [inode, file] : files_) {
      if (!file->fresh.any || file->due_ns <= now_ns) due.push_back(file);
    }
    for (const FilePtr& file : due) {
      Start(file);
      Recount(file);
    }
  }
  aging_ = false;
}

bool WriteBack::Discard(InodeId inode) {
  const FilePtr file = Find(inode);
  if (!file) return true;
  if (file->started || !file->turn.idle()) return false;
  file->fresh = Held();
  Recount(file);
  return true;
}

void WriteBack::Drop() {
  for (const auto& [inode, file] : files_) {
    const uint64_t bytes = BytesOf(file->flushing.ranges) + BytesOf(file->fresh.ranges);
    spdlog::error("inode {}: {} bytes that were written and not stored are lost with the session",
                  Raw(inode), bytes);
    file->dropped = true;
    file->inode->holds_back = false;
    hooks_.lost(inode);
  }
  files_.clear();
  memory_bytes_ = 0;
  room_.NotifyAll();
}

}  // namespace ringfs::client
