#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "common/result.h"
#include "proto/backup.pb.h"

namespace ringfs {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using StdFile = std::unique_ptr<std::FILE, CloseFile>;

// Writes a backup of the master's state (docs/formats/backup.md). It takes its name only when it is
// whole and on the disk; before that, and for good when Finish() was not reached, nothing has changed
// under that name.
class BackupWriter {
 public:
  // kIo and the like: the file cannot be made.
  static Result<BackupWriter> Create(const std::string& path, const wire::BackupHeader& header);
  BackupWriter(BackupWriter&&) = default;
  BackupWriter& operator=(BackupWriter&&) = delete;
  ~BackupWriter();

  // `records`: a serialized BackupRecords, not empty. kCorrupted: `crc32c` is not its checksum.
  Result<void> Add(const std::string& records, uint32_t crc32c);
  Result<void> Finish();

  uint64_t bytes() const { return bytes_; }

 private:
  explicit BackupWriter(std::string path) : path_(std::move(path)), part_(path_ + ".part") {}
  Result<void> Write(const std::string& bytes);
  Error Failed() const;

  std::string path_;
  std::string part_;
  StdFile file_;
  uint64_t chunks_ = 0;
  uint64_t bytes_ = 0;
  uint32_t crc_ = 0;  // of all that was written
};

// Reads one. Every error but of the disk is kCorrupted or, of a newer format, kVersion, with a
// sentence that names the file.
class BackupReader {
 public:
  static Result<BackupReader> Open(const std::string& path);

  const wire::BackupHeader& header() const { return header_; }
  // The next records; none is left: false. Returns that only after it has found the end of the file
  // to be as it was written.
  Result<bool> Next(wire::BackupRecords& records);

 private:
  explicit BackupReader(std::string path) : path_(std::move(path)) {}
  Result<void> ReadHeader();
  Result<std::string> Read(size_t size);
  Result<uint64_t> ReadNumber(size_t size);
  Result<void> CheckEnd(uint32_t crc);
  Failure Damaged(const std::string& how) const;

  std::string path_;
  StdFile file_;
  wire::BackupHeader header_;
  uint64_t chunks_ = 0;
  uint32_t crc_ = 0;  // of all that was read
};

}  // namespace ringfs
