#pragma once

#include "master/leases/lease_table.h"
#include "master/state/state_machine.h"
#include "proto/namespace.pb.h"

namespace ringfs::master {

// What a change needs of other sessions before it is applied to the state as it is now: for every
// inode that it would touch that nobody has it cached, and for one that it only opens that nobody
// holds changes of it back. docs/architecture.md, "Leases", lists it. A change that fails on this
// state needs nothing. Time of the last access that follows from reading needs nothing either.
LeaseWants NeedsOfChange(const StateMachine& state, const wire::MetaRequest& request);

// The same for a query, or an Open without truncate, that has (or would have) this answer: that
// nobody holds changes back of what the answer shows. Entries of a listing are not among it. To open
// for writing what others have open for writing needs that they have nothing cached: see Granter.
LeaseWants NeedsOfAnswer(const StateMachine& state, const wire::MetaRequest& request,
                         const Result<wire::MetaReply>& answer);

}  // namespace ringfs::master
