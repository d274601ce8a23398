#pragma once

#include <string>
#include <vector>

#include "chunkserver/replication/member_side.h"
#include "chunkserver/replication/messages.h"
#include "chunkserver/replication/scrub.h"
#include "chunkserver/store/block.h"
#include "common/result.h"
#include "proto/chunk.pb.h"
#include "proto/scrub.pb.h"

// Between the messages of proto/chunk.proto and what the protocol works with. What comes from the
// wire is checked here: kInvalid when it is out of its bounds.
namespace ringfs::chunkserver {

// A channel's number is below this.
inline constexpr uint32_t kMaxChannels = 256;

Result<BlockKey> FromWire(const wire::BlockId& id);
BlockVersion FromWire(const wire::Version& version);
Result<WriteOrder> FromWire(const wire::WriteRequest& request, Buffer payload);
Result<Replication> FromWire(const wire::ReplicateRequest& request, Buffer payload);
Result<Listing> FromWire(const wire::ListBucketRequest& request);
BlockPage FromWire(const wire::ListBucketReply& reply);
Result<BlockCopy> FromWire(const wire::FetchReply& reply, Buffer payload);

void ToWire(const BlockKey& key, wire::BlockId& out);
void ToWire(const BlockVersion& version, wire::Version& out);
void ToWire(const BlockInfo& info, wire::BlockInfo& out);
// The payload travels apart: `message.change.data`.
wire::ReplicateRequest ToWire(const Replication& message);
wire::ListBucketRequest ToWire(const Listing& listing);
wire::ListBucketReply ToWire(const BlockPage& page);
wire::FetchReply ToWire(const BlockCopy& copy);
wire::ScrubReport ToWire(const Scrub::Report& report);

// The CRC32C of each piece of `data`, which lies at `offset` of a block, between multiples of 4096.
std::vector<uint32_t> PieceChecksums(uint32_t offset, std::span<const std::byte> data);

}  // namespace ringfs::chunkserver
