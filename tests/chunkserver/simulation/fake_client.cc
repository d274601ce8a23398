#include "tests/chunkserver/simulation/fake_client.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "chunkserver/replication/waiting.h"
#include "common/crc32c.h"
#include "common/ring/ring.h"

namespace ringfs::chunkserver::simulation {
namespace {

constexpr uint32_t kCellBytes = 8;

WriteOrder OrderFor(const BlockKey& key, uint32_t cell, uint64_t value, WriteTag tag, bool sync) {
  WriteOrder order;
  order.tag = tag;
  order.sync = sync;
  order.change.key = key;
  order.change.offset = cell * kCellBytes;
  order.change.length = kCellBytes;
  order.change.data.push_back(Buffer::CopyOf(std::as_bytes(std::span(&value, 1))));
  order.change.checksums = Crc32cUnits(order.change.data.front().bytes());
  return order;
}

uint64_t ValueIn(const BlockData& data, uint32_t cell) {
  uint64_t value = 0;
  const size_t offset = cell * kCellBytes;
  if (data.data.size() >= offset + kCellBytes) {
    std::memcpy(&value, data.data.data() + offset, kCellBytes);
  }
  return value;
}

}  // namespace

void FakeClient::NewSession() {
  session_ = SessionId{numbers_.session++};
  sequence_ = 0;
  servers_.master().OpenSession(session_);
}

FakeClient::Route FakeClient::Find(const BlockKey& key) const {
  const auto& buckets = servers_.master().buckets();
  const uint32_t bits = buckets.size() == 1 ? 0 : 1;
  const FakeMaster::Bucket& bucket = buckets[Raw(BucketOf(key.data, key.index, bits))];
  Route route;
  route.version = bucket.version;
  for (const Member& member : bucket.members) {
    if (member.state == MemberState::kServing) route.serving.push_back(member.server);
  }
  route.head = route.serving.front();  // the last one is never set aside
  return route;
}

asio::awaitable<void> FakeClient::Run() {
  World& world = servers_.world();
  NewSession();
  for (int i = 0; i < options_.operations; ++i) {
    const Register at{
        static_cast<uint64_t>(world.Pick(0, static_cast<int64_t>(options_.blocks) - 1)),
        static_cast<uint32_t>(world.Pick(0, options_.cells - 1))};
    if (world.Chance(0.5)) {
      co_await Write(at);
    } else {
      co_await Read(at);
    }
    co_await Pause(world, world.Pick(0, 600));
  }
  --numbers_.running;
}

asio::awaitable<void> FakeClient::ReadAll() {
  NewSession();
  for (uint64_t block = 0; block < options_.blocks; ++block) {
    for (uint32_t cell = 0; cell < options_.cells; ++cell) {
      const Register at{block, cell};
      co_await Read(at);
    }
  }
  --numbers_.running;
}

asio::awaitable<void> FakeClient::Write(Register at) {
  World& world = servers_.world();
  Operation operation;
  operation.write = true;
  operation.value = numbers_.value++;
  operation.start_ms = world.NowMs();
  const WriteTag tag{session_, 0, ++sequence_};
  WriteOrder order = OrderFor(Key(at.first), at.second, operation.value, tag, options_.sync);
  if (world.Chance(0.05)) co_return co_await GiveUp(at, std::move(order), operation);
  Route route = Find(order.change.key);
  for (;;) {
    const Result<BlockVersion> written = co_await SendWrite(route, order, 1500);
    if (written) break;
    EXPECT_NE(written.code(), Errc::kFenced);
    EXPECT_NE(written.code(), Errc::kInvalid) << written.error().ToString();
    co_await Pause(world, world.Pick(5, 50));
    if (world.Chance(0.8)) route = Find(order.change.key);
  }
  operation.end_ms = world.NowMs();
  history_.registers[at].push_back(operation);
}

// The client dies in the middle of a write. Once its session is fenced nothing of it may appear.
asio::awaitable<void> FakeClient::GiveUp(Register at, WriteOrder order, Operation operation) {
  World& world = servers_.world();
  const Route route = Find(order.change.key);
  const Result<BlockVersion> written =
      co_await SendWrite(route, std::move(order), world.Pick(1, 30));
  static_cast<void>(written);  // nobody is left to hear it
  const SessionId session = session_;
  servers_.master().Fence(session);
  while (!servers_.master().Unconfirmed(session).empty()) {
    servers_.PushFence(session);
    co_await Pause(world, 100);
  }
  operation.optional = true;
  operation.end_ms = world.NowMs();
  history_.registers[at].push_back(operation);
  NewSession();
}

asio::awaitable<void> FakeClient::Read(Register at) {
  World& world = servers_.world();
  Operation operation;
  operation.start_ms = world.NowMs();
  const BlockKey key = Key(at.first);
  Route route = Find(key);
  for (;;) {
    const ServerId head = route.head;
    const uint64_t version = route.version;
    auto serve = [this, head, key, version] { return ServeRead(head, key, version); };
    const Result<BlockData> data =
        co_await world.Call<BlockData>(node_, Raw(head), std::move(serve), 1500);
    if (data) {
      operation.value = ValueIn(*data, at.second);
      break;
    }
    EXPECT_NE(data.code(), Errc::kCorrupted);
    co_await Pause(world, world.Pick(5, 50));
    if (world.Chance(0.8)) route = Find(key);
  }
  operation.end_ms = world.NowMs();
  history_.registers[at].push_back(operation);
}

asio::awaitable<void> FakeClient::SyncAll() {
  World& world = servers_.world();
  for (uint64_t block = 0; block < options_.blocks; ++block) {
    const BlockKey key = Key(block);
    for (bool synced = false; !synced;) {
      synced = true;
      const Route route = Find(key);
      for (const ServerId server : route.serving) {
        const SyncItem item{key, route.version};
        auto serve = [this, server, item] { return ServeSync(server, item); };
        const Result<void> done =
            co_await world.Call<void>(node_, Raw(server), std::move(serve), 1500);
        synced = synced && done;
      }
      if (!synced) co_await Pause(world, 50);
    }
  }
  --numbers_.running;
}

asio::awaitable<Result<BlockVersion>> FakeClient::SendWrite(Route route, WriteOrder order,
                                                            int64_t timeout_ms) {
  order.bucket_version = route.version;
  const ServerId head = route.head;
  auto serve = [this, head, order] { return ServeWrite(head, order); };
  co_return co_await servers_.world().Call<BlockVersion>(node_, Raw(head), std::move(serve),
                                                         timeout_ms);
}

asio::awaitable<Result<BlockVersion>> FakeClient::ServeWrite(ServerId at, WriteOrder order) {
  Replica* replica = servers_.Live(at);
  if (replica == nullptr) co_return Fail(Errc::kUnavailable);
  const int64_t deadline_ms = servers_.world().NowMs() + 1500;
  co_return co_await replica->head().Write(std::move(order), deadline_ms);
}

asio::awaitable<Result<BlockData>> FakeClient::ServeRead(ServerId at, BlockKey key,
                                                         uint64_t version) {
  Replica* replica = servers_.Live(at);
  if (replica == nullptr) co_return Fail(Errc::kUnavailable);
  const int64_t deadline_ms = servers_.world().NowMs() + 1500;
  co_return co_await replica->head().Read(key, version, 0, 4096, deadline_ms);
}

asio::awaitable<Result<void>> FakeClient::ServeSync(ServerId at, SyncItem item) {
  Replica* replica = servers_.Live(at);
  if (replica == nullptr) co_return Fail(Errc::kUnavailable);
  std::vector<SyncItem> items(1, item);
  co_return co_await replica->member().Sync(std::move(items), servers_.world().NowMs() + 1500);
}

}  // namespace ringfs::chunkserver::simulation
