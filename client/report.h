#pragma once

#include <string_view>

#include "common/ids.h"
#include "common/result.h"

namespace ringfs::client {

// Whether an error says that something is wrong with the cluster, and is not just the answer that
// the call has in a healthy one.
bool IsTrouble(Errc code);

// What a person can do about it.
std::string_view Remedy(Errc code);

// The extended attribute of a mount's root that tells its errors, followed by the number of the last
// one that is known already (proto/explain.proto). The kernel asks nobody before it reads one that
// is called "system.", so it answers without a master too.
inline constexpr std::string_view kErrorsAttribute = "system.ringfs.errors.";
// The one that is there, and empty, when all that was written through the mount is on the platters.
inline constexpr std::string_view kSyncAttribute = "system.ringfs.sync";

// Logs one line about a call that fails with trouble; any other error is not worth one.
void Report(std::string_view operation, InodeId inode, const Error& error);

// Reports the error, if there is one, and passes the result on.
template <typename T>
Result<T> Reported(std::string_view operation, InodeId inode, Result<T> result) {
  if (!result) Report(operation, inode, result.error());
  return result;
}

}  // namespace ringfs::client
