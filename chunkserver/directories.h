#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chunkserver/store/posix_disk.h"
#include "chunkserver/store/store_set.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// Who the data directories say that this server is.
struct DirectoryIdentity {
  std::string cluster;  // hexadecimal; empty when all directories are new
  std::string server;   // 16 bytes in hexadecimal; made up when all directories are new
};

// Reads the identities. A directory that is missing or empty is new; one with other contents is
// refused unless `accept_new`. kWrongCluster: they are of different clusters or servers.
// A directory that cannot be read is skipped here; kIo: none can be.
Result<DirectoryIdentity> ReadDirectories(const std::vector<std::string>& paths, bool accept_new);

// Opens the stores, making those of new directories. One that fails is a missing one of the set;
// kIo and others: none is left, with the first reason; but where that is damage (kCorrupted) there
// is a set without a store, as others may have all that was in them.
Result<std::unique_ptr<StoreSet>> OpenDirectories(
    const std::vector<std::string>& paths, const DirectoryIdentity& identity,
    std::function<BucketId(const BlockKey&)> bucket_of, const DiskFigures& figures = {});

// Opens a store that is missing in `set`, and that the cluster does not count on any more, whatever
// its journal has lost; it takes part from then on. For a thread that may wait for the disk.
Result<void> ReturnDirectory(StoreSet& set, const std::string& path,
                             const DirectoryIdentity& identity,
                             std::function<BucketId(const BlockKey&)> bucket_of,
                             const DiskFigures& figures = {});

std::string ToHex(const std::string& bytes);
// Empty when it is not hexadecimal.
std::string FromHex(const std::string& text);
// `size` bytes that nobody can guess.
std::string RandomBytes(size_t size);

}  // namespace ringfs::chunkserver
