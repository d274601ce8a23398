#include "common/backup_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/crc32c.h"

namespace ringfs {
namespace {

constexpr std::string_view kMagic = "RNGFSBAK";
constexpr uint32_t kFileVersion = 1;
constexpr uint32_t kHeaderBytesMax = 64 * 1024;
constexpr uint32_t kChunkBytesMax = 16 << 20;

std::string LittleEndian(uint64_t number, size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(number >> (8 * i));
  return bytes;
}

uint32_t CrcOf(std::string_view bytes, uint32_t seed = 0) {
  return Crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())), seed);
}

}  // namespace

// --- writing

Result<BackupWriter> BackupWriter::Create(const std::string& path,
                                          const wire::BackupHeader& header) {
  BackupWriter writer(path);
  // Names and locks of all users are in it.
  const int fd = ::open(writer.part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Fail(writer.Failed());
  writer.file_.reset(::fdopen(fd, "wb"));
  if (!writer.file_) return Fail(writer.Failed());
  const std::string body = header.SerializeAsString();
  std::string start(kMagic);
  start += LittleEndian(kFileVersion, 4) + LittleEndian(body.size(), 4) + body;
  start += LittleEndian(CrcOf(start), 4);
  const Result<void> written = writer.Write(start);
  if (!written) return Fail(written.error());
  return writer;
}

BackupWriter::~BackupWriter() {
  if (file_) std::remove(part_.c_str());  // what is unfinished is of no use to anybody
}

Error BackupWriter::Failed() const {
  return Error{ErrcFromErrno(errno), part_ + ": " + std::strerror(errno)};
}

Result<void> BackupWriter::Write(const std::string& bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    return Fail(Failed());
  }
  crc_ = CrcOf(bytes, crc_);
  bytes_ += bytes.size();
  return {};
}

Result<void> BackupWriter::Add(const std::string& records, uint32_t crc32c) {
  RINGFS_CHECK(!records.empty() && records.size() <= kChunkBytesMax);
  if (CrcOf(records) != crc32c) {
    return Fail(Errc::kCorrupted, "a part of the backup came damaged from the master");
  }
  ++chunks_;
  return Write(LittleEndian(records.size(), 4) + LittleEndian(crc32c, 4) + records);
}

Result<void> BackupWriter::Finish() {
  const Result<void> ended = Write(LittleEndian(0, 4) + LittleEndian(chunks_, 8));
  if (!ended) return ended;
  const Result<void> sealed = Write(LittleEndian(crc_, 4));
  if (!sealed) return sealed;
  if (std::fflush(file_.get()) != 0 || ::fsync(::fileno(file_.get())) != 0 ||
      ::rename(part_.c_str(), path_.c_str()) != 0) {
    return Fail(Failed());
  }
  file_.reset();
  std::string folder = std::filesystem::path(path_).parent_path();
  if (folder.empty()) folder = ".";
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const Error error = synced ? Error{} : Failed();
  if (fd >= 0) ::close(fd);
  if (!synced) return Fail(error);
  return {};
}

// --- reading

Failure BackupReader::Damaged(const std::string& how) const {
  return Fail(Errc::kCorrupted, path_ + ": " + how);
}

Result<BackupReader> BackupReader::Open(const std::string& path) {
  BackupReader reader(path);
  reader.file_.reset(std::fopen(path.c_str(), "rbe"));
  if (!reader.file_) {
    return Fail(ErrcFromErrno(errno), path + ": " + std::strerror(errno));
  }
  const Result<void> read = reader.ReadHeader();
  if (!read) return Fail(read.error());
  return reader;
}

Result<std::string> BackupReader::Read(size_t size) {
  std::string bytes(size, '\0');
  if (std::fread(bytes.data(), 1, size, file_.get()) != size) {
    if (std::ferror(file_.get()) != 0) return Fail(Errc::kIo, path_ + ": cannot be read");
    return Damaged("the backup is cut short");
  }
  crc_ = CrcOf(bytes, crc_);
  return bytes;
}

Result<uint64_t> BackupReader::ReadNumber(size_t size) {
  const Result<std::string> bytes = Read(size);
  if (!bytes) return Fail(bytes.error());
  uint64_t number = 0;
  for (size_t i = 0; i < size; ++i) {
    number |= uint64_t{static_cast<unsigned char>((*bytes)[i])} << (8 * i);
  }
  return number;
}

Result<void> BackupReader::ReadHeader() {
  const Result<std::string> magic = Read(kMagic.size());
  if (!magic || *magic != kMagic) return Damaged("not a backup of a ringfs-master");
  const Result<uint64_t> version = ReadNumber(4);
  if (!version) return Fail(version.error());
  if (*version > kFileVersion) {
    return Fail(Errc::kVersion, path_ + ": a backup in format " + std::to_string(*version) +
                                    ", of a newer ringfs; this one knows up to " +
                                    std::to_string(kFileVersion));
  }
  const Result<uint64_t> size = ReadNumber(4);
  if (!size) return Fail(size.error());
  if (*size > kHeaderBytesMax) return Damaged("the header is damaged");
  const Result<std::string> body = Read(*size);
  if (!body) return Fail(body.error());
  const uint32_t crc = crc_;
  const Result<uint64_t> stored = ReadNumber(4);
  if (!stored) return Fail(stored.error());
  if (*stored != crc || !header_.ParseFromString(*body)) return Damaged("the header is damaged");
  return {};
}

Result<bool> BackupReader::Next(wire::BackupRecords& records) {
  const Result<uint64_t> size = ReadNumber(4);
  if (!size) return Fail(size.error());
  if (*size == 0) {
    const Result<uint64_t> chunks = ReadNumber(8);
    if (!chunks) return Fail(chunks.error());
    if (*chunks != chunks_) return Damaged("the end is damaged");
    const Result<void> end = CheckEnd(crc_);
    if (!end) return Fail(end.error());
    return false;
  }
  const std::string part = "part " + std::to_string(++chunks_) + " is damaged";
  if (*size > kChunkBytesMax) return Damaged(part);
  const Result<uint64_t> crc = ReadNumber(4);
  if (!crc) return Fail(crc.error());
  const Result<std::string> bytes = Read(*size);
  if (!bytes) return Fail(bytes.error());
  if (CrcOf(*bytes) != *crc || !records.ParseFromString(*bytes)) return Damaged(part);
  return true;
}

Result<void> BackupReader::CheckEnd(uint32_t crc) {
  const Result<uint64_t> stored = ReadNumber(4);
  if (!stored) return Fail(stored.error());
  if (*stored != crc) return Damaged("the end is damaged");
  if (std::fgetc(file_.get()) != EOF) return Damaged("there is something after the end");
  return {};
}

}  // namespace ringfs
