#include "chunkserver/service.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "chunkserver/directories.h"
#include "chunkserver/wire.h"
#include "proto/chunk.pb.h"

namespace ringfs::chunkserver {
namespace {

constexpr int64_t kDefaultTimeoutMs = 10'000;
constexpr int kMaxItems = 65536;

Result<std::vector<SyncItem>> ItemsFromWire(
    const google::protobuf::RepeatedPtrField<wire::SyncItem>& wire) {
  if (wire.size() > kMaxItems) return Fail(Errc::kInvalid, "too many blocks in one call");
  std::vector<SyncItem> items;
  items.reserve(static_cast<size_t>(wire.size()));
  for (const wire::SyncItem& item : wire) {
    const Result<BlockKey> key = FromWire(item.block());
    if (!key) return Fail(key.error());
    items.push_back(SyncItem{*key, item.bucket_version()});
  }
  return items;
}

}  // namespace

int64_t ChunkService::Deadline(const rpc::Call& call) const {
  const int64_t timeout_ms = call.timeout_ms > 0 ? call.timeout_ms : kDefaultTimeoutMs;
  return answerer_.replica->context().Now() + timeout_ms;
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Handle(std::shared_ptr<rpc::Peer>,
                                                         rpc::Call call) {
  if (answerer_.replica == nullptr) {
    co_return Fail(Errc::kNotServing, "the server has not registered yet");
  }
  const Foreground::Call counted(answerer_.replica->context().foreground);
  switch (call.method) {
    case wire::CHUNK_HELLO:
      co_return Hello(call);
    case wire::CHUNK_STATUS:
      co_return Status();
    case wire::CHUNK_STATS:
      if (answerer_.metrics == nullptr) co_return Fail(Errc::kNotSupported, "nobody counts");
      co_return rpc::ReplyWith(answerer_.metrics->Read());
    case wire::CHUNK_INSPECT:
      co_return co_await Inspect(std::move(call));
    case wire::CHUNK_SYNC_ALL:
      co_return co_await SyncAll();
    case wire::CHUNK_REPLICATE:
    case wire::CHUNK_FETCH:
    case wire::CHUNK_LIST:
      co_return co_await HandleServer(std::move(call));
    default:
      co_return co_await HandleClient(std::move(call));
  }
}

asio::awaitable<Result<rpc::Reply>> ChunkService::HandleClient(rpc::Call call) {
  switch (call.method) {
    case wire::CHUNK_WRITE:
      co_return co_await Write(std::move(call));
    case wire::CHUNK_READ:
      co_return co_await Read(std::move(call));
    case wire::CHUNK_SYNC:
      co_return co_await Sync(std::move(call));
    case wire::CHUNK_STAT:
      co_return co_await StatBlocks(std::move(call));
    case wire::CHUNK_DROP:
      co_return co_await Drop(std::move(call));
    default:
      co_return Fail(Errc::kNotSupported, "a method that this chunkserver does not know");
  }
}

asio::awaitable<Result<rpc::Reply>> ChunkService::HandleServer(rpc::Call call) {
  switch (call.method) {
    case wire::CHUNK_REPLICATE:
      co_return co_await Replicate(std::move(call));
    case wire::CHUNK_FETCH:
      co_return co_await Fetch(std::move(call));
    default:
      co_return co_await List(std::move(call));
  }
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Write(rpc::Call call) {
  const auto request = rpc::Parse<wire::WriteRequest>(call.body);
  if (!request) co_return Fail(request.error());
  Result<WriteOrder> order = FromWire(*request, std::move(call.payload));
  if (!order) co_return Fail(order.error());
  const auto version = co_await answerer_.replica->head().Write(std::move(*order), Deadline(call));
  if (!version) co_return Fail(version.error());
  wire::WriteReply reply;
  ToWire(*version, *reply.mutable_version());
  co_return rpc::ReplyWith(reply);
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Read(rpc::Call call) {
  const auto request = rpc::Parse<wire::ReadRequest>(call.body);
  if (!request) co_return Fail(request.error());
  const Result<BlockKey> key = FromWire(request->block());
  if (!key) co_return Fail(key.error());
  if (request->offset() % kChecksumUnit != 0 || request->length() > kMaxBlockSize) {
    co_return Fail(Errc::kInvalid, "a read begins at a multiple of 4096");
  }
  auto data = co_await answerer_.replica->head().Read(
      *key, request->bucket_version(), request->offset(), request->length(), Deadline(call));
  if (!data) co_return Fail(data.error());
  wire::ReadReply reply;
  ToWire(data->version, *reply.mutable_version());
  reply.set_block_length(data->length);
  reply.mutable_checksums()->Add(data->checksums.begin(), data->checksums.end());
  std::vector<Buffer> payload;
  if (!data->data.empty()) payload.push_back(std::move(data->data));
  co_return rpc::ReplyWith(reply, std::move(payload));
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Sync(rpc::Call call) {
  const auto request = rpc::Parse<wire::SyncRequest>(call.body);
  if (!request) co_return Fail(request.error());
  auto items = ItemsFromWire(request->items());
  if (!items) co_return Fail(items.error());
  const Result<void> synced =
      co_await answerer_.replica->member().Sync(std::move(*items), Deadline(call));
  if (!synced) co_return Fail(synced.error());
  co_return rpc::ReplyWith(wire::SyncReply());
}

asio::awaitable<Result<rpc::Reply>> ChunkService::StatBlocks(rpc::Call call) {
  const auto request = rpc::Parse<wire::StatBlocksRequest>(call.body);
  if (!request) co_return Fail(request.error());
  const auto items = ItemsFromWire(request->items());
  if (!items) co_return Fail(items.error());
  wire::StatBlocksReply reply;
  for (const SyncItem& item : *items) {
    const auto info =
        co_await answerer_.replica->head().Stat(item.key, item.bucket_version, Deadline(call));
    if (!info) co_return Fail(info.error());
    wire::BlockInfo& out = *reply.add_blocks();
    ToWire(item.key, *out.mutable_block());
    if (!*info) continue;
    ToWire(**info, out);
    if (!request->extents()) continue;
    for (const DataRun& run : (*info)->data) {
      wire::Extent& extent = *out.add_data();
      extent.set_offset(run.offset);
      extent.set_length(run.length);
    }
  }
  co_return rpc::ReplyWith(reply);
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Drop(rpc::Call call) {
  const auto request = rpc::Parse<wire::DropRequest>(call.body);
  if (!request) co_return Fail(request.error());
  const DropRequest drop{
      SessionId{request->session()}, request->number(),       request->epoch(),
      PoolId{request->pool()},       DataId{request->data()}, request->from_index()};
  const Result<void> dropped = co_await answerer_.replica->Drop(drop);
  if (!dropped) co_return Fail(dropped.error());
  co_return rpc::ReplyWith(wire::DropReply());
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Replicate(rpc::Call call) {
  const auto request = rpc::Parse<wire::ReplicateRequest>(call.body);
  if (!request) co_return Fail(request.error());
  Result<Replication> message = FromWire(*request, std::move(call.payload));
  if (!message) co_return Fail(message.error());
  wire::ReplicateReply reply;
  ToWire(message->change.version, *reply.mutable_version());
  const Result<void> made = co_await answerer_.replica->member().Replicate(std::move(*message));
  if (!made) co_return Fail(made.error());
  co_return rpc::ReplyWith(reply);
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Fetch(rpc::Call call) {
  const auto request = rpc::Parse<wire::FetchRequest>(call.body);
  if (!request) co_return Fail(request.error());
  const Result<BlockKey> key = FromWire(request->block());
  if (!key) co_return Fail(key.error());
  const Result<BlockCopy> copy = co_await answerer_.replica->member().Fetch(*key);
  if (!copy) co_return Fail(copy.error());
  std::vector<Buffer> payload;
  if (!copy->data.empty()) payload.push_back(copy->data);
  co_return rpc::ReplyWith(ToWire(*copy), std::move(payload));
}

asio::awaitable<Result<rpc::Reply>> ChunkService::List(rpc::Call call) {
  const auto request = rpc::Parse<wire::ListBucketRequest>(call.body);
  if (!request) co_return Fail(request.error());
  const Result<Listing> listing = FromWire(*request);
  if (!listing) co_return Fail(listing.error());
  const auto page = co_await answerer_.replica->member().List(*listing, Deadline(call));
  if (!page) co_return Fail(page.error());
  co_return rpc::ReplyWith(ToWire(*page));
}

asio::awaitable<Result<rpc::Reply>> ChunkService::Inspect(rpc::Call call) {
  constexpr uint32_t kMostInspected = 4096;
  const auto request = rpc::Parse<wire::InspectRequest>(call.body);
  if (!request) co_return Fail(request.error());
  std::vector<BlockInfo> blocks;
  wire::InspectReply reply;
  reply.set_end(true);
  if (request->only_size() > kMaxItems) co_return Fail(Errc::kInvalid, "too many blocks");
  for (const wire::BlockId& id : request->only()) {
    const Result<BlockKey> key = FromWire(id);
    if (!key) co_return Fail(key.error());
    const Result<BlockInfo> info = co_await answerer_.blocks->Stat(*key);
    if (!info && info.code() != Errc::kNotFound) co_return Fail(info.error());
    if (info) blocks.push_back(*info);
  }
  if (request->only().empty()) {
    std::optional<BlockKey> after;
    if (request->has_after()) {
      const Result<BlockKey> key = FromWire(request->after());
      if (!key) co_return Fail(key.error());
      after = *key;
    }
    const uint32_t limit = std::clamp<uint32_t>(request->limit(), 1, kMostInspected);
    const PoolId pool{request->pool()};
    const BucketId bucket{request->bucket()};
    auto page = co_await answerer_.blocks->List(pool, bucket, after, limit);
    if (!page) co_return Fail(page.error());
    reply.set_end(page->size() < limit);
    blocks = std::move(*page);
  }
  const std::set<BlockKey>& unrepaired = answerer_.replica->scrub().unrepaired();
  for (BlockInfo& info : blocks) {
    info.data.clear();
    wire::BlockInfo& out = *reply.add_blocks();
    ToWire(info, out);
    out.set_rotten(unrepaired.contains(info.key));
  }
  co_return rpc::ReplyWith(reply);
}

asio::awaitable<Result<rpc::Reply>> ChunkService::SyncAll() {
  const Result<void> synced = co_await answerer_.blocks->SyncAll();
  if (!synced) co_return Fail(synced.error());
  co_return rpc::ReplyWith(wire::SyncAllReply());
}

Result<rpc::Reply> ChunkService::Hello(const rpc::Call& call) const {
  const auto request = rpc::Parse<wire::HelloRequest>(call.body);
  if (!request) return Fail(request.error());
  const uint32_t self = Raw(answerer_.replica->context().self);
  if (request->cluster_id() != answerer_.cluster_id) {
    return Fail(Errc::kWrongCluster, "this chunkserver belongs to another cluster");
  }
  if (request->server() != self) {
    return Fail(Errc::kUnavailable, "this is server " + std::to_string(self));
  }
  wire::HelloReply reply;
  reply.set_cluster_id(answerer_.cluster_id);
  reply.set_server(self);
  return rpc::ReplyWith(reply);
}

Result<rpc::Reply> ChunkService::Status() const {
  Context& context = answerer_.replica->context();
  wire::ChunkStatusReply reply;
  reply.set_server(Raw(context.self));
  reply.set_uuid(answerer_.uuid);
  reply.set_address(answerer_.address);
  reply.set_version(RINGFS_VERSION);
  reply.set_epoch(context.map.epoch());
  reply.set_serving(context.lease.Valid(context.Now()));
  for (const StoreSet::Status& status : answerer_.blocks->stores().Statuses()) {
    wire::StoreInfo& store = *reply.add_stores();
    store.set_directory(status.name);
    store.set_failed(status.error.has_value());
    if (status.error) store.set_failure(status.error->ToString());
  }
  return rpc::ReplyWith(reply);
}

}  // namespace ringfs::chunkserver
