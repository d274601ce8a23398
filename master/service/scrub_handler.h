#pragma once

#include "common/result.h"
#include "master/service/context.h"
#include "proto/scrub.pb.h"

namespace ringfs::master {

// Orders all chunkservers that are in contact to verify their blocks, those that have not said that
// they know of this order, and tells how far each was at its last heartbeat.
Result<wire::ScrubReply> OrderScrub(Context& context, const wire::ScrubRequest& request);

}  // namespace ringfs::master
