#pragma once

#include <vector>

#include "master/service/context.h"

namespace ringfs::master {

// Names in `reply`, to a session that caches, the leases under which what it shows may be cached:
// grants them where nobody else is in the way. To be called in the same step in which the reply was
// computed. `request` is a query, an Open or a BeginAppend.
void GrantForAnswer(Context& context, const wire::MetaRequest& request, wire::MetaReply& reply);
// The same for a change: leases on what it shows, and those that the session had on what else the
// change has `touched`.
void GrantForChange(Context& context, const wire::MetaRequest& request,
                    const std::vector<InodeId>& touched, wire::MetaReply& reply);
// Takes out the leases that do not stand any more. To be called when the reply leaves: it was
// recalled meanwhile, and the client may have answered already.
void KeepStandingLeases(Context& context, SessionId session, wire::MetaReply& reply);

// A listing shows no attributes of inodes of which another session holds changes back.
void HideHeldBack(Context& context, SessionId session, wire::MetaReply& reply);

}  // namespace ringfs::master
