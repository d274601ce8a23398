#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"

namespace ringfs::chunkserver {

// kNow: a call that would have to wait, for a disk or for another thread that does, fails with
// kWouldBlock and has changed nothing.
enum class Patience { kWait, kNow };

// An open file of a Disk. Threads: all methods may be called from several at once.
class DiskFile {
 public:
  virtual ~DiskFile() = default;

  // Fills `out` from `offset`; fewer bytes only at the end of the file. kIo.
  virtual Result<size_t> Read(uint64_t offset, std::span<std::byte> out,
                              Patience patience = Patience::kWait) = 0;
  // Writes the pieces one after the other, all of them. kNoSpace, kIo: an unknown part is written.
  virtual Result<void> Write(uint64_t offset,
                             std::span<const std::span<const std::byte>> pieces) = 0;
  // What was written before is on the platter on return, and the size. After an error nothing is
  // known of what was written since the last success, and trying again does not help.
  virtual Result<void> Sync() = 0;
  // Asks for an early start of writing a range back. Only a hint.
  virtual void StartWriteback(uint64_t offset, uint64_t length) = 0;
  // The range reads as zeros and its space is given back. The file does not shrink.
  virtual Result<void> PunchHole(uint64_t offset, uint64_t length) = 0;
  virtual Result<void> SetSize(uint64_t size) = 0;
  virtual Result<uint64_t> Size() = 0;
};

enum class OpenMode {
  kRead,      // kNotFound when missing
  kWrite,     // read and write; kNotFound when missing
  kCreate,    // read and write; made when missing
  kTruncate,  // read and write; made when missing, emptied when not
};

struct DiskSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // for us, so without what is reserved for root
};

// One data directory: everything the store keeps is reached through it, so that tests can make it
// fail, tear writes and drop what was not synced. Paths are relative to the directory, with at most
// one folder ("data/0000001f").
//
// Threads: all methods may be called from several at once.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) = 0;
  // Made durable, as Remove, Rename and the making of a file, by SyncFolder of the folder it is in.
  virtual Result<void> MakeFolder(const std::string& path) = 0;  // success when it is there
  virtual Result<void> Remove(const std::string& path) = 0;      // kNotFound
  virtual Result<void> Rename(const std::string& from, const std::string& to) = 0;
  virtual Result<std::vector<std::string>> List(const std::string& folder) = 0;  // names, any order
  virtual Result<bool> Exists(const std::string& path) = 0;
  virtual Result<void> SyncFolder(const std::string& folder) = 0;  // "" is the directory itself
  virtual Result<DiskSpace> Space() = 0;
  // Keeps every other process and Disk out until this Disk is destroyed. kBusy: held by another.
  virtual Result<void> Lock() = 0;
  // For messages: where it is.
  virtual std::string Name() const = 0;
};

}  // namespace ringfs::chunkserver
