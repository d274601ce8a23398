#include "master/service/session_end.h"

#include <set>
#include <string>
#include <vector>

#include "common/async.h"
#include "common/log.h"
#include "master/service/lease_handler.h"
#include "proto/session.pb.h"

namespace ringfs::master {
namespace {

// Tells the chunkservers, once the fence is durable: a master that forgot it would go on with a
// session that they refuse.
asio::awaitable<void> PushFence(Context& context, SessionId session) {
  co_await context.log.WaitDurable();
  wire::FencePush push;
  push.add_sessions(Raw(session));
  context.servers.PushToAll(wire::MASTER_PUSH_FENCE, push);
}

// Files to which the session may have written without saying so.
std::set<InodeId> WrittenBy(const Context& context, SessionId session) {
  const std::vector<InodeId> open = context.state.opens().Writing(session);
  std::set<InodeId> written(open.begin(), open.end());
  for (const wire::LeaseGrant& lease : context.leases.Writing(session)) {
    written.insert(InodeId{lease.inode()});
  }
  return written;
}

void ForgetSession(Context& context, SessionId session, const std::vector<InodeId>& touched) {
  context.leases.EndSession(session);
  // What others have cached of these was changed by nobody's request.
  for (const InodeId inode : touched) {
    context.leases.RecallAll(inode, context.clock.MonotonicNs());
  }
  TellOfLeases(context);
  context.sessions.Remove(session);
  context.fences.Forget(session);
  for (const InodeId inode : context.turns.EndSession(session)) {
    context.turn_changes.Notify(inode);
  }
}

Outcome ApplyEnd(Context& context, SessionId session, const std::set<InodeId>& writing) {
  wire::Command command;
  command.mutable_end_session()->set_session(Raw(session));
  for (const InodeId inode : writing) command.mutable_end_session()->add_writing(Raw(inode));
  return context.log.Apply(command);
}

}  // namespace

void ResumeFences(Context& context) {
  for (const auto& [id, session] : context.sessions.all()) {
    if (session.fencing) context.fences.Start(id, context.servers.Leased());
  }
}

void ExpireSession(Context& context, SessionId id) {
  LiveSession* session = context.sessions.Find(id);
  if (session == nullptr || session->fencing) return;
  wire::Command command;
  command.mutable_fence_session()->set_session(Raw(id));
  const Outcome outcome = context.log.Apply(command);
  if (outcome.error != Errc::kOk) {
    spdlog::error("session {}: cannot be fenced: {}", Raw(id), outcome.detail);
    return;
  }
  spdlog::warn("session {} has expired; its locks are freed when every chunkserver has confirmed",
               Raw(id));
  session->fencing = true;
  context.fences.Start(id, context.servers.Leased());
  // Requests of the session that wait for something are to see that it has expired.
  context.cuts.NotifyAll();
  context.turn_changes.NotifyAll();
  context.lease_waits.NotifyAll();
  Spawn(context.executor, PushFence(context, id), "fence push");
}

void GiveUpSession(Context& context, SessionId id) {
  LiveSession* session = context.sessions.Find(id);
  if (session != nullptr && session->fencing) session->given_up = true;
}

void EndFencedSessions(Context& context) {
  for (const SessionId id : context.fences.Complete()) {
    const LiveSession* session = context.sessions.Find(id);
    const bool may_serve = session != nullptr && !session->given_up &&
                           session->expires_ns > context.clock.MonotonicNs();
    if (may_serve) continue;
    const Outcome outcome = ApplyEnd(context, id, WrittenBy(context, id));
    if (outcome.error != Errc::kOk) {
      spdlog::error("session {}: cannot be ended: {}", Raw(id), outcome.detail);
      continue;
    }
    spdlog::info("session {} has ended", Raw(id));
    ForgetSession(context, id, outcome.touched);
  }
}

Result<void> EndClosedSession(Context& context, SessionId id) {
  const Outcome outcome = ApplyEnd(context, id, {});
  if (outcome.error != Errc::kOk) return FailOf(outcome);
  ForgetSession(context, id, outcome.touched);
  // Not to wait for anybody: the chunkservers forget what they keep for the session.
  Spawn(context.executor, PushFence(context, id), "fence push");
  return {};
}

}  // namespace ringfs::master
