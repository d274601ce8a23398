#pragma once

#include <string>

#include "chunkserver/store/disk.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// Whose a data directory is. Written once. Each text has at most 255 bytes.
struct StoreIdentity {
  std::string cluster;  // the cluster's id, as the master gave it
  std::string server;   // the chunkserver's uuid: all its directories have the same
  std::string store;    // this directory's uuid

  bool operator==(const StoreIdentity&) const = default;
};

// What the one who opens a directory knows of it.
struct StoreExpectation {
  // Refused when it is of another cluster or server. Empty: any.
  std::string cluster;
  std::string server;
  // The directory is new: without an identity it gets `identity`. Otherwise it is refused.
  bool create = false;
  StoreIdentity identity;
};

// Reads the identity of the directory. kNotFound: it has none. kCorrupted, kVersion, kIo.
Result<StoreIdentity> ReadIdentity(Disk& disk);
// Writes it, durably. kExists: it has one.
Result<void> WriteIdentity(Disk& disk, const StoreIdentity& identity);
// kWrongCluster unless `found` is what is expected; `where` is for the message.
Result<void> CheckIdentity(const StoreIdentity& found, const StoreExpectation& expected,
                           const std::string& where);

}  // namespace ringfs::chunkserver
