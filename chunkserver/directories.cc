#include "chunkserver/directories.h"

#include <charconv>
#include <optional>
#include <random>
#include <utility>

#include "chunkserver/store/identity.h"
#include "chunkserver/store/posix_disk.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

// Errors that mean a failed disk, which is left out, and not a mistake of the administrator.
bool IsDiskFailure(Errc code) { return code == Errc::kIo || code == Errc::kCorrupted; }

Result<bool> IsNew(Disk& disk, bool accept_new) {
  const auto names = disk.List("");
  if (!names) return Fail(names.error());
  for (const std::string& name : *names) {
    if (name == "lost+found" || accept_new) continue;
    return Fail(Errc::kNotFound,
                disk.Name() +
                    " is neither empty nor a data directory of ringfs (--new takes "
                    "it as a new one)");
  }
  return true;
}

// Nothing when the directory is new.
Result<std::optional<StoreIdentity>> Look(Disk& disk, bool accept_new) {
  Result<StoreIdentity> found = ReadIdentity(disk);
  if (found) return std::optional<StoreIdentity>(*found);
  if (found.code() != Errc::kNotFound) return Fail(found.error());
  const Result<bool> is_new = IsNew(disk, accept_new);
  if (!is_new) return Fail(is_new.error());
  return std::optional<StoreIdentity>();
}

struct OpenedStore {
  std::unique_ptr<Disk> disk;
  std::unique_ptr<ChunkStore> store;
};

Result<OpenedStore> OpenStore(const std::string& path, const DirectoryIdentity& identity,
                              const StoreOptions& options, const DiskFigures& figures) {
  Result<std::unique_ptr<Disk>> disk = OpenPosixDisk(path, figures);
  if (!disk) return Fail(disk.error());
  const Result<StoreIdentity> found = ReadIdentity(**disk);
  StoreExpectation expected;
  expected.cluster = identity.cluster;
  expected.server = identity.server;
  expected.create = !found && found.code() == Errc::kNotFound && !options.accept_loss;
  expected.identity = StoreIdentity{identity.cluster, identity.server, ToHex(RandomBytes(16))};
  Result<std::unique_ptr<ChunkStore>> store = ChunkStore::Open(**disk, expected, options);
  if (!store) return Fail(store.error());
  return OpenedStore{std::move(*disk), std::move(*store)};
}

}  // namespace

Result<DirectoryIdentity> ReadDirectories(const std::vector<std::string>& paths, bool accept_new) {
  DirectoryIdentity identity;
  size_t readable = 0;
  std::string why;
  for (const std::string& path : paths) {
    Result<std::unique_ptr<Disk>> disk = OpenPosixDisk(path);
    if (!disk) return Fail(disk.error());
    const auto found = Look(**disk, accept_new);
    if (!found && !IsDiskFailure(found.code())) return Fail(found.error());
    if (!found) {
      why += "; " + path + ": " + found.error().ToString();
      continue;
    }
    ++readable;
    if (!*found) continue;
    const StoreIdentity& store = **found;
    const bool first = identity.cluster.empty();
    if (!first && (store.cluster != identity.cluster || store.server != identity.server)) {
      return Fail(Errc::kWrongCluster, path + " belongs to another server than " + paths.front());
    }
    identity.cluster = store.cluster;
    identity.server = store.server;
  }
  if (readable == 0) return Fail(Errc::kIo, "no data directory can be read" + why);
  if (identity.server.empty()) identity.server = ToHex(RandomBytes(16));
  return identity;
}

Result<std::unique_ptr<StoreSet>> OpenDirectories(
    const std::vector<std::string>& paths, const DirectoryIdentity& identity,
    std::function<BucketId(const BlockKey&)> bucket_of, const DiskFigures& figures) {
  StoreOptions options;
  options.bucket_of = bucket_of;
  auto set = std::make_unique<StoreSet>(std::move(bucket_of));
  std::optional<Error> first;
  size_t open = 0;
  for (const std::string& path : paths) {
    Result<OpenedStore> opened = OpenStore(path, identity, options, figures);
    if (opened) {
      set->Add(path, std::move(opened->disk), std::move(opened->store));
      ++open;
      continue;
    }
    if (!IsDiskFailure(opened.code())) return Fail(opened.error());
    spdlog::error("{} is left out: {}", path, opened.error().ToString());
    if (!first) first = opened.error();
    set->AddMissing(path, opened.error());
  }
  if (open == 0 && first->code != Errc::kCorrupted) return Fail(*first);
  return set;
}

Result<void> ReturnDirectory(StoreSet& set, const std::string& path,
                             const DirectoryIdentity& identity,
                             std::function<BucketId(const BlockKey&)> bucket_of,
                             const DiskFigures& figures) {
  StoreOptions options;
  options.bucket_of = std::move(bucket_of);
  options.accept_loss = true;
  Result<OpenedStore> opened = OpenStore(path, identity, options, figures);
  if (!opened) return Fail(opened.error());
  set.Return(path, std::move(opened->disk), std::move(opened->store));
  return {};
}

std::string ToHex(const std::string& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string FromHex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (error != std::errc() || end != text.data() + i + 2) return {};
    bytes += static_cast<char>(value);
  }
  return bytes;
}

std::string RandomBytes(size_t size) {
  std::random_device device;
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(device());
  return bytes;
}

}  // namespace ringfs::chunkserver
