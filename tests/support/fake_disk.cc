#include "tests/support/fake_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check.h"

namespace ringfs::chunkserver {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kSectorBytes = 512;

using Page = std::array<std::byte, kPageBytes>;

// Bytes that exist where they were written.
class FileContent {
 public:
  void Read(uint64_t offset, std::span<std::byte> out) const {
    ForEachPage(offset, out.size(), [&](uint64_t page, size_t within, size_t at, size_t size) {
      const auto found = pages_.find(page);
      if (found == pages_.end()) {
        std::memset(out.data() + at, 0, size);
      } else {
        std::memcpy(out.data() + at, found->second.data() + within, size);
      }
    });
  }
  void Write(uint64_t offset, std::span<const std::byte> bytes) {
    ForEachPage(offset, bytes.size(), [&](uint64_t page, size_t within, size_t at, size_t size) {
      std::memcpy(pages_[page].data() + within, bytes.data() + at, size);
    });
  }
  void Punch(uint64_t offset, uint64_t length) {
    pages_.erase(pages_.lower_bound((offset + kPageBytes - 1) / kPageBytes),
                 pages_.lower_bound((offset + length) / kPageBytes));
  }
  void CutTo(uint64_t size) {
    pages_.erase(pages_.lower_bound((size + kPageBytes - 1) / kPageBytes), pages_.end());
    const auto last = pages_.find(size / kPageBytes);
    if (last != pages_.end() && size % kPageBytes != 0) {
      std::fill(last->second.begin() + static_cast<std::ptrdiff_t>(size % kPageBytes),
                last->second.end(), std::byte{0});
    }
  }
  uint64_t pages() const { return pages_.size(); }

 private:
  template <typename Visit>
  static void ForEachPage(uint64_t offset, size_t size, Visit visit) {
    for (size_t at = 0; at < size;) {
      const size_t within = (offset + at) % kPageBytes;
      const size_t part = std::min<size_t>(size - at, kPageBytes - within);
      visit((offset + at) / kPageBytes, within, at, part);
      at += part;
    }
  }

  std::map<uint64_t, Page> pages_;
};

// A change of a file that no sync has made durable.
struct FileChange {
  enum class Kind { kWrite, kPunch, kSize } kind = Kind::kWrite;
  uint64_t offset = 0;  // or the size
  uint64_t length = 0;
  std::vector<std::byte> bytes;
};

struct File {
  FileContent now;
  FileContent durable;
  uint64_t size = 0;
  uint64_t durable_size = 0;
  std::vector<FileChange> unsynced;
  bool unreadable = false;
};

using FilePtr = std::shared_ptr<File>;

struct NameChange {
  std::string folder;
  std::string name;
  FilePtr file;          // null: removed
  std::string old_name;  // of a rename, goes with it
};

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

Failure NoPower() { return Fail(Errc::kIo, "the power is off"); }

void Apply(const NameChange& change, std::map<std::string, FilePtr>* names) {
  if (!change.old_name.empty()) {
    names->erase(change.old_name);
  }
  if (change.file) {
    (*names)[change.name] = change.file;
  } else {
    names->erase(change.name);
  }
}

// What a power cut leaves of the unsynced changes of one file.
class Tearing {
 public:
  Tearing(std::mt19937_64* random, File* file) : random_(*random), file_(*file) {}

  void Apply(const FileChange& change) {
    switch (change.kind) {
      case FileChange::Kind::kWrite:
        if (change.offset == file_.durable_size) {
          ApplyAppend(change);
        } else if (!cut_ || change.offset < file_.durable_size) {
          ApplySectors(change);
        }
        break;
      case FileChange::Kind::kPunch:
        if (Kept()) {
          file_.durable.Punch(change.offset, change.length);
        }
        break;
      case FileChange::Kind::kSize:
        if (Kept()) {
          file_.durable.CutTo(change.offset);
          file_.durable_size = change.offset;
        }
        break;
    }
  }

 private:
  bool Kept() { return (random_() & 1) != 0; }

  // Bytes after the end are there up to some point: a file grows only over what is written, as with
  // ext4 in ordered mode and XFS.
  void ApplyAppend(const FileChange& change) {
    const uint64_t kept = cut_ ? 0 : Kept() ? change.length : random_() % (change.length + 1);
    file_.durable.Write(change.offset, std::span(change.bytes).first(kept));
    file_.durable_size += kept;
    cut_ = cut_ || kept < change.length;
  }

  void ApplySectors(const FileChange& change) {
    for (uint64_t at = 0; at < change.length;) {
      const uint64_t offset = change.offset + at;
      const uint64_t size = std::min(change.length - at, kSectorBytes - offset % kSectorBytes);
      if (Kept()) {
        file_.durable.Write(offset, std::span(change.bytes).subspan(at, size));
        file_.durable_size = std::max(file_.durable_size, offset + size);
      }
      at += size;
    }
  }

  std::mt19937_64& random_;
  File& file_;
  bool cut_ = false;  // the file ends in the middle of what was appended
};

}  // namespace

struct FakeDisk::Platter {
  mutable std::mutex mutex;
  std::map<std::string, FilePtr> names;
  std::map<std::string, FilePtr> durable_names;
  std::vector<NameChange> unsynced_names;
  std::set<std::string> folders;
  std::optional<uint64_t> cut_after;
  bool off = false;
  bool locked = false;
  bool fail_syncs = false;
  bool fail_writes = false;
  bool nothing_cached = false;
  uint64_t capacity = 0;
  std::function<void(const std::string&)> hook;
  uint64_t changes = 0;
  uint64_t syncs = 0;
  uint64_t written = 0;

  // Counts a change. False when the power is off; `*half` is set for the one in which it fails.
  bool Count(bool* half) {
    *half = false;
    if (off) {
      return false;
    }
    ++changes;
    if (cut_after && (*cut_after)-- == 0) {
      off = true;
      *half = true;
    }
    return true;
  }
  bool Count() {
    bool half = false;
    return Count(&half) && !half;
  }
  uint64_t UsedPages() const {
    uint64_t pages = 0;
    for (const auto& [name, file] : names) {
      pages += file->now.pages();
    }
    return pages;
  }
};

namespace {

class FakeFile final : public DiskFile {
 public:
  FakeFile(std::shared_ptr<FakeDisk::Platter> platter, FilePtr file, std::string path)
      : platter_(std::move(platter)), file_(std::move(file)), path_(std::move(path)) {}

  Result<size_t> Read(uint64_t offset, std::span<std::byte> out, Patience patience) override {
    const std::lock_guard lock(platter_->mutex);
    if (patience == Patience::kNow && platter_->nothing_cached) {
      return Fail(Errc::kWouldBlock);
    }
    if (platter_->off) {
      return NoPower();
    }
    if (file_->unreadable) {
      return Fail(Errc::kIo, "a bad sector");
    }
    const uint64_t left = offset < file_->size ? file_->size - offset : 0;
    const size_t size = std::min<uint64_t>(out.size(), left);
    file_->now.Read(offset, out.first(size));
    return size;
  }

  Result<void> Write(uint64_t offset, std::span<const std::span<const std::byte>> pieces) override {
    CallHook();
    const std::lock_guard lock(platter_->mutex);
    bool half = false;
    if (!platter_->Count(&half)) {
      return NoPower();
    }
    if (platter_->fail_writes) {
      return Fail(Errc::kIo, "a failed write");
    }
    FileChange change{FileChange::Kind::kWrite, offset, 0, {}};
    for (const std::span<const std::byte> piece : pieces) {
      change.bytes.insert(change.bytes.end(), piece.begin(), piece.end());
    }
    change.length = change.bytes.size();
    if (platter_->UsedPages() * kPageBytes + change.length > platter_->capacity) {
      return Fail(Errc::kNoSpace, "the disk is full");
    }
    file_->now.Write(offset, change.bytes);
    file_->size = std::max(file_->size, offset + change.length);
    platter_->written += change.length;
    file_->unsynced.push_back(std::move(change));
    return half ? Result<void>(NoPower()) : Result<void>();
  }

  Result<void> Sync() override {
    CallHook();
    const std::lock_guard lock(platter_->mutex);
    if (!platter_->Count()) {
      return NoPower();
    }
    ++platter_->syncs;
    if (platter_->fail_syncs) {
      return Fail(Errc::kIo, "a failed sync");
    }
    // As a copy of `now` would, but in time that goes with what has changed.
    for (const FileChange& change : file_->unsynced) {
      if (change.kind == FileChange::Kind::kWrite) {
        file_->durable.Write(change.offset, change.bytes);
      } else if (change.kind == FileChange::Kind::kPunch) {
        file_->durable.Punch(change.offset, change.length);
      } else {
        file_->durable.CutTo(change.offset);
      }
    }
    file_->unsynced.clear();
    file_->durable_size = file_->size;
    return {};
  }

  void StartWriteback(uint64_t, uint64_t) override {}

  Result<void> PunchHole(uint64_t offset, uint64_t length) override {
    const std::lock_guard lock(platter_->mutex);
    if (!platter_->Count()) {
      return NoPower();
    }
    file_->now.Punch(offset, length);
    file_->unsynced.push_back({FileChange::Kind::kPunch, offset, length, {}});
    return {};
  }

  Result<void> SetSize(uint64_t size) override {
    const std::lock_guard lock(platter_->mutex);
    if (!platter_->Count()) {
      return NoPower();
    }
    file_->now.CutTo(size);
    file_->size = size;
    file_->unsynced.push_back({FileChange::Kind::kSize, size, 0, {}});
    return {};
  }

  Result<uint64_t> Size() override {
    const std::lock_guard lock(platter_->mutex);
    return file_->size;
  }

 private:
  void CallHook() {
    std::function<void(const std::string&)> hook;
    {
      const std::lock_guard lock(platter_->mutex);
      hook = platter_->hook;
    }
    if (hook) {
      hook(path_);
    }
  }

  std::shared_ptr<FakeDisk::Platter> platter_;
  FilePtr file_;
  std::string path_;
};

}  // namespace

FakeDisk::FakeDisk(uint64_t capacity_bytes) : platter_(std::make_shared<Platter>()) {
  platter_->capacity = capacity_bytes;
}

FakeDisk::FakeDisk(std::shared_ptr<Platter> platter) : platter_(std::move(platter)) {}

FakeDisk::~FakeDisk() {
  const std::lock_guard lock(platter_->mutex);
  if (locked_) {
    platter_->locked = false;
  }
}

void FakeDisk::CutPowerAfter(uint64_t count) {
  const std::lock_guard lock(platter_->mutex);
  platter_->cut_after = count;
}

void FakeDisk::OnChange(std::function<void(const std::string& path)> hook) {
  const std::lock_guard lock(platter_->mutex);
  platter_->hook = std::move(hook);
}

bool FakeDisk::power_is_off() const {
  const std::lock_guard lock(platter_->mutex);
  return platter_->off;
}

uint64_t FakeDisk::changes() const {
  const std::lock_guard lock(platter_->mutex);
  return platter_->changes;
}

void FakeDisk::Crash(PowerCut how, uint64_t seed) {
  const std::lock_guard lock(platter_->mutex);
  std::mt19937_64 random(seed);
  size_t kept_names = 0;
  if (how == PowerCut::kKeep) {
    kept_names = platter_->unsynced_names.size();
  } else if (how == PowerCut::kTear) {
    kept_names = random() % (platter_->unsynced_names.size() + 1);
  }
  for (size_t i = 0; i < kept_names; ++i) {
    Apply(platter_->unsynced_names[i], &platter_->durable_names);
  }
  platter_->unsynced_names.clear();
  platter_->names = platter_->durable_names;
  for (auto& [name, old] : platter_->names) {
    // A file that a call of before the crash still holds is not the one that is found afterwards.
    const FilePtr file = std::make_shared<File>(*old);
    if (how == PowerCut::kKeep) {
      file->durable = file->now;
      file->durable_size = file->size;
    } else if (how == PowerCut::kTear) {
      Tearing tearing(&random, file.get());
      for (const FileChange& change : file->unsynced) {
        tearing.Apply(change);
      }
    }
    file->unsynced.clear();
    file->now = file->durable;
    file->size = file->durable_size;
    old = file;
  }
  platter_->durable_names = platter_->names;
  platter_->off = false;
  platter_->cut_after.reset();
  platter_->locked = false;
}

void FakeDisk::FailSyncs(bool fail) {
  const std::lock_guard lock(platter_->mutex);
  platter_->fail_syncs = fail;
}

void FakeDisk::FailWrites(bool fail) {
  const std::lock_guard lock(platter_->mutex);
  platter_->fail_writes = fail;
}

void FakeDisk::CacheNothing(bool nothing) {
  const std::lock_guard lock(platter_->mutex);
  platter_->nothing_cached = nothing;
}

void FakeDisk::FailReads(const std::string& path, bool fail) {
  const std::lock_guard lock(platter_->mutex);
  platter_->names.at(path)->unreadable = fail;
}

void FakeDisk::FlipBit(const std::string& path, uint64_t offset, int bit) {
  const std::lock_guard lock(platter_->mutex);
  File& file = *platter_->names.at(path);
  for (FileContent* content : {&file.now, &file.durable}) {
    std::array<std::byte, 1> byte;
    content->Read(offset, byte);
    byte[0] ^= std::byte{1} << bit;
    content->Write(offset, byte);
  }
}

void FakeDisk::SetCapacity(uint64_t bytes) {
  const std::lock_guard lock(platter_->mutex);
  platter_->capacity = bytes;
}

uint64_t FakeDisk::syncs() const {
  const std::lock_guard lock(platter_->mutex);
  return platter_->syncs;
}

uint64_t FakeDisk::written() const {
  const std::lock_guard lock(platter_->mutex);
  return platter_->written;
}

Result<std::unique_ptr<DiskFile>> FakeDisk::Open(const std::string& path, OpenMode mode) {
  const std::lock_guard lock(platter_->mutex);
  if (platter_->off) {
    return NoPower();
  }
  auto found = platter_->names.find(path);
  const bool missing = found == platter_->names.end();
  if (missing && (mode == OpenMode::kRead || mode == OpenMode::kWrite)) {
    return Fail(Errc::kNotFound, path);
  }
  const std::string folder = FolderOf(path);
  if (missing && !folder.empty() && !platter_->folders.contains(folder)) {
    return Fail(Errc::kNotFound, folder);
  }
  if (missing) {
    if (!platter_->Count()) {
      return NoPower();
    }
    found = platter_->names.emplace(path, std::make_shared<File>()).first;
    platter_->unsynced_names.push_back({folder, path, found->second, ""});
  } else if (mode == OpenMode::kTruncate) {
    if (!platter_->Count()) {
      return NoPower();
    }
    found->second->now.CutTo(0);
    found->second->size = 0;
    found->second->unsynced.push_back({FileChange::Kind::kSize, 0, 0, {}});
  }
  return std::unique_ptr<DiskFile>(std::make_unique<FakeFile>(platter_, found->second, path));
}

// Folders are there at once and for good: they are made only once in a store's life.
Result<void> FakeDisk::MakeFolder(const std::string& path) {
  const std::lock_guard lock(platter_->mutex);
  if (!platter_->Count()) {
    return NoPower();
  }
  platter_->folders.insert(path);
  return {};
}

Result<void> FakeDisk::Remove(const std::string& path) {
  const std::lock_guard lock(platter_->mutex);
  if (!platter_->Count()) {
    return NoPower();
  }
  if (platter_->names.erase(path) == 0) {
    return Fail(Errc::kNotFound, path);
  }
  platter_->unsynced_names.push_back({FolderOf(path), path, nullptr, ""});
  return {};
}

Result<void> FakeDisk::Rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(platter_->mutex);
  if (!platter_->Count()) {
    return NoPower();
  }
  const auto found = platter_->names.find(from);
  if (found == platter_->names.end()) {
    return Fail(Errc::kNotFound, from);
  }
  const FilePtr file = found->second;
  platter_->names.erase(found);
  platter_->names[to] = file;
  platter_->unsynced_names.push_back({FolderOf(to), to, file, from});
  return {};
}

Result<std::vector<std::string>> FakeDisk::List(const std::string& folder) {
  const std::lock_guard lock(platter_->mutex);
  if (platter_->off) {
    return NoPower();
  }
  if (!folder.empty() && !platter_->folders.contains(folder)) {
    return Fail(Errc::kNotFound, folder);
  }
  std::vector<std::string> names;
  for (const auto& [path, file] : platter_->names) {
    if (FolderOf(path) == folder) {
      names.push_back(folder.empty() ? path : path.substr(folder.size() + 1));
    }
  }
  return names;
}

Result<bool> FakeDisk::Exists(const std::string& path) {
  const std::lock_guard lock(platter_->mutex);
  if (platter_->off) {
    return NoPower();
  }
  return platter_->names.contains(path) || platter_->folders.contains(path);
}

Result<void> FakeDisk::SyncFolder(const std::string& folder) {
  const std::lock_guard lock(platter_->mutex);
  if (!platter_->Count()) {
    return NoPower();
  }
  std::vector<NameChange> left;
  for (NameChange& change : platter_->unsynced_names) {
    if (change.folder == folder) {
      Apply(change, &platter_->durable_names);
    } else {
      left.push_back(std::move(change));
    }
  }
  platter_->unsynced_names = std::move(left);
  return {};
}

Result<DiskSpace> FakeDisk::Space() {
  const std::lock_guard lock(platter_->mutex);
  if (platter_->off) {
    return NoPower();
  }
  const uint64_t used = platter_->UsedPages() * kPageBytes;
  return DiskSpace{platter_->capacity, platter_->capacity > used ? platter_->capacity - used : 0};
}

Result<void> FakeDisk::Lock() {
  const std::lock_guard lock(platter_->mutex);
  if (platter_->locked && !locked_) {
    return Fail(Errc::kBusy, "fake is in use");
  }
  platter_->locked = true;
  locked_ = true;
  return {};
}

}  // namespace ringfs::chunkserver
