#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cli/commands/commands.h"
#include "common/result.h"

// The commands that look for damage.
namespace ringfs::cli {

// What a look at a cluster has shown.
struct Finding {
  std::string text;      // to be printed
  Result<void> verdict;  // an error: not all is well; its detail is a sentence for people
};

// Orders all chunkservers to verify all their blocks, and waits until they have. `progress` gets a
// line now and then, when the output is for people.
Result<Finding> Scrub(Master& master, Output output,
                      const std::function<void(const std::string&)>& progress);

// Compares what the master knows of with the blocks that the chunkservers have, and tells the master
// of blocks that are no file's; it removes them when it hears so again, a session's lifetime later.
Result<Finding> Fsck(Master& master, Output output, int64_t answer_ms = kAnswerMs);

}  // namespace ringfs::cli
