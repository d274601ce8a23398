#include "chunkserver/store/identity.h"

#include <array>
#include <span>
#include <string_view>

#include "chunkserver/store/coding.h"
#include "common/crc32c.h"

namespace ringfs::chunkserver {
namespace {

constexpr char kPath[] = "identity";
constexpr char kTemporaryPath[] = "identity.new";
constexpr std::string_view kIdentityMagic = "ringfs-store\n";
constexpr uint16_t kFormatVersion = 1;
constexpr size_t kMaxTextBytes = 255;
constexpr size_t kMaxFileBytes = 4096;

void PutText(std::string* out, const std::string& text) {
  PutLittle(out, static_cast<uint8_t>(text.size()));
  out->append(text);
}

std::string TakeText(Decoder* in) { return std::string(in->Bytes(in->Little<uint8_t>())); }

}  // namespace

Result<StoreIdentity> ReadIdentity(Disk& disk) {
  Result<std::unique_ptr<DiskFile>> file = disk.Open(kPath, OpenMode::kRead);
  if (!file && file.code() == Errc::kNotFound) {
    return Fail(Errc::kNotFound,
                disk.Name() + " is not a store of ringfs: it has no identity file");
  }
  if (!file) {
    return Fail(file.error());
  }
  std::array<std::byte, kMaxFileBytes> bytes;
  const Result<size_t> size = (*file)->Read(0, bytes);
  if (!size) {
    return Fail(size.error());
  }
  const std::string_view text = AsText(std::span(bytes).first(*size));
  Decoder in(text);
  if (in.Bytes(kIdentityMagic.size()) != kIdentityMagic) {
    return Fail(Errc::kCorrupted, disk.Name() + "/identity does not begin as an identity file");
  }
  if (const auto version = in.Little<uint16_t>(); version > kFormatVersion) {
    return Fail(Errc::kVersion, disk.Name() + " has store format " + std::to_string(version) +
                                    ", this program knows up to " + std::to_string(kFormatVersion));
  }
  StoreIdentity identity;
  identity.cluster = TakeText(&in);
  identity.server = TakeText(&in);
  identity.store = TakeText(&in);
  const size_t covered = text.size() - in.left();
  const auto crc = in.Little<uint32_t>();
  if (!in.AtEnd() || crc != Crc32c(AsBytes(text.substr(0, covered)))) {
    return Fail(Errc::kCorrupted, disk.Name() + "/identity does not match its checksum");
  }
  return identity;
}

Result<void> WriteIdentity(Disk& disk, const StoreIdentity& identity) {
  for (const std::string* text : {&identity.cluster, &identity.server, &identity.store}) {
    if (text->size() > kMaxTextBytes) {
      return Fail(Errc::kInvalid, "an identity has at most 255 bytes");
    }
  }
  const Result<bool> exists = disk.Exists(kPath);
  if (!exists) {
    return Fail(exists.error());
  }
  if (*exists) {
    return Fail(Errc::kExists, disk.Name() + " has an identity already");
  }
  std::string bytes(kIdentityMagic);
  PutLittle(&bytes, kFormatVersion);
  PutText(&bytes, identity.cluster);
  PutText(&bytes, identity.server);
  PutText(&bytes, identity.store);
  PutLittle(&bytes, Crc32c(AsBytes(bytes)));

  Result<std::unique_ptr<DiskFile>> file = disk.Open(kTemporaryPath, OpenMode::kTruncate);
  if (!file) {
    return Fail(file.error());
  }
  const std::array pieces{AsBytes(bytes)};
  if (Result<void> written = (*file)->Write(0, pieces); !written) {
    return written;
  }
  if (Result<void> synced = (*file)->Sync(); !synced) {
    return synced;
  }
  if (Result<void> renamed = disk.Rename(kTemporaryPath, kPath); !renamed) {
    return renamed;
  }
  return disk.SyncFolder("");
}

Result<void> CheckIdentity(const StoreIdentity& found, const StoreExpectation& expected,
                           const std::string& where) {
  if (!expected.cluster.empty() && found.cluster != expected.cluster) {
    return Fail(Errc::kWrongCluster,
                where + " belongs to cluster " + found.cluster + ", not to " + expected.cluster);
  }
  if (!expected.server.empty() && found.server != expected.server) {
    return Fail(Errc::kWrongCluster,
                where + " belongs to chunkserver " + found.server + ", not to " + expected.server);
  }
  return {};
}

}  // namespace ringfs::chunkserver
