#include "client/block_io.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/block_story.h"
#include "client/checksums.h"
#include "common/log.h"

namespace ringfs::client {
namespace {

// What one mount has in flight at most.
constexpr uint32_t kRequestsInFlight = 64;
constexpr uint64_t kBytesInFlight = 64 << 20;
constexpr size_t kZerosBytes = 1 << 20;

void SetBlock(const BlockKey& key, wire::BlockId& block) {
  block.set_pool(Raw(key.pool));
  block.set_data(Raw(key.data));
  block.set_index(key.index);
}

Failure TooMuchInFlight() {
  return Fail(Errc::kTimedOut, fmt::format("{} requests or {} bytes were in flight all the time",
                                           kRequestsInFlight, kBytesInFlight));
}

wire::WriteRequest MakeWriteRequest(const BlockChange& change, SessionId session,
                                    const WriteTag& tag) {
  wire::WriteRequest request;
  request.set_session(Raw(session));
  request.set_channel(tag.channel);
  request.set_sequence(tag.sequence);
  wire::Change& wire_change = *request.mutable_change();
  SetBlock(change.key, *wire_change.mutable_block());
  wire_change.set_kind(change.kind);
  wire_change.set_offset(change.offset);
  wire_change.set_length(change.length);
  wire_change.set_sync(change.sync);
  if (change.kind == wire::CHANGE_WRITE) {
    const auto checksums = PieceChecksums(change.offset, change.data);
    wire_change.mutable_checksums()->Add(checksums.begin(), checksums.end());
  }
  return request;
}

}  // namespace

BlockIo::BlockIo(asio::any_io_executor executor, MasterLink& link, MapKeeper& maps,
                 ChunkLinks& chunks)
    : executor_(executor),
      link_(link),
      maps_(maps),
      chunks_(chunks),
      channels_(executor, kRequestsInFlight),
      requests_(executor, kRequestsInFlight),
      bytes_(executor, kBytesInFlight),
      zeros_(Buffer::Allocate(kZerosBytes)) {
  std::memset(zeros_.data(), 0, zeros_.size());
}

// --- a try

BlockIo::Attempt BlockIo::Aim(const BlockKey& key, Result<BucketPlace>& place) const {
  Attempt attempt{key, link_.session(), ServerId{0}, 0};
  if (place) {
    attempt.server = place->head;
    attempt.bucket_version = place->version;
  }
  return attempt;
}

asio::awaitable<bool> BlockIo::MayTryAgain(Attempt attempt, Errc code, Retry& retry) {
  if (code == Errc::kFenced) {
    link_.Suspect(attempt.session);
    co_return co_await retry.Pause(link_.changed());
  }
  if (!MayRetry(code)) co_return false;
  // The map may have changed while the try was under way.
  const auto place = view().Find(attempt.key);
  if (place && place->version > attempt.bucket_version) co_return retry.left_ms() > 0;
  if (WantsNewMap(code) || code == Errc::kNoServers) maps_.Refresh();
  co_return co_await retry.Pause(maps_.changed());
}

asio::awaitable<std::optional<BlockIo::Room>> BlockIo::TakeRoom(uint64_t bytes,
                                                                int64_t timeout_ms) {
  auto request = co_await requests_.Take(1, timeout_ms);
  if (!request) co_return std::nullopt;
  auto room = co_await bytes_.Take(bytes, timeout_ms);
  if (!room) co_return std::nullopt;
  std::optional<Room> both(Room{*std::move(request), *std::move(room)});
  co_return both;
}

asio::awaitable<Result<rpc::Answer>> BlockIo::Send(ServerId server, uint32_t method,
                                                   std::string body, std::vector<Buffer> payload,
                                                   int64_t timeout_ms) {
  auto channel = chunks_.Get(server);
  if (!channel) co_return Fail(channel.error());
  auto answer = co_await (*channel)->Call(method, std::move(body), std::move(payload), timeout_ms);
  if (!answer && answer.code() == Errc::kCancelled && !chunks_.closed()) {
    co_return Fail(Errc::kUnavailable, "the cluster map says that it is down");
  }
  co_return answer;
}

// --- reading

asio::awaitable<Result<BlockData>> BlockIo::Read(BlockRange range, Deadline deadline) {
  const auto room = co_await TakeRoom(range.length, deadline.left_ms());
  if (!room) co_return TooMuchInFlight();
  const uint32_t begin = range.offset / kChecksumUnit * kChecksumUnit;
  const uint32_t end =
      (range.offset + range.length + kChecksumUnit - 1) / kChecksumUnit * kChecksumUnit;
  wire::ReadRequest request;
  SetBlock(range.key, *request.mutable_block());
  request.set_offset(begin);
  request.set_length(end - begin);
  BlockStory story;
  int mismatches = 0;
  for (Retry retry(deadline);;) {
    auto place = view().Find(range.key);
    const Attempt attempt = Aim(range.key, place);
    Error error;
    if (place) {
      request.set_session(Raw(attempt.session));
      request.set_bucket_version(place->version);
      auto answer = co_await Send(place->head, wire::CHUNK_READ, request.SerializeAsString(), {},
                                  retry.left_ms());
      if (answer) {
        auto data = TakeRead(range, *answer);
        if (data) co_return data;
        error = data.error();
      } else {
        error = answer.error();
      }
    } else {
      error = place.error();
    }
    story.Add(attempt.server, error);
    if (error.code == Errc::kCorrupted && ++mismatches < 2) {
      spdlog::warn("{}; reading once more",
                   story.Tell("read of", range.key, chunks_, error).ToString());
      continue;
    }
    if (!co_await MayTryAgain(attempt, error.code, retry)) {
      co_return Fail(story.Tell("read of", range.key, chunks_, error));
    }
  }
}

Result<BlockData> BlockIo::TakeRead(const BlockRange& range, const rpc::Answer& answer) const {
  auto reply = rpc::Parse<wire::ReadReply>(answer.body);
  if (!reply) return Fail(reply.error());
  const uint32_t begin = range.offset / kChecksumUnit * kChecksumUnit;
  const uint64_t end = uint64_t{range.offset} + range.length;
  const uint64_t stored = reply->block_length();
  const uint64_t wanted = std::min(stored, end) - std::min<uint64_t>(stored, begin);
  const Buffer& payload = answer.payload;
  const uint64_t most = (end - begin + kChecksumUnit - 1) / kChecksumUnit * kChecksumUnit;
  if (payload.size() < wanted || payload.size() > most) {
    return Fail(Errc::kCorrupted, fmt::format("{} bytes came of a block of {}, where {} were asked",
                                              payload.size(), stored, most));
  }
  const std::span<const uint32_t> checksums(reply->checksums().data(),
                                            static_cast<size_t>(reply->checksums_size()));
  if (auto verified = VerifyUnits(payload.bytes(), checksums); !verified) {
    return Fail(verified.error());
  }
  BlockData data;
  const size_t skip = range.offset - begin;
  const size_t good = std::min<uint64_t>(wanted, payload.size());
  const size_t taken = good > skip ? std::min<size_t>(good - skip, range.length) : 0;
  if (taken > 0) data.pieces.push_back(payload.Slice(skip, taken));
  AppendZeros(data, range.length - taken);
  return data;
}

void BlockIo::AppendZeros(BlockData& data, uint64_t size) const {
  data.filled = data.filled || size > 0;
  while (size > 0) {
    const size_t step = std::min<uint64_t>(size, zeros_.size());
    data.pieces.push_back(zeros_.Slice(0, step));
    size -= step;
  }
}

// --- changing

asio::awaitable<Result<BlockVersion>> BlockIo::Change(BlockChange change, Deadline deadline) {
  const auto room = co_await TakeRoom(change.data.empty() ? 0 : change.length, deadline.left_ms());
  if (!room) co_return TooMuchInFlight();
  auto lease = co_await channels_.Take(deadline.left_ms());
  if (!lease) co_return TooMuchInFlight();
  Retry retry(deadline);
  while (Raw(link_.session()) == 0) {
    if (!co_await retry.Pause(link_.changed())) {
      co_return Fail(Errc::kTimedOut, "no session with the master");
    }
  }
  co_return co_await ChangeTagged(std::move(change), *lease, link_.session(), retry);
}

// Borrows `lease`.
asio::awaitable<Result<BlockVersion>> BlockIo::ChangeTagged(BlockChange change,
                                                            WriteChannels::Lease& lease,
                                                            SessionId session, Retry retry) {
  wire::WriteRequest request = MakeWriteRequest(change, session, lease.tag());
  BlockStory story;
  int mismatches = 0;
  for (;;) {
    auto place = view().Find(change.key);
    const Attempt attempt = Aim(change.key, place);
    Error error;
    if (session != attempt.session) {
      error = Error{Errc::kFenced, fmt::format("session {} has expired", Raw(session))};
    } else if (place) {
      request.set_bucket_version(place->version);
      auto answer = co_await Send(place->head, wire::CHUNK_WRITE, request.SerializeAsString(),
                                  change.data, retry.left_ms());
      if (answer) {
        auto reply = rpc::Parse<wire::WriteReply>(answer->body);
        if (reply) {
          co_return BlockVersion{reply->version().bucket_version(), reply->version().counter()};
        }
        error = reply.error();
      } else {
        error = answer.error();
      }
    } else {
      error = place.error();
    }
    story.Add(attempt.server, error);
    // Damaged on its way: once more.
    if (error.code == Errc::kCorrupted && ++mismatches < 2) continue;
    const bool fenced = error.code == Errc::kFenced;
    if (fenced) link_.Suspect(session);
    if (fenced || !co_await MayTryAgain(attempt, error.code, retry)) {
      lease.MarkDoubtful();
      co_return Fail(story.Tell("write of", change.key, chunks_, error));
    }
  }
}

}  // namespace ringfs::client
