#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands/commands.h"
#include "common/result.h"

namespace ringfs::cli {

enum class Action {
  kHelp,
  kUp,
  kDown,
  kStatus,
  kServers,
  kOrderServer,
  kRing,
  kWhere,
  kPolicy,
  kLocks,
  kBreakLocks,
  kSessions,
  kSync,
  kExplain,
  kBackup,
  kStats,
  kScrub,
  kFsck,
};

// What the command line asks for.
struct Arguments {
  Action action = Action::kHelp;
  std::string help;    // of kHelp: what to print, also for --version
  std::string master;  // --master; empty: to be found
  Output output = Output::kText;

  std::string mountpoint;  // of kUp, kDown, kSync, kExplain
  std::string data;        // of kUp, kDown; empty: the default
  std::optional<uint32_t> chunkservers;
  std::optional<uint32_t> replicas;

  std::string file;  // of kWhere, kPolicy, kLocks (may be empty)
  uint32_t policy_replicas = 0;    // of kPolicy; 0: as it is
  uint32_t policy_block_size = 0;  // bytes; the same
  std::string backup_file;
  bool all = false;  // of kWhere
  uint64_t session = 0;
  std::string server;
  wire::ServerOrder order = wire::SERVER_ORDER_NONE;
  uint32_t weight = 0;
};

// `words` without the program's name. kInvalid with one sentence for people.
Result<Arguments> ParseArguments(const std::vector<std::string>& words);

}  // namespace ringfs::cli
