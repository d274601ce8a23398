#include "chunkserver/wire.h"

#include <algorithm>
#include <utility>

#include "common/crc32c.h"

namespace ringfs::chunkserver {
namespace {

Result<ChangeKind> KindFromWire(wire::ChangeKind kind) {
  switch (kind) {
    case wire::CHANGE_WRITE:
      return ChangeKind::kWrite;
    case wire::CHANGE_ZERO:
      return ChangeKind::kZero;
    case wire::CHANGE_TRUNCATE:
      return ChangeKind::kTruncate;
    case wire::CHANGE_REPLACE:
      return ChangeKind::kReplace;
    default:
      return Fail(Errc::kInvalid, "a change of an unknown kind");
  }
}

wire::ChangeKind KindToWire(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kWrite:
      return wire::CHANGE_WRITE;
    case ChangeKind::kZero:
      return wire::CHANGE_ZERO;
    case ChangeKind::kTruncate:
      return wire::CHANGE_TRUNCATE;
    case ChangeKind::kReplace:
      return wire::CHANGE_REPLACE;
  }
  return wire::CHANGE_WRITE;
}

size_t PiecesOf(uint64_t offset, uint64_t length) {
  if (length == 0) return 0;
  return (offset + length - 1) / kChecksumUnit - offset / kChecksumUnit + 1;
}

Result<BlockChange> ChangeFromWire(const wire::Change& wire, Buffer payload) {
  const Result<BlockKey> key = FromWire(wire.block());
  if (!key) return Fail(key.error());
  const Result<ChangeKind> kind = KindFromWire(wire.kind());
  if (!kind) return Fail(kind.error());
  BlockChange change;
  change.key = *key;
  change.kind = *kind;
  change.offset = wire.offset();
  // A truncation names its end in `offset`.
  change.length = *kind == ChangeKind::kTruncate ? wire.offset() : wire.length();
  change.block_size = kMaxBlockSize;
  if (uint64_t{wire.offset()} + wire.length() > kMaxBlockSize) {
    return Fail(Errc::kInvalid, "a change beyond the end of any block");
  }
  const bool carries = *kind == ChangeKind::kWrite || *kind == ChangeKind::kReplace;
  if (payload.size() != (carries ? wire.length() : 0)) {
    return Fail(Errc::kInvalid, "a payload that is not as long as the change");
  }
  if (!carries) return change;
  if (*kind == ChangeKind::kReplace) change.offset = 0;
  if (PiecesOf(change.offset, change.length) != static_cast<size_t>(wire.checksums_size())) {
    return Fail(Errc::kInvalid, "checksums that do not fit the payload");
  }
  change.checksums.assign(wire.checksums().begin(), wire.checksums().end());
  if (!payload.empty()) change.data.push_back(std::move(payload));
  return change;
}

void ChangeToWire(const BlockChange& change, wire::Change& out) {
  ToWire(change.key, *out.mutable_block());
  out.set_kind(KindToWire(change.kind));
  out.set_offset(change.kind == ChangeKind::kTruncate ? change.length : change.offset);
  if (change.kind != ChangeKind::kTruncate) out.set_length(change.length);
  out.mutable_checksums()->Add(change.checksums.begin(), change.checksums.end());
}

Result<WriteTag> TagFrom(uint64_t session, uint32_t channel, uint64_t sequence) {
  if (channel >= kMaxChannels) return Fail(Errc::kInvalid, "a channel's number is 0 to 255");
  return WriteTag{SessionId{session}, channel, sequence};
}

Result<std::vector<TagRecord>> TagsFromWire(
    const google::protobuf::RepeatedPtrField<wire::Tag>& tags) {
  if (tags.size() > static_cast<int>(kMaxTagRecords)) {
    return Fail(Errc::kInvalid, "too many write tags");
  }
  std::vector<TagRecord> records;
  for (const wire::Tag& wire : tags) {
    const Result<WriteTag> tag = TagFrom(wire.session(), wire.channel(), wire.sequence());
    if (!tag) return Fail(tag.error());
    records.push_back(TagRecord{*tag, FromWire(wire.version())});
  }
  return records;
}

void TagsToWire(const std::vector<TagRecord>& tags,
                google::protobuf::RepeatedPtrField<wire::Tag>& out) {
  for (const TagRecord& record : tags) {
    wire::Tag& tag = *out.Add();
    tag.set_session(Raw(record.tag.session));
    tag.set_channel(record.tag.channel);
    tag.set_sequence(record.tag.sequence);
    ToWire(record.version, *tag.mutable_version());
  }
}

}  // namespace

Result<BlockKey> FromWire(const wire::BlockId& id) {
  if (id.pool() == 0 || id.data() == 0) return Fail(Errc::kInvalid, "a block without a name");
  return BlockKey{PoolId{id.pool()}, DataId{id.data()}, id.index()};
}

BlockVersion FromWire(const wire::Version& version) {
  return BlockVersion{version.bucket_version(), version.counter()};
}

Result<WriteOrder> FromWire(const wire::WriteRequest& request, Buffer payload) {
  Result<BlockChange> change = ChangeFromWire(request.change(), std::move(payload));
  if (!change) return Fail(change.error());
  if (change->kind == ChangeKind::kReplace) {
    return Fail(Errc::kInvalid, "only a head replaces blocks");
  }
  const Result<WriteTag> tag = TagFrom(request.session(), request.channel(), request.sequence());
  if (!tag) return Fail(tag.error());
  WriteOrder order;
  order.tag = *tag;
  order.bucket_version = request.bucket_version();
  order.change = std::move(*change);
  order.sync = request.change().sync();
  return order;
}

Result<Replication> FromWire(const wire::ReplicateRequest& request, Buffer payload) {
  Result<BlockChange> change = ChangeFromWire(request.change(), std::move(payload));
  if (!change) return Fail(change.error());
  Result<std::vector<TagRecord>> tags = TagsFromWire(request.tags());
  if (!tags) return Fail(tags.error());
  const Result<WriteTag> tag = TagFrom(request.session(), request.channel(), request.sequence());
  if (!tag) return Fail(tag.error());
  Replication message;
  message.head = ServerId{request.head()};
  message.bucket_version = request.bucket_version();
  message.change = std::move(*change);
  message.change.version = FromWire(request.version());
  message.change.expected = FromWire(request.previous());
  if (Raw(tag->session) != 0) message.change.tag = *tag;
  message.sync = request.change().sync();
  message.change.copied_tags = std::move(*tags);
  return message;
}

Result<Listing> FromWire(const wire::ListBucketRequest& request) {
  Listing listing;
  listing.from = ServerId{request.server()};
  listing.pool = PoolId{request.pool()};
  listing.bucket = BucketId{request.bucket()};
  listing.bucket_version = request.bucket_version();
  listing.limit = request.limit();
  listing.compulsory = request.compulsory();
  if (!request.has_after()) return listing;
  listing.after = BlockKey{listing.pool, DataId{request.after().data()}, request.after().index()};
  return listing;
}

BlockPage FromWire(const wire::ListBucketReply& reply) {
  BlockPage page;
  page.end = reply.end();
  page.blocks.reserve(static_cast<size_t>(reply.blocks_size()));
  for (const wire::BlockInfo& wire : reply.blocks()) {
    BlockInfo info;
    info.key =
        BlockKey{PoolId{wire.block().pool()}, DataId{wire.block().data()}, wire.block().index()};
    info.version = FromWire(wire.version());
    info.length = wire.length();
    info.digest = wire.digest();
    page.blocks.push_back(info);
  }
  return page;
}

Result<BlockCopy> FromWire(const wire::FetchReply& reply, Buffer payload) {
  Result<std::vector<TagRecord>> tags = TagsFromWire(reply.tags());
  if (!tags) return Fail(tags.error());
  BlockCopy copy;
  copy.version = FromWire(reply.version());
  copy.checksums.assign(reply.checksums().begin(), reply.checksums().end());
  copy.data = std::move(payload);
  copy.tags = std::move(*tags);
  return copy;
}

void ToWire(const BlockKey& key, wire::BlockId& out) {
  out.set_pool(Raw(key.pool));
  out.set_data(Raw(key.data));
  out.set_index(key.index);
}

void ToWire(const BlockVersion& version, wire::Version& out) {
  out.set_bucket_version(version.bucket_version);
  out.set_counter(version.counter);
}

void ToWire(const BlockInfo& info, wire::BlockInfo& out) {
  ToWire(info.key, *out.mutable_block());
  ToWire(info.version, *out.mutable_version());
  out.set_length(info.length);
  out.set_digest(info.digest);
}

wire::ReplicateRequest ToWire(const Replication& message) {
  wire::ReplicateRequest request;
  request.set_head(Raw(message.head));
  request.set_bucket_version(message.bucket_version);
  ToWire(message.change.version, *request.mutable_version());
  if (message.change.expected) ToWire(*message.change.expected, *request.mutable_previous());
  ChangeToWire(message.change, *request.mutable_change());
  request.mutable_change()->set_sync(message.sync);
  if (message.change.tag) {
    request.set_session(Raw(message.change.tag->session));
    request.set_channel(message.change.tag->channel);
    request.set_sequence(message.change.tag->sequence);
  }
  TagsToWire(message.change.copied_tags, *request.mutable_tags());
  return request;
}

wire::ListBucketRequest ToWire(const Listing& listing) {
  wire::ListBucketRequest request;
  request.set_server(Raw(listing.from));
  request.set_pool(Raw(listing.pool));
  request.set_bucket(Raw(listing.bucket));
  request.set_bucket_version(listing.bucket_version);
  if (listing.after) ToWire(*listing.after, *request.mutable_after());
  request.set_limit(listing.limit);
  request.set_compulsory(listing.compulsory);
  return request;
}

wire::ListBucketReply ToWire(const BlockPage& page) {
  wire::ListBucketReply reply;
  for (const BlockInfo& info : page.blocks) ToWire(info, *reply.add_blocks());
  reply.set_end(page.end);
  return reply;
}

wire::FetchReply ToWire(const BlockCopy& copy) {
  wire::FetchReply reply;
  ToWire(copy.version, *reply.mutable_version());
  reply.mutable_checksums()->Add(copy.checksums.begin(), copy.checksums.end());
  TagsToWire(copy.tags, *reply.mutable_tags());
  return reply;
}

std::vector<uint32_t> PieceChecksums(uint32_t offset, std::span<const std::byte> data) {
  std::vector<uint32_t> checksums;
  checksums.reserve(PiecesOf(offset, data.size()));
  size_t at = 0;
  while (at < data.size()) {
    const size_t in_unit = (offset + at) % kChecksumUnit;
    const size_t piece = std::min<size_t>(kChecksumUnit - in_unit, data.size() - at);
    checksums.push_back(Crc32c(data.subspan(at, piece)));
    at += piece;
  }
  return checksums;
}

wire::ScrubReport ToWire(const Scrub::Report& report) {
  const auto fill = [](const ScrubPass& pass, wire::ScrubPass& out) {
    out.set_order(pass.order);
    out.set_blocks(pass.blocks);
    out.set_bytes(pass.bytes);
    out.set_blocks_held(pass.blocks_held);
    out.set_bad(pass.bad);
    out.set_repaired(pass.repaired);
    out.set_took_ms(pass.took_ms);
  };
  wire::ScrubReport out;
  out.set_running(report.running);
  if (report.running) fill(report.now, *out.mutable_now());
  for (const ScrubPass& pass : report.ended) fill(pass, *out.add_ended());
  out.set_bad(report.bad);
  out.set_repaired(report.repaired);
  return out;
}

}  // namespace ringfs::chunkserver
