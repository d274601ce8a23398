#include "chunkserver/replication/head.h"

#include <limits>
#include <utility>

#include "common/async.h"
#include "common/log.h"

namespace ringfs::chunkserver {
namespace {

constexpr size_t kKnownKept = 65536;
constexpr size_t kUnansweredAtMost = 32;
constexpr BlockVersion kNever{std::numeric_limits<uint64_t>::max(), 0};

bool NeedsCopy(Errc code) { return code == Errc::kVersionMismatch || code == Errc::kCorrupted; }

}  // namespace

Head::Head(Context& context)
    : context_(context),
      equaliser_(context),
      activation_(context, drops_, [this](const Place& place, const BlockKey& key) {
        unsettled_[key] = Unsettled{place.version, BlockVersion{}};
      }) {}

asio::awaitable<Result<BlockVersion>> Head::Write(WriteOrder order, int64_t deadline_ms) {
  const BlockKey key = order.change.key;
  const auto bucket = context_.map.BucketOfBlock(key);
  if (!bucket) co_return Fail(Errc::kNotServing, "no such pool");
  const Result<void> ready = co_await Ready(*bucket, order.bucket_version, deadline_ms);
  if (!ready) co_return Fail(ready.error());
  const Result<void> admitted = co_await context_.fence.Admit(order.tag.session);
  if (!admitted) co_return Fail(admitted.error());
  const BlockLocks::Guard guard = co_await context_.locks.Exclusive(key);
  // From here to the counting of the change nothing else runs: this is where it is ordered.
  const Result<void> head = context_.CheckHead(*bucket, order.bucket_version);
  if (!head) co_return Fail(head.error());
  const Result<void> live = context_.fence.CheckLive(order.tag.session);
  if (!live) co_return Fail(live.error());
  if (context_.Now() >= deadline_ms) co_return Fail(Errc::kTimedOut, "the block was in use");
  const BucketState::Change in_bucket(context_.states.At(*bucket), order.bucket_version);
  const Fence::Change of_session(context_.fence, order.tag.session);
  const Place place{*bucket, order.bucket_version, deadline_ms};
  co_return co_await Ordered(place, std::move(order));
}

asio::awaitable<Result<BlockVersion>> Head::Ordered(Place place, WriteOrder order) {
  const Result<Standing> standing = co_await FindStanding(place, order);
  if (!standing) co_return Fail(standing.error());
  if (standing->repeated) co_return co_await Again(place, std::move(order), *standing->repeated);
  Replication message;
  message.head = context_.self;
  message.bucket_version = place.version;
  message.sync = order.sync;
  message.change = std::move(order.change);
  message.change.expected = standing->version;
  message.change.version = BlockVersion{place.version, standing->version.counter + 1};
  message.change.tag = order.tag;
  co_return co_await Carry(place, std::move(message));
}

asio::awaitable<Result<Head::Standing>> Head::FindStanding(Place place, const WriteOrder& order) {
  const BlockKey key = order.change.key;
  const Result<void> settled = co_await SettleIfNeeded(place, key);
  if (!settled) co_return Fail(settled.error());
  Standing standing;
  const auto known = known_.find(key);
  if (known != known_.end() && known->second.bucket_version == place.version) {
    standing.version = known->second.version;
  } else {
    const auto info = co_await OwnBlock(context_, key);
    if (!info) co_return Fail(info.error());
    if (*info) standing.version = (*info)->version;
  }
  const auto last = context_.seams.blocks.LastTag(order.tag.session, order.tag.channel);
  if (!last || last->sequence < order.tag.sequence) co_return standing;
  if (last->sequence > order.tag.sequence) {
    co_return Fail(Errc::kInvalid, "the channel has written something newer");
  }
  if (last->key != key) co_return Fail(Errc::kInvalid, "the sequence belongs to another write");
  if (last->version <= standing.version) standing.repeated = last->version;
  co_return standing;
}

// The members have it, since the block is settled; what may be missing is that it is durable.
asio::awaitable<Result<BlockVersion>> Head::Again(Place place, WriteOrder order,
                                                  BlockVersion version) {
  if (!order.sync) co_return version;
  const auto own = co_await OwnBlock(context_, order.change.key);
  if (!own) co_return Fail(own.error());
  if (!*own) co_return version;  // dropped since
  Replication message;
  message.head = context_.self;
  message.bucket_version = place.version;
  message.sync = true;
  message.change.key = order.change.key;
  message.change.kind = ChangeKind::kTruncate;
  message.change.length = (*own)->length;
  message.change.version = (*own)->version;
  message.change.expected = kNever;  // nothing is to be changed
  for (const ServerId server : context_.Required(place.bucket, place.version)) {
    auto ask = [&](int64_t timeout_ms) {
      return context_.seams.members.Replicate(server, message, timeout_ms);
    };
    const Result<void> synced = co_await AskUntilAnswered(context_, place, std::move(ask));
    if (!synced) co_return Fail(synced.error());
  }
  std::vector<BlockKey> keys(1, order.change.key);
  const Result<void> synced = co_await context_.seams.blocks.Sync(std::move(keys));
  if (!synced) co_return Fail(synced.error());
  co_return version;
}

asio::awaitable<Result<BlockVersion>> Head::Carry(Place place, Replication message) {
  const BlockKey key = message.change.key;
  const BlockVersion version = message.change.version;
  const uint64_t drops_made = drops_made_;
  const auto shared = std::make_shared<const Replication>(std::move(message));
  std::vector<Outcome> outcomes;
  for (const ServerId server : context_.Required(place.bucket, place.version)) {
    outcomes.push_back(Outcome{server, {}});
  }
  // Until all have answered well, nobody may be shown what some have.
  unsettled_[key] = Unsettled{place.version, version};
  Group group(context_.seams.executor);
  for (Outcome& outcome : outcomes) group.Start(Send(place, shared, outcome));
  SendToSyncing(place, shared);
  const Result<void> local = co_await context_.seams.blocks.Apply(shared->change, shared->sync);
  co_await group.Wait();
  bool all = static_cast<bool>(local);
  for (const Outcome& outcome : outcomes) all = all && outcome.result;
  if (!all) co_return co_await Mend(place, *shared, local, std::move(outcomes));
  unsettled_.erase(key);
  if (drops_made == drops_made_) Remember(place, key, version);
  co_return version;
}

// Some have made the change and some have not. Where the others only lack what this server or a
// member has, they get it and the change has succeeded.
asio::awaitable<Result<BlockVersion>> Head::Mend(Place place, Replication message,
                                                 Result<void> local,
                                                 std::vector<Outcome> outcomes) {
  const BlockKey key = message.change.key;
  known_.erase(key);
  outcomes.push_back(Outcome{context_.self, local});
  for (const Outcome& outcome : outcomes) {
    if (outcome.result || NeedsCopy(outcome.result.code())) continue;
    co_return Fail(outcome.result.error());
  }
  const Result<void> settled = co_await SettleIfNeeded(place, key);
  if (!settled) co_return Fail(settled.error());
  const auto own = co_await OwnBlock(context_, key);
  if (!own) co_return Fail(own.error());
  if (*own && (*own)->version == message.change.version) co_return message.change.version;
  if (local.code() == Errc::kVersionMismatch) {
    co_return Fail(Errc::kUnavailable, "the block was dropped meanwhile");
  }
  if (!local) co_return Fail(local.error());
  co_return Fail(Errc::kCorrupted, "the change reached no member whole");
}

asio::awaitable<void> Head::Send(Place place, std::shared_ptr<const Replication> message,
                                 Outcome& outcome) {
  auto ask = [&](int64_t timeout_ms) {
    return context_.seams.members.Replicate(outcome.server, *message, timeout_ms);
  };
  outcome.result = co_await AskUntilAnswered(context_, place, std::move(ask));
}

void Head::SendToSyncing(const Place& place, std::shared_ptr<const Replication> message) {
  const BucketState& state = context_.states.At(place.bucket);
  for (const Member& member : context_.map.Find(place.bucket).members) {
    if (member.state != MemberState::kSyncing) continue;
    const bool compulsory =
        state.compulsory_version == place.version && state.compulsory.contains(member.server);
    // One that is too slow finds out what it lacks when it compares.
    if (compulsory || unanswered_[member.server] >= kUnansweredAtMost) continue;
    ++unanswered_[member.server];
    Spawn(context_.seams.executor, SendAndForget(member.server, message),
          "a change for a syncing member");
  }
}

asio::awaitable<void> Head::SendAndForget(ServerId to, std::shared_ptr<const Replication> message) {
  constexpr int64_t kTimeoutMs = 1000;
  const Result<void> sent = co_await context_.seams.members.Replicate(to, *message, kTimeoutMs);
  // It may not have copied the block yet; that is what it is syncing for.
  if (!sent) spdlog::trace("server {} is syncing: {}", Raw(to), sent.error().ToString());
  --unanswered_[to];
}

bool Head::IsUnsettled(const Place& place, const BlockKey& key) {
  const auto found = unsettled_.find(key);
  if (found == unsettled_.end()) return false;
  if (found->second.bucket_version == place.version) return true;
  unsettled_.erase(found);  // the activation has seen to it
  return false;
}

asio::awaitable<Result<void>> Head::SettleIfNeeded(Place place, BlockKey key) {
  if (!IsUnsettled(place, key)) co_return Result<void>();
  known_.erase(key);
  const BlockVersion attempted = unsettled_[key].attempted;
  const Result<void> settled = co_await equaliser_.Settle(place, key, attempted);
  if (settled && context_.Current(place.bucket, place.version)) unsettled_.erase(key);
  co_return settled;
}

asio::awaitable<Result<BlockData>> Head::Read(BlockKey key, uint64_t bucket_version,
                                              uint32_t offset, uint32_t length,
                                              int64_t deadline_ms) {
  const auto bucket = context_.map.BucketOfBlock(key);
  if (!bucket) co_return Fail(Errc::kNotServing, "no such pool");
  const Result<void> ready = co_await Ready(*bucket, bucket_version, deadline_ms);
  if (!ready) co_return Fail(ready.error());
  const Place place{*bucket, bucket_version, deadline_ms};
  BlockLocks::Guard guard = co_await context_.locks.Shared(key);
  Result<BlockData> data = Fail(Errc::kCorrupted);
  if (!IsUnsettled(place, key)) {
    data = co_await context_.seams.blocks.Read(key, offset, length);
  }
  if (data.code() == Errc::kCorrupted) {
    guard.Release();
    guard = co_await context_.locks.Exclusive(key);
    data = co_await ReadMending(place, key, offset, length);
  }
  if (!data && data.code() == Errc::kNotFound) data = BlockData{};
  // Another may have become head and changed the block while this one was reading.
  const Result<void> still = context_.CheckHead(*bucket, bucket_version);
  if (!still) co_return Fail(still.error());
  co_return data;
}

asio::awaitable<Result<BlockData>> Head::ReadMending(Place place, BlockKey key, uint32_t offset,
                                                     uint32_t length) {
  const Result<void> settled = co_await SettleIfNeeded(place, key);
  // A full disk keeps a change from being spread, which was therefore not answered as made; it does
  // not keep the block from being read.
  if (!settled && settled.code() != Errc::kNoSpace) co_return Fail(settled.error());
  Result<BlockData> data = co_await context_.seams.blocks.Read(key, offset, length);
  if (data || data.code() != Errc::kCorrupted) co_return data;
  const Result<void> repaired = co_await equaliser_.Repair(place, key);
  if (!repaired) co_return Fail(repaired.error());
  co_return co_await context_.seams.blocks.Read(key, offset, length);
}

asio::awaitable<Result<void>> Head::Repair(BlockKey key, uint64_t bucket_version,
                                           int64_t deadline_ms) {
  const auto bucket = context_.map.BucketOfBlock(key);
  if (!bucket) co_return Fail(Errc::kNotServing, "no such pool");
  const Result<void> ready = co_await Ready(*bucket, bucket_version, deadline_ms);
  if (!ready) co_return ready;
  const BlockLocks::Guard guard = co_await context_.locks.Exclusive(key);
  const Result<void> head = context_.CheckHead(*bucket, bucket_version);
  if (!head) co_return head;
  const Place place{*bucket, bucket_version, deadline_ms};
  const Result<void> settled = co_await SettleIfNeeded(place, key);
  if (!settled && settled.code() != Errc::kNoSpace) co_return settled;
  const Result<BlockCheck> check = co_await context_.seams.blocks.Verify(key);
  if (check && check->bad_units.empty()) co_return Result<void>();
  if (!check && check.code() != Errc::kCorrupted) co_return Fail(check.error());
  co_return co_await equaliser_.Repair(place, key);
}

asio::awaitable<Result<std::optional<BlockInfo>>> Head::Stat(BlockKey key, uint64_t bucket_version,
                                                             int64_t deadline_ms) {
  const auto bucket = context_.map.BucketOfBlock(key);
  if (!bucket) co_return Fail(Errc::kNotServing, "no such pool");
  const Result<void> ready = co_await Ready(*bucket, bucket_version, deadline_ms);
  if (!ready) co_return Fail(ready.error());
  const Place place{*bucket, bucket_version, deadline_ms};
  BlockLocks::Guard guard = co_await context_.locks.Shared(key);
  if (IsUnsettled(place, key)) {
    guard.Release();
    guard = co_await context_.locks.Exclusive(key);
    const Result<void> settled = co_await SettleIfNeeded(place, key);
    if (!settled && settled.code() != Errc::kNoSpace) co_return Fail(settled.error());
  }
  auto info = co_await OwnBlock(context_, key);
  const Result<void> still = context_.CheckHead(*bucket, bucket_version);
  if (!still) co_return Fail(still.error());
  co_return info;
}

asio::awaitable<Result<BlockCopy>> Head::Copy(BlockKey key) {
  const BlockLocks::Guard guard = co_await context_.locks.Shared(key);
  co_return co_await context_.seams.blocks.ReadCopy(key);
}

void Head::BeginDrop(PoolId pool, DataId data, uint32_t from) {
  drops_.Add(pool, data, from, context_.Now());
  EndDrop();
}

void Head::EndDrop() {
  known_.clear();
  ++drops_made_;
}

void Head::Remember(const Place& place, const BlockKey& key, BlockVersion version) {
  if (known_.size() >= kKnownKept) known_.clear();
  known_[key] = Known{place.version, version};
}

}  // namespace ringfs::chunkserver
