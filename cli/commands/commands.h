#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/remote.h"
#include "common/result.h"
#include "proto/cluster.pb.h"
#include "proto/lock.pb.h"
#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

// The commands that ask a running cluster. Each returns what is to be printed; the detail of an
// error is a sentence for people.
namespace ringfs::cli {

enum class Output { kText, kJson };

Result<std::string> ShowStatus(Master& master, Output output);
// Of the master and of each chunkserver.
Result<std::string> ShowStats(Master& master, Output output);
Result<std::string> ShowServers(Master& master, Output output);
Result<std::string> ShowRing(Master& master, Output output);
Result<std::string> ShowSessions(Master& master, Output output);
// `path`: from the root of the filesystem; empty: the locks of all files.
Result<std::string> ShowLocks(Master& master, const std::string& path, Output output);
// Of a long file only the first blocks, unless `all`.
Result<std::string> ShowWhere(Master& master, const std::string& path, bool all, Output output);

// How files that are made in a directory are kept; changes it where `replicas` or `block_size` is not 0.
Result<std::string> Policy(Master& master, const std::string& path, uint32_t replicas,
                           uint32_t block_size, Output output);

Result<std::string> BreakLocks(Master& master, uint64_t session, Output output);
// `server`: a number, address or uuid. `weight` is of SERVER_ORDER_WEIGHT.
Result<std::string> OrderServer(Master& master, const std::string& server, wire::ServerOrder order,
                                uint32_t weight, Output output);

// Returns when all that was written by anybody is on the disks of all chunkservers.
Result<std::string> SyncAll(Master& master, Output output);

// Copies the master's state into `file` (docs/formats/backup.md), for ringfs-master --restore.
Result<std::string> Backup(Master& master, const std::string& file, Output output);

// One value of the errors of a mount, read from its extended attribute of that name.
using ReadErrors = std::function<Result<std::string>(const std::string& attribute)>;
// The real one, at a mountpoint.
Result<std::string> ReadOfMount(const std::string& mountpoint, const std::string& attribute);
// The errors that reached applications through a mount. Needs the mount alone: neither the master
// nor a chunkserver is asked.
Result<std::string> Explain(const std::string& mountpoint, const ReadErrors& read, Output output);

// One word and one sentence about a cluster.
struct Health {
  std::string word;
  std::string sentence;
};
Health HealthOf(const wire::StatusReply& status);

// "up", "down", "draining", "gone"
std::string StateOf(const wire::Server& server);
// Whether it is in contact with the master.
bool IsUp(const wire::Server& server);

}  // namespace ringfs::cli
