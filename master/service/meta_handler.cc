#include "master/service/meta_handler.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "master/service/capacity.h"
#include "master/service/held.h"
#include "master/service/lease_grants.h"
#include "master/service/lease_needs.h"
#include "master/service/policy_handler.h"

namespace ringfs::master {
namespace {

using Operation = wire::MetaRequest::OperationCase;

// No change needs more: an extended attribute of 64 KiB with its names is the largest.
constexpr size_t kMaxChangeBytes = 1 << 20;
constexpr uint64_t kMaxFiles = uint64_t{1} << 48;

void EndTurn(Context& context, InodeId inode, SessionId session) {
  if (context.turns.End(inode, session)) context.turn_changes.Notify(inode);
}

// What the answer to a query, an Open or a BeginAppend shows.
Result<wire::MetaReply> Show(const Context& context, const wire::MetaRequest& request) {
  const bool open = request.has_open();
  if (!open && !request.has_begin_append()) return context.state.Query(request);
  const InodeId inode{open ? request.open().inode() : request.begin_append().inode()};
  Result<wire::Attributes> attributes = context.state.Attributes(inode);
  if (!attributes) return Fail(attributes.error());
  wire::MetaReply reply;
  *reply.mutable_attributes() = *std::move(attributes);
  return reply;
}

// A name that is not there is an answer to those who cache it.
void ShowAbsence(const wire::MetaRequest& request, Result<wire::MetaReply>& reply) {
  if (!request.has_lookup() || request.lookup().name().empty()) return;
  if (reply || reply.code() != Errc::kNotFound) return;
  reply = wire::MetaReply();
  reply->set_absent(true);
}

// Up to which change the disk must have them before the session may see the answer.
uint64_t NeededOfAnswer(const Context& context, const wire::MetaRequest& request,
                        const Result<wire::MetaReply>& reply) {
  const SessionId session{request.session()};
  switch (request.operation_case()) {
    case Operation::kReadDirectory:
    case Operation::kGetPath:
      return context.log.unflushed().NeededForAll(session);
    default: {
      std::vector<InodeId> seen;
      for (const LeaseWant& want : NeedsOfAnswer(context.state, request, reply)) {
        seen.push_back(want.inode);
      }
      return context.log.unflushed().NeededFor(session, seen);
    }
  }
}

// Answers when no other session holds back changes of what the answer shows.
asio::awaitable<Result<wire::MetaReply>> AnswerRead(Context& context,
                                                    std::shared_ptr<rpc::Peer> peer,
                                                    wire::MetaRequest request, int64_t until_ns,
                                                    uint64_t& needed) {
  const SessionId session{request.session()};
  const bool caches = context.leases.Caches(session);
  uint64_t ticket = 0;
  if (caches && request.get_attributes().for_pages()) {
    const InodeId inode{request.get_attributes().inode()};
    ticket = context.leases.WaitBehind(session, inode, context.clock.MonotonicNs());
  }
  Result<wire::MetaReply> reply = Show(context, request);
  while (!context.leases.IsFree(session) || ticket != 0) {
    const LeaseWants needs = NeedsOfAnswer(context.state, request, reply);
    const bool ready = ticket == 0 || context.leases.IsReady(ticket);
    if (ready && context.leases.IsFree(session, needs)) break;
    const Result<void> waited =
        co_await WaitForOthers(context, peer, session, needs, until_ns, ticket);
    if (!waited) reply = Fail(waited.error());
    if (!waited) break;
    reply = Show(context, request);
  }
  needed = NeededOfAnswer(context, request, reply);
  if (request.has_open() && reply) reply = context.state.OpenInMemory(session, request.open());
  if (reply) HideHeldBack(context, session, *reply);
  if (caches) ShowAbsence(request, reply);
  if (reply) GrantForAnswer(context, request, *reply);
  EndLeaseWait(context, ticket);
  co_return reply;
}

asio::awaitable<Result<wire::MetaReply>> BeginAppend(Context& context,
                                                     std::shared_ptr<rpc::Peer> peer,
                                                     wire::MetaRequest request, int64_t until_ns,
                                                     uint64_t& needed) {
  const SessionId session{request.session()};
  const InodeId inode{request.begin_append().inode()};
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
  Result<wire::MetaReply> reply =
      co_await AnswerRead(context, peer, std::move(request), until_ns, needed);
  if (!reply) EndTurn(context, inode, session);
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
  const uint32_t replicas = PolicyOf(context, InodeId{request.stat_fs().inode()}).replicas();
  wire::StatFsReply& answer = *reply->mutable_stat_fs();
  answer.set_capacity_bytes(StorableBytes(std::move(capacity), replicas));
  answer.set_free_bytes(StorableBytes(std::move(free), replicas));
  answer.set_files_free(kMaxFiles - std::min(kMaxFiles, answer.files()));
  return reply;
}

// What changes nothing but memory. The answer still tells what is in the state: `needed` of it must be
// on the disk.
asio::awaitable<Result<wire::MetaReply>> AnswerQuery(Context& context,
                                                     std::shared_ptr<rpc::Peer> peer,
                                                     wire::MetaRequest request, int64_t timeout_ms,
                                                     uint64_t& needed) {
  const SessionId session{request.session()};
  const int64_t until_ns = HoldUntil(context, timeout_ms);
  switch (request.operation_case()) {
    case Operation::kClose:
      context.state.CloseInMemory(session, request.close());
      co_return wire::MetaReply();
    case Operation::kBeginAppend:
      co_return co_await BeginAppend(context, peer, std::move(request), until_ns, needed);
    case Operation::kAbortAppend:
      EndTurn(context, InodeId{request.abort_append().inode()}, session);
      co_return wire::MetaReply();
    case Operation::kStatFs:
      co_return StatFs(context, request);
    case Operation::kFlushNames:
      needed = context.log.applied();
      co_return wire::MetaReply();
    default:
      co_return co_await AnswerRead(context, peer, std::move(request), until_ns, needed);
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
    case Operation::kFlushNames:
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

// A file that was opened under the write lease that its creation brings.
void LeaveUntold(Context& context, const wire::MetaRequest& request, wire::MetaReply& reply) {
  const uint64_t inode = reply.attributes().inode();
  const auto lease = context.leases.Find(SessionId{request.session()}, InodeId{inode});
  if (!request.create().untold() || !lease || lease->kind() != wire::LEASE_WRITE) return;
  wire::Close close;
  close.set_inode(inode);
  close.set_writing(request.create().writing());
  context.state.CloseInMemory(SessionId{request.session()}, close);
  reply.set_untold(true);
}

// Applies the command as soon as no lease of another session and no pending cut is in its way.
// `ticket` is as of WaitForOthers().
asio::awaitable<Result<Outcome>> ApplyWhenFree(Context& context, std::shared_ptr<rpc::Peer> peer,
                                               wire::Command& command, int64_t until_ns,
                                               uint64_t& ticket) {
  const SessionId session{command.meta().session()};
  for (;;) {
    if (!context.leases.IsFree(session)) {
      const LeaseWants needs = NeedsOfChange(context.state, command.meta());
      if (!context.leases.IsFree(session, needs)) {
        const Result<void> waited =
            co_await WaitForOthers(context, peer, session, needs, until_ns, ticket);
        if (!waited) co_return Fail(waited.error());
        continue;  // names may stand for something else by now
      }
    }
    Outcome outcome = context.log.Apply(command);
    if (!outcome.held) co_return outcome;
    EndLeaseWait(context, std::exchange(ticket, 0));
    const Result<void> held =
        co_await Hold(context, peer, session, context.cuts, outcome.held_for, until_ns);
    if (!held) co_return Fail(held.error());
  }
}

asio::awaitable<Result<wire::MetaReply>> ApplyChange(Context& context,
                                                     std::shared_ptr<rpc::Peer> peer,
                                                     wire::MetaRequest request, int64_t timeout_ms,
                                                     uint64_t& needed) {
  const SessionId session{request.session()};
  const bool appended = request.has_extend() && request.extend().append();
  const InodeId extended{request.extend().inode()};
  // What is held back under a lease that is being recalled comes piece by piece.
  context.leases.Progress(session, extended, context.clock.MonotonicNs());
  if (request.set_lock().hand_over()) {
    const InodeId locks = LocksOf(InodeId{request.set_lock().inode()});
    context.leases.Progress(session, locks, context.clock.MonotonicNs());
  }
  wire::Command command;
  *command.mutable_meta() = std::move(request);
  uint64_t ticket = 0;
  const int64_t until_ns = HoldUntil(context, timeout_ms);
  Result<Outcome> outcome = co_await ApplyWhenFree(context, peer, command, until_ns, ticket);
  const bool applied = outcome && outcome->error == Errc::kOk;
  // What a repeated answer shows may be outdated.
  if (applied && !outcome->replayed) {
    GrantForChange(context, command.meta(), outcome->touched, outcome->reply);
    LeaveUntold(context, command.meta(), outcome->reply);
  }
  EndLeaseWait(context, ticket);
  // An error tells of the state as well.
  needed = context.log.applied();
  if (!outcome) co_return Fail(outcome.error());
  if (outcome->tell_now) {
    outcome->reply.set_unflushed(std::exchange(needed, 0));
    outcome->reply.set_made_ns(context.state.time_ns());
  }
  if (!applied) co_return FailOf(*outcome);
  // Of a repeated answer too: after a reconnect the client says again that it holds the turn.
  if (appended) EndTurn(context, extended, session);
  co_return std::move(outcome->reply);
}

// Answers leave in the order in which they were found, also those that need not wait: what a client
// keeps of one that shows less would take the place of what it has done since.
uint64_t NeededInOrder(Context& context, SessionId id, const uint64_t needed, bool shows) {
  LiveSession* session = context.sessions.Find(id);
  if (session == nullptr) return needed;
  const uint64_t in_order = std::max(needed, session->answers_wait_for);
  if (shows) session->answers_wait_for = in_order;
  return in_order;
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
  const bool caches = context.leases.Caches(id);
  // After a restart only those that cache are waited for.
  if (!caches) request.clear_keeps();
  request.clear_again();
  const bool shows = !request.has_flush_names();
  uint64_t needed = 0;
  auto work = in_memory ? AnswerQuery(context, peer, std::move(request), timeout_ms, needed)
                        : ApplyChange(context, peer, std::move(request), timeout_ms, needed);
  Result<wire::MetaReply> reply = co_await std::move(work);
  needed = NeededInOrder(context, id, needed, shows);
  if (needed > context.log.flushed()) {
    co_await context.log.WaitDurable(needed);
    if (reply) KeepStandingLeases(context, id, *reply);
  }
  if (reply && caches) reply->set_flushed(context.log.flushed());
  co_return reply;
}

}  // namespace ringfs::master
