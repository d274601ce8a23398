#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "common/log.h"

namespace ringfs::cli {

Result<std::string> Policy(Master& master, const std::string& path, uint32_t replicas,
                           uint32_t block_size, Output output) {
  wire::PolicyRequest request;
  request.set_path(path);
  request.set_replicas(replicas);
  request.set_block_size(block_size);
  const auto reply = master.Ask<wire::PolicyReply>(wire::MASTER_POLICY, request);
  if (!reply) return Fail(reply.code(), Printable(path) + ": " + reply.error().detail);
  if (output == Output::kJson) return ToText(cli::ToJson(*reply));
  return Labelled({{"path", Printable(path)},
                   {"replicas", std::to_string(reply->replicas())},
                   {"block size", Bytes(reply->block_size())},
                   {"pool", std::to_string(reply->pool())}});
}

}  // namespace ringfs::cli
