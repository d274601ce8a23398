#include "master/service/lease_handler.h"

#include <algorithm>
#include <asio/post.hpp>
#include <vector>

#include "common/log.h"
#include "master/service/session_end.h"

namespace ringfs::master {
namespace {

void PushRecall(Context& context, const LeaseRecall& recall) {
  const LiveSession* session = context.sessions.Find(recall.session);
  if (session == nullptr || session->fencing || !session->peer || !session->greeted) return;
  wire::RecallPush push;
  push.set_inode(Raw(recall.inode));
  push.set_number(recall.number);
  push.set_keep(recall.keep);
  session->peer->Push(wire::MASTER_PUSH_RECALL, push);
}

}  // namespace

void TellOfLeases(Context& context) {
  for (const LeaseRecall& recall : context.leases.TakeRecalls()) PushRecall(context, recall);
  for (const uint64_t ticket : context.leases.TakeReady()) context.lease_waits.Notify(ticket);
}

void ReassertLeases(Context& context, SessionId session, const wire::OpenSessionRequest& request,
                    wire::OpenSessionReply& reply) {
  reply.set_run(context.options.run);
  std::vector<InodeId> writing;
  for (const uint64_t inode : request.writing()) writing.push_back(InodeId{inode});
  context.leases.Return(session, writing, context.clock.MonotonicNs());
  for (const wire::LeaseGrant& lease : context.leases.Writing(session)) {
    if (std::ranges::find(writing, InodeId{lease.inode()}) == writing.end()) continue;
    *reply.add_leases() = lease;
  }
  TellOfLeases(context);
}

void PushRecallsSoon(Context& context, SessionId session, std::shared_ptr<rpc::Peer> peer) {
  auto push = [&context, session, peer = std::move(peer), alive = std::weak_ptr(context.alive)] {
    if (alive.expired()) return;
    LiveSession* live = context.sessions.Find(session);
    if (live == nullptr || live->peer != peer) return;
    live->greeted = true;
    const int64_t now_ns = context.clock.MonotonicNs();
    for (const LeaseRecall& recall : context.leases.RecallAgain(session, now_ns)) {
      PushRecall(context, recall);
    }
  };
  asio::post(context.executor, std::move(push));
}

Result<wire::LeaseAnswersReply> LeaseAnswers(Context& context, const rpc::Peer& peer,
                                             const wire::LeaseAnswersRequest& request) {
  const SessionId id{request.session()};
  const Result<LiveSession*> session = SessionOf(context, peer, id);
  if (!session) return Fail(session.error());
  const int64_t now_ns = context.clock.MonotonicNs();
  context.sessions.Renew(**session, now_ns);
  for (const wire::LeaseAnswer& answer : request.answers()) {
    const InodeId inode{answer.inode()};
    // Before the lease goes: who has waited for it looks at what is open.
    context.state.OpenUnsaid(id, inode, answer.readers(), answer.writers());
    context.leases.Answer(id, inode, answer.number(), answer.kept(), now_ns);
  }
  if (request.all_dropped()) context.leases.DropFormer(id);
  TellOfLeases(context);
  return wire::LeaseAnswersReply();
}

void ExpireOverdueSessions(Context& context) {
  for (const SessionId session : context.leases.TakeOverdue(context.clock.MonotonicNs())) {
    spdlog::warn("session {} has not given back a lease within its life", Raw(session));
    ExpireSession(context, session);
  }
}

}  // namespace ringfs::master
