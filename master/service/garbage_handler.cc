#include "master/service/garbage_handler.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/async.h"
#include "common/log.h"
#include "proto/session.pb.h"

namespace ringfs::master {
namespace {

constexpr size_t kBatchEntries = 256;
constexpr size_t kRemovedEntries = 1024;

// Only what is durable is removed from the servers: a master that forgot an unlink needs the
// blocks.
asio::awaitable<void> PushBatch(Context& context, std::shared_ptr<rpc::Peer> peer,
                                wire::GarbagePush push) {
  co_await context.log.WaitDurable();
  peer->Push(wire::MASTER_PUSH_GARBAGE, push);
}

}  // namespace

void PushGarbage(Context& context) {
  for (const auto& [id, server] : context.servers.all()) {
    if (!server.peer || !server.leased) continue;
    const std::optional<uint64_t> done = context.garbage.NextFrom(id);
    if (!done) continue;
    const uint64_t from = std::max(*done, context.garbage.removed());
    Result<std::vector<wire::GarbageItem>> items = context.state.Garbage(from, kBatchEntries);
    if (!items) {
      spdlog::error("the queue of garbage cannot be read: {}", items.error().ToString());
      return;
    }
    if (items->empty()) continue;
    std::vector<uint64_t> entries;
    wire::GarbagePush push;
    for (wire::GarbageItem& item : *items) {
      entries.push_back(item.entry());
      *push.add_items() = std::move(item);
    }
    context.garbage.Sent(id, entries);
    Spawn(context.executor, PushBatch(context, server.peer, std::move(push)), "garbage push");
  }
}

void RemoveGarbage(Context& context) {
  std::vector<ServerId> servers;
  for (const wire::ServerRecord* record : context.state.Servers()) {
    if (record->server().state() != wire::SERVER_GONE) {
      servers.push_back(ServerId{record->server().id()});
    }
  }
  const uint64_t done = context.garbage.DoneByAll(servers);
  while (true) {
    const Result<std::vector<wire::GarbageItem>> items =
        context.state.Garbage(context.garbage.removed(), kRemovedEntries);
    if (!items) {
      spdlog::error("the queue of garbage cannot be read: {}", items.error().ToString());
      return;
    }
    wire::Command command;
    for (const wire::GarbageItem& item : *items) {
      if (item.entry() > done) break;
      command.mutable_garbage_removed()->add_entries(item.entry());
    }
    if (command.garbage_removed().entries().empty()) return;
    const Outcome outcome = context.log.Apply(command);
    if (outcome.error != Errc::kOk) {
      spdlog::error("entries of garbage cannot be removed: {}", outcome.detail);
      return;
    }
    context.garbage.Removed(*command.garbage_removed().entries().rbegin());
  }
}

}  // namespace ringfs::master
