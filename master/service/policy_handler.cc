#include "master/service/policy_handler.h"

#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "master/service/server_handler.h"

namespace ringfs::master {
namespace {

// Down or not: those that have not been removed.
size_t CountServers(const Context& context) {
  const std::vector<const wire::ServerRecord*> servers = context.state.Servers();
  return static_cast<size_t>(std::ranges::count_if(servers, [](const wire::ServerRecord* record) {
    return record->server().state() != wire::SERVER_GONE;
  }));
}

}  // namespace

wire::PolicyReply PolicyOf(const Context& context, InodeId inode) {
  const Result<wire::Attributes> attributes = context.state.Attributes(inode);
  wire::PolicyReply policy;
  policy.set_pool(attributes && attributes->pool() != 0 ? attributes->pool() : 1);
  policy.set_block_size(attributes && attributes->block_size() != 0 ? attributes->block_size()
                                                                    : kDefaultBlockSize);
  policy.set_replicas(1);
  for (const wire::Pool& pool : context.state.Pools()) {
    if (pool.id() == policy.pool()) policy.set_replicas(pool.replicas());
  }
  return policy;
}

Result<wire::PolicyReply> AnswerPolicy(Context& context, const wire::PolicyRequest& request) {
  const Result<wire::Attributes> attributes = context.state.Resolve(request.path());
  if (!attributes) return Fail(attributes.error());
  if (request.replicas() != 0 || request.block_size() != 0) {
    if (!S_ISDIR(attributes->mode())) {
      return Fail(Errc::kNotDirectory, "only a directory has a policy, for what is made in it");
    }
    const size_t servers = CountServers(context);
    if (request.replicas() > servers) {
      return Fail(Errc::kInvalid, "so many replicas need as many chunkservers; there are " +
                                      std::to_string(servers));
    }
    wire::Command command;
    wire::SetPolicy& set = *command.mutable_set_policy();
    set.set_inode(attributes->inode());
    set.set_replicas(request.replicas());
    set.set_block_size(request.block_size());
    const Outcome outcome = context.log.Apply(command);
    if (outcome.error != Errc::kOk) return FailOf(outcome);
    DecideMembership(context);
  }
  wire::PolicyReply reply = PolicyOf(context, InodeId{attributes->inode()});
  reply.set_path(request.path());
  return reply;
}

}  // namespace ringfs::master
