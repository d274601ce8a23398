#include "chunkserver/store/segment_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>

namespace ringfs::chunkserver {
namespace {

constexpr char kFolder[] = "data";
constexpr size_t kMaxOpen = 64;
constexpr uint64_t kUnitsPerSegment = uint64_t{kClustersPerSegment} * kUnitsPerCluster;
constexpr uint64_t kSegmentBytes = kUnitsPerSegment * kChecksumUnit;

std::string PathOf(SegmentId segment) { return fmt::format("{}/{:08x}", kFolder, segment); }

uint64_t OffsetInSegment(uint64_t unit_address) {
  return unit_address % kUnitsPerSegment * kChecksumUnit;
}

// Takes the first `size` bytes of `pieces` out of it.
std::vector<std::span<const std::byte>> TakeFront(std::vector<std::span<const std::byte>>* pieces,
                                                  uint64_t size) {
  std::vector<std::span<const std::byte>> front;
  size_t whole = 0;
  while (whole < pieces->size() && size > 0) {
    std::span<const std::byte>& piece = (*pieces)[whole];
    const size_t part = std::min<uint64_t>(piece.size(), size);
    front.push_back(piece.first(part));
    piece = piece.subspan(part);
    size -= part;
    whole += piece.empty() ? 1 : 0;
  }
  pieces->erase(pieces->begin(), pieces->begin() + static_cast<std::ptrdiff_t>(whole));
  return front;
}

}  // namespace

Result<void> SegmentFiles::MakeFolder() {
  if (Result<void> made = disk_.MakeFolder(kFolder); !made) {
    return made;
  }
  return disk_.SyncFolder("");
}

Result<void> SegmentFiles::Read(uint64_t unit_address, std::span<std::byte> out,
                                Patience patience) {
  while (!out.empty()) {
    const uint64_t offset = OffsetInSegment(unit_address);
    const size_t part = std::min<uint64_t>(out.size(), kSegmentBytes - offset);
    const SegmentId segment = SegmentOfUnit(unit_address);
    const Result<std::shared_ptr<DiskFile>> file = Open(segment, false, patience);
    if (!file && file.code() == Errc::kNotFound) {
      return Fail(Errc::kCorrupted, disk_.Name() + "/" + PathOf(segment) + " is missing");
    }
    if (!file) {
      return Fail(file.error());
    }
    const Result<size_t> size = (*file)->Read(offset, out.first(part), patience);
    // A sector that cannot be read is as one that reads wrong: another copy has the bytes.
    if (!size && size.code() == Errc::kIo) {
      return Fail(Errc::kCorrupted, size.error().detail);
    }
    if (!size) {
      return Fail(size.error());
    }
    if (*size < part) {
      return Fail(Errc::kCorrupted, disk_.Name() + "/" + PathOf(segment) + " ends too early");
    }
    out = out.subspan(part);
    unit_address += part / kChecksumUnit;
  }
  return {};
}

Result<void> SegmentFiles::Write(uint64_t unit_address,
                                 std::vector<std::span<const std::byte>> pieces,
                                 bool start_writeback) {
  while (!pieces.empty()) {
    const uint64_t offset = OffsetInSegment(unit_address);
    const Result<std::shared_ptr<DiskFile>> file = 
        Open(SegmentOfUnit(unit_address), true, Patience::kWait);
    if (!file) {
      return Fail(file.error());
    }
    const std::vector<std::span<const std::byte>> front =
        TakeFront(&pieces, kSegmentBytes - offset);
    uint64_t size = 0;
    for (const std::span<const std::byte> piece : front) {
      size += piece.size();
    }
    if (Result<void> written = (*file)->Write(offset, front); !written) {
      return written;
    }
    if (start_writeback) {
      (*file)->StartWriteback(offset, size);
    }
    unit_address += size / kChecksumUnit;
  }
  return {};
}

Result<void> SegmentFiles::Sync(const std::set<SegmentId>& segments) {
  for (const SegmentId segment : segments) {
    const Result<std::shared_ptr<DiskFile>> file = Open(segment, true, Patience::kWait);
    if (!file) {
      return Fail(file.error());
    }
    if (Result<void> synced = (*file)->Sync(); !synced) {
      return synced;
    }
  }
  return {};
}

Result<uint32_t> SegmentFiles::EndCluster() {
  const Result<std::vector<std::string>> names = disk_.List(kFolder);
  if (!names) {
    return Fail(names.error());
  }
  uint32_t end = 0;
  for (const std::string& name : *names) {
    SegmentId segment = 0;
    const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), segment, 16);
    if (error != std::errc() || rest != name.data() + name.size() ||
        segment >= kNoCluster / kClustersPerSegment) {
      return Fail(Errc::kCorrupted,
                  disk_.Name() + "/data has a file that is none of ours: " + name);
    }
    end = std::max(end, (segment + 1) * kClustersPerSegment);
  }
  return end;
}

Result<void> SegmentFiles::Punch(const std::vector<ClusterRun>& runs) {
  for (ClusterRun run : runs) {
    while (run.count > 0) {
      const uint32_t within = run.first % kClustersPerSegment;
      const uint32_t part = std::min(run.count, kClustersPerSegment - within);
      const Result<std::shared_ptr<DiskFile>> file = 
          Open(run.first / kClustersPerSegment, true, Patience::kWait);
      if (!file) {
        return Fail(file.error());
      }
      if (Result<void> punched =
              (*file)->PunchHole(uint64_t{within} * kClusterBytes, uint64_t{part} * kClusterBytes);
          !punched) {
        return punched;
      }
      run.first += part;
      run.count -= part;
    }
  }
  return {};
}

Result<std::shared_ptr<DiskFile>> SegmentFiles::Open(SegmentId segment, bool create,
                                                       Patience patience) {
  std::unique_lock lock(mutex_, std::defer_lock);
  if (patience == Patience::kWait) {
    lock.lock();
  } else if (!lock.try_lock()) {
    return Fail(Errc::kWouldBlock);
  }
  if (const auto found = open_.find(segment); found != open_.end()) {
    uses_.splice(uses_.begin(), uses_, found->second.use);
    return found->second.file;
  }
  if (patience == Patience::kNow) {
    return Fail(Errc::kWouldBlock);
  }
  Result<std::shared_ptr<DiskFile>> file = OpenOnDisk(segment, create);
  if (!file) {
    return file;
  }
  uses_.push_front(segment);
  open_.emplace(segment, OpenFile{*file, uses_.begin()});
  if (open_.size() > kMaxOpen) {
    open_.erase(uses_.back());
    uses_.pop_back();
  }
  return file;
}

Result<std::shared_ptr<DiskFile>> SegmentFiles::OpenOnDisk(SegmentId segment, bool create) {
  Result<std::unique_ptr<DiskFile>> file = disk_.Open(PathOf(segment), OpenMode::kWrite);
  if (file) {
    return std::shared_ptr<DiskFile>(std::move(*file));
  }
  if (!create || file.code() != Errc::kNotFound) {
    return Fail(file.error());
  }
  file = disk_.Open(PathOf(segment), OpenMode::kCreate);
  if (!file) {
    return Fail(file.error());
  }
  if (Result<void> sized = (*file)->SetSize(kSegmentBytes); !sized) {
    return Fail(sized.error());
  }
  // A record may name the file as soon as its bytes are synced: its name must be there by then.
  if (Result<void> synced = disk_.SyncFolder(kFolder); !synced) {
    return Fail(synced.error());
  }
  return std::shared_ptr<DiskFile>(std::move(*file));
}

}  // namespace ringfs::chunkserver
