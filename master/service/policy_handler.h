#pragma once

#include "master/service/context.h"
#include "proto/namespace.pb.h"

namespace ringfs::master {

// How the files that are made in the directory, or the file itself, are kept. As by default where
// there is no such inode.
wire::PolicyReply PolicyOf(const Context& context, InodeId inode);

// MASTER_POLICY. kNotDirectory; kInvalid: out of bounds, or more replicas than chunkservers.
Result<wire::PolicyReply> AnswerPolicy(Context& context, const wire::PolicyRequest& request);

}  // namespace ringfs::master
