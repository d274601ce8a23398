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
// kIo and others: none is left, with the first reason.
Result<std::unique_ptr<StoreSet>> OpenDirectories(
    const std::vector<std::string>& paths, const DirectoryIdentity& identity,
    std::function<BucketId(const BlockKey&)> bucket_of, const DiskFigures& figures = {});

std::string ToHex(const std::string& bytes);
// Empty when it is not hexadecimal.
std::string FromHex(const std::string& text);
// `size` bytes that nobody can guess.
std::string RandomBytes(size_t size);

}  // namespace ringfs::chunkserver
