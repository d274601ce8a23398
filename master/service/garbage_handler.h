#pragma once

#include "master/service/context.h"

namespace ringfs::master {

// The queue of content that is to be removed from the chunkservers.

// Sends the next batch to each server that is connected and has none out.
void PushGarbage(Context& context);
// Takes those entries off the queue that every server has removed. A server that is down keeps its
// entries there; one that is gone for good does not count.
void RemoveGarbage(Context& context);

}  // namespace ringfs::master
