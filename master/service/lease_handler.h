#pragma once

#include <memory>

#include "master/service/context.h"
#include "proto/lease.pb.h"
#include "proto/session.pb.h"

namespace ringfs::master {

// Pushes the recalls that the table of leases has made, and wakes the requests that have become
// ready. To be called after whatever may have brought them about.
void TellOfLeases(Context& context);

// The session has a new connection, and `reply` is to be its answer: names there the write leases of
// `request` that stand. Of a run before this one, they are restored.
void ReassertLeases(Context& context, SessionId session, const wire::OpenSessionRequest& request,
                    wire::OpenSessionReply& reply);
// Pushes to the session what it has not answered, once the answer to its OpenSession has left.
void PushRecallsSoon(Context& context, SessionId session, std::shared_ptr<rpc::Peer> peer);

// MASTER_LEASE_ANSWERS. Errors as of SessionOf().
Result<wire::LeaseAnswersReply> LeaseAnswers(Context& context, const rpc::Peer& peer,
                                             const wire::LeaseAnswersRequest& request);

// Expires the sessions that have not answered a recall in time.
void ExpireOverdueSessions(Context& context);

}  // namespace ringfs::master
