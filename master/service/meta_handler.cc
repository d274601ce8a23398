#include "master/service/meta_handler.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "master/service/capacity.h"

namespace ringfs::master {
namespace {

using Operation = wire::MetaRequest::OperationCase;

// A call that does not say how long it waits is held for so long.
constexpr int64_t kDefaultHoldMs = 60'000;
// No change needs more: an extended attribute of 64 KiB with its names is the largest.
constexpr size_t kMaxChangeBytes = 1 << 20;
constexpr uint64_t kMaxFiles = uint64_t{1} << 48;

// Until when a request may be held, by the monotonic clock.
int64_t HoldUntil(const Context& context, int64_t timeout_ms) {
  return context.clock.MonotonicNs() + (timeout_ms > 0 ? timeout_ms : kDefaultHoldMs) * kNsPerMs;
}

// Waits until something has changed about `inode`. kTimedOut: nothing has in time. Else as
// SessionOf() says, afterwards.
asio::awaitable<Result<void>> Hold(Context& context, std::shared_ptr<rpc::Peer> peer, SessionId id,
                                   InodeEvents& events, InodeId inode, int64_t until_ns) {
  Result<LiveSession*> session = SessionOf(context, *peer, id);
  if (!session) co_return Fail(session.error());
  if ((*session)->held >= context.options.max_held_per_session) {
    co_return Fail(Errc::kUnavailable, "too many requests of the session wait");
  }
  const int64_t left_ms = (until_ns - context.clock.MonotonicNs()) / kNsPerMs;
  if (left_ms <= 0) co_return Fail(Errc::kTimedOut, "waited for another session");
  ++(*session)->held;
  const bool notified = co_await events.WaitFor(inode, left_ms);
  if (LiveSession* still = context.sessions.Find(id)) --still->held;
  session = SessionOf(context, *peer, id);
  if (!session) co_return Fail(session.error());
  if (!notified) co_return Fail(Errc::kTimedOut, "waited for another session");
  co_return Result<void>();
}

void EndTurn(Context& context, InodeId inode, SessionId session) {
  if (context.turns.End(inode, session)) context.turn_changes.Notify(inode);
}

asio::awaitable<Result<wire::MetaReply>> BeginAppend(Context& context,
                                                     std::shared_ptr<rpc::Peer> peer,
                                                     SessionId session, InodeId inode,
                                                     int64_t until_ns) {
  const uint64_t ticket = context.turns.Begin(inode, session);
  while (!context.turns.Holds(inode, session)) {
    const Result<void> held =
        co_await Hold(context, peer, session, context.turn_changes, inode, until_ns);
    if (held) continue;
    // A turn that came at the last moment is this session's until it gives it back.
    if (!context.turns.Holds(inode, session)) {
      context.turns.Withdraw(inode, session, ticket);
      co_return Fail(held.error());
    }
  }
  const Result<wire::Attributes> attributes = context.state.Attributes(inode);
  if (!attributes) {
    EndTurn(context, inode, session);
    co_return Fail(attributes.error());
  }
  wire::MetaReply reply;
  *reply.mutable_attributes() = *attributes;
  co_return reply;
}

Result<wire::MetaReply> StatFs(const Context& context, const wire::MetaRequest& request) {
  Result<wire::MetaReply> reply = context.state.Query(request);
  if (!reply) return reply;
  std::vector<uint64_t> capacity;
  std::vector<uint64_t> free;
  for (const auto& [id, server] : context.servers.all()) {
    if (!server.leased) continue;
    const uint64_t size = server.usage.capacity_bytes();
    capacity.push_back(size);
    free.push_back(size - std::min(size, server.usage.used_bytes()));
  }
  const std::vector<wire::Pool>& pools = context.state.Pools();
  const uint32_t replicas = pools.empty() ? 1 : pools.front().replicas();
  wire::StatFsReply& answer = *reply->mutable_stat_fs();
  answer.set_capacity_bytes(StorableBytes(std::move(capacity), replicas));
  answer.set_free_bytes(StorableBytes(std::move(free), replicas));
  answer.set_files_free(kMaxFiles - std::min(kMaxFiles, answer.files()));
  return reply;
}

// What changes nothing but memory. The answer still tells what is in the state.
asio::awaitable<Result<wire::MetaReply>> AnswerQuery(Context& context,
                                                     std::shared_ptr<rpc::Peer> peer,
                                                     wire::MetaRequest request,
                                                     int64_t timeout_ms) {
  const SessionId session{request.session()};
  switch (request.operation_case()) {
    case Operation::kOpen:
      co_return context.state.OpenInMemory(session, request.open());
    case Operation::kClose:
      context.state.CloseInMemory(session, request.close());
      co_return wire::MetaReply();
    case Operation::kBeginAppend: {
      const InodeId inode{request.begin_append().inode()};
      co_return co_await BeginAppend(context, peer, session, inode, HoldUntil(context, timeout_ms));
    }
    case Operation::kAbortAppend:
      EndTurn(context, InodeId{request.abort_append().inode()}, session);
      co_return wire::MetaReply();
    case Operation::kStatFs:
      co_return StatFs(context, request);
    default:
      co_return context.state.Query(request);
  }
}

// Queries change nothing at all.
bool ChangesOnlyMemory(const StateMachine& state, SessionId session,
                       const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case Operation::kOpen:
      return !request.open().truncate();
    case Operation::kClose:
      return !state.ClosesLocks(session, request.close());
    case Operation::kBeginAppend:
    case Operation::kAbortAppend:
      return true;
    default:
      return StateMachine::IsQuery(request);
  }
}

Result<void> ValidateChange(const wire::MetaRequest& request) {
  if (request.slot() >= kSlots || request.sequence() == 0) {
    return Fail(Errc::kProtocol, "a change without a slot and a sequence");
  }
  if (request.ByteSizeLong() > kMaxChangeBytes) {
    return Fail(Errc::kTooBig, "a change of more than 1 MiB");
  }
  return {};
}

asio::awaitable<Result<wire::MetaReply>> ApplyChange(Context& context,
                                                     std::shared_ptr<rpc::Peer> peer,
                                                     wire::MetaRequest request,
                                                     int64_t timeout_ms) {
  const SessionId session{request.session()};
  const bool appended = request.has_extend() && request.extend().append();
  const InodeId appended_to{appended ? request.extend().inode() : 0};
  wire::Command command;
  *command.mutable_meta() = std::move(request);
  Outcome outcome = context.log.Apply(command);
  const int64_t until_ns = outcome.held ? HoldUntil(context, timeout_ms) : 0;
  while (outcome.held) {
    const Result<void> held =
        co_await Hold(context, peer, session, context.cuts, outcome.held_for, until_ns);
    if (!held) co_return Fail(held.error());
    outcome = context.log.Apply(command);
  }
  if (outcome.error != Errc::kOk) co_return FailOf(outcome);
  // Of a repeated answer too: after a reconnect the client says again that it holds the turn.
  if (appended) EndTurn(context, appended_to, session);
  co_return std::move(outcome.reply);
}

}  // namespace

asio::awaitable<Result<wire::MetaReply>> HandleMeta(Context& context,
                                                    std::shared_ptr<rpc::Peer> peer,
                                                    wire::MetaRequest request, int64_t timeout_ms) {
  const SessionId id{request.session()};
  const Result<LiveSession*> session = SessionOf(context, *peer, id);
  if (!session) co_return Fail(session.error());
  context.sessions.Renew(**session, context.clock.MonotonicNs());
  if (request.operation_case() == Operation::OPERATION_NOT_SET) {
    co_return Fail(Errc::kNotSupported, "an operation that this master does not know");
  }

  const bool in_memory = ChangesOnlyMemory(context.state, id, request);
  if (!in_memory) {
    const Result<void> valid = ValidateChange(request);
    if (!valid) co_return Fail(valid.error());
  }
  auto work = in_memory ? AnswerQuery(context, peer, std::move(request), timeout_ms)
                        : ApplyChange(context, peer, std::move(request), timeout_ms);
  Result<wire::MetaReply> reply = co_await std::move(work);
  // An error tells of the state as well.
  co_await context.log.WaitDurable();
  co_return reply;
}

}  // namespace ringfs::master
