#include "client/report.h"

#include "common/log.h"

namespace ringfs::client {

bool IsTrouble(Errc code) {
  return code == Errc::kIo || code == Errc::kNoSpace ||
         static_cast<int>(code) >= static_cast<int>(Errc::kTimedOut);
}

std::string_view Remedy(Errc code) {
  switch (code) {
    case Errc::kTimedOut:
    case Errc::kUnavailable:
    case Errc::kStaleEpoch:
    case Errc::kNotHead:
    case Errc::kNotServing:
    case Errc::kUncommitted:
    case Errc::kVersionMismatch:
      return "see `ringfs status` for servers that are down; the call can be repeated";
    case Errc::kNoServers:
      return "start the missing chunkservers";
    case Errc::kNoSpace:
      return "delete files or add chunkservers";
    case Errc::kStale:
      return "the file was removed, by this machine or another: look for it by its name again";
    case Errc::kFenced:
      return "close the file and open it again";
    case Errc::kIo:
    case Errc::kCorrupted:
      return "look at the logs of the servers named, and check their disks";
    case Errc::kWrongCluster:
    case Errc::kVersion:
    case Errc::kProtocol:
      return "check that all machines run the same version and belong to one cluster";
    default:
      return "none is known";
  }
}

void Report(std::string_view operation, InodeId inode, const Error& error) {
  if (!IsTrouble(error.code)) return;
  spdlog::error("{} of inode {} failed: {}; remedy: {}", operation, Raw(inode), error.ToString(),
                Remedy(error.code));
}

}  // namespace ringfs::client
