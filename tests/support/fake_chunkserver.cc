#include "tests/support/fake_chunkserver.h"

#include <algorithm>
#include <cstring>

#include "common/crc32c.h"
#include "common/ring/ring.h"

namespace ringfs {
namespace {

BlockKey KeyOf(const wire::BlockId& block) {
  return BlockKey{PoolId{block.pool()}, DataId{block.data()}, block.index()};
}

void SetVersion(BlockVersion version, wire::Version& out) {
  out.set_bucket_version(version.bucket_version);
  out.set_counter(version.counter);
}

template <typename Message, typename Then>
Result<rpc::Reply> With(const rpc::Call& call, Then then) {
  auto request = rpc::Parse<Message>(call.body);
  if (!request) return Fail(request.error());
  return then(*request);
}

}  // namespace

asio::awaitable<Result<rpc::Reply>> FakeChunkserver::Handle(std::shared_ptr<rpc::Peer> peer,
                                                            rpc::Call call) {
  methods.push_back(call.method);
  if (before) {
    if (auto error = before(call.method)) co_return Fail(*error);
  }
  auto reply = Carry(call);
  if (lose_answer && lose_answer(call.method)) peer->Close();
  co_return reply;
}

Result<rpc::Reply> FakeChunkserver::Carry(const rpc::Call& call) {
  switch (call.method) {
    case wire::CHUNK_HELLO: {
      wire::HelloReply reply;
      reply.set_cluster_id(map_.cluster_id());
      reply.set_server(server_);
      return rpc::ReplyWith(reply);
    }
    case wire::CHUNK_WRITE:
      return With<wire::WriteRequest>(call, [&](const auto& request) {
        writes.push_back(request);
        return Write(request, call.payload);
      });
    case wire::CHUNK_READ:
      return With<wire::ReadRequest>(call, [&](const auto& request) { return Read(request); });
    case wire::CHUNK_SYNC:
      return With<wire::SyncRequest>(call, [&](const auto& request) {
        syncs.push_back(request);
        return Result<rpc::Reply>(rpc::ReplyWith(wire::SyncReply()));
      });
    case wire::CHUNK_STAT:
      return With<wire::StatBlocksRequest>(call,
                                           [&](const auto& request) { return Stat(request); });
    case wire::CHUNK_DROP:
      return With<wire::DropRequest>(call, [&](const auto& request) {
        drops.push_back(request);
        return Drop(request);
      });
    default:
      return Fail(Errc::kNotSupported);
  }
}

Result<void> FakeChunkserver::Judge(const wire::BlockId& block, uint64_t bucket_version,
                                    bool as_head) const {
  const uint32_t bits = map_.pools(0).bucket_bits();
  const BucketId id = BucketOf(DataId{block.data()}, block.index(), bits);
  const wire::Bucket& bucket = map_.tables(0).buckets(static_cast<int>(Raw(id)));
  if (bucket.version() != bucket_version) return Fail(Errc::kStaleEpoch);
  for (int i = 0; i < bucket.servers_size(); ++i) {
    if (bucket.states(i) != wire::MEMBER_SERVING) continue;
    if (bucket.servers(i) == server_) return {};
    if (as_head) return Fail(Errc::kNotHead);
  }
  return Fail(Errc::kNotServing);
}

Result<rpc::Reply> FakeChunkserver::Write(const wire::WriteRequest& request,
                                          const Buffer& payload) {
  const wire::Change& change = request.change();
  auto judged = Judge(change.block(), request.bucket_version(), true);
  if (!judged) return Fail(judged.error());
  FakeBlocks::Done& done = blocks_.tags[{request.session(), request.channel()}];
  if (request.sequence() < done.sequence) return Fail(Errc::kProtocol, "sequence");
  if (request.sequence() > done.sequence) {
    const BlockVersion old = blocks_.blocks[KeyOf(change.block())].version;
    const BlockVersion version{request.bucket_version(), old.counter + 1};
    auto changed = Change(change, payload, version);
    if (!changed) return Fail(changed.error());
    ++blocks_.applied;
    done = FakeBlocks::Done{request.sequence(), version};
  }
  wire::WriteReply reply;
  SetVersion(done.version, *reply.mutable_version());
  return rpc::ReplyWith(reply);
}

Result<void> FakeChunkserver::Change(const wire::Change& change, const Buffer& payload,
                                     BlockVersion version) {
  FakeBlocks::Block& block = blocks_.blocks[KeyOf(change.block())];
  const size_t end = size_t{change.offset()} + change.length();
  if (change.kind() == wire::CHANGE_WRITE) {
    if (payload.size() != change.length()) return Fail(Errc::kProtocol, "length");
    size_t at = 0;
    for (const uint32_t checksum : change.checksums()) {
      const size_t piece = kChecksumUnit - (change.offset() + at) % kChecksumUnit;
      const size_t size = std::min(piece, payload.size() - at);
      if (Crc32c(payload.bytes().subspan(at, size)) != checksum) return Fail(Errc::kCorrupted);
      at += size;
    }
    if (at != payload.size()) return Fail(Errc::kProtocol, "checksums");
    block.bytes.resize(std::max(block.bytes.size(), end));
    std::memcpy(block.bytes.data() + change.offset(), payload.data(), payload.size());
  } else if (change.kind() == wire::CHANGE_ZERO) {
    for (size_t i = change.offset(); i < std::min(end, block.bytes.size()); ++i) {
      block.bytes[i] = std::byte{0};
    }
  } else {
    block.bytes.resize(std::min<size_t>(block.bytes.size(), change.offset()));
  }
  block.version = version;
  return {};
}

Result<rpc::Reply> FakeChunkserver::Read(const wire::ReadRequest& request) {
  auto judged = Judge(request.block(), request.bucket_version(), false);
  if (!judged) return Fail(judged.error());
  const auto found = blocks_.blocks.find(KeyOf(request.block()));
  const std::vector<std::byte> none;
  const std::vector<std::byte>& bytes = found == blocks_.blocks.end() ? none : found->second.bytes;
  const size_t begin = std::min<size_t>(request.offset(), bytes.size());
  const size_t end = std::min<size_t>(size_t{request.offset()} + request.length(), bytes.size());
  Buffer payload = Buffer::CopyOf(std::span(bytes).subspan(begin, end - begin));
  wire::ReadReply reply;
  reply.set_block_length(static_cast<uint32_t>(bytes.size()));
  for (const uint32_t checksum : Crc32cUnits(payload.bytes())) reply.add_checksums(checksum);
  if (corrupt_reads > 0 && !payload.empty()) {
    --corrupt_reads;
    payload.data()[0] ^= std::byte{1};
  }
  std::vector<Buffer> pieces;
  if (!payload.empty()) pieces.push_back(payload);
  return rpc::ReplyWith(reply, std::move(pieces));
}

Result<rpc::Reply> FakeChunkserver::Stat(const wire::StatBlocksRequest& request) {
  wire::StatBlocksReply reply;
  for (const wire::SyncItem& item : request.items()) {
    auto judged = Judge(item.block(), item.bucket_version(), false);
    if (!judged) return Fail(judged.error());
    wire::BlockInfo& info = *reply.add_blocks();
    *info.mutable_block() = item.block();
    const auto found = blocks_.blocks.find(KeyOf(item.block()));
    if (found == blocks_.blocks.end()) continue;
    const std::vector<std::byte>& bytes = found->second.bytes;
    SetVersion(found->second.version, *info.mutable_version());
    info.set_length(static_cast<uint32_t>(bytes.size()));
    for (size_t at = 0; at < bytes.size(); at += kChecksumUnit) {
      const auto unit =
          std::span(bytes).subspan(at, std::min<size_t>(kChecksumUnit, bytes.size() - at));
      const bool data = std::any_of(unit.begin(), unit.end(),
                                    [](std::byte byte) { return byte != std::byte{0}; });
      if (!data) continue;
      wire::Extent& extent = *info.add_data();
      extent.set_offset(static_cast<uint32_t>(at));
      extent.set_length(static_cast<uint32_t>(unit.size()));
    }
  }
  return rpc::ReplyWith(reply);
}

Result<rpc::Reply> FakeChunkserver::Drop(const wire::DropRequest& request) {
  std::erase_if(blocks_.blocks, [&](const auto& entry) {
    return Raw(entry.first.data) == request.data() && entry.first.index >= request.from_index();
  });
  return rpc::ReplyWith(wire::DropReply());
}

}  // namespace ringfs
