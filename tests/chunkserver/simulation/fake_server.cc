#include "tests/chunkserver/simulation/fake_server.h"

#include <gtest/gtest.h>

#include <utility>

#include "chunkserver/replication/waiting.h"

namespace ringfs::chunkserver::simulation {
namespace {

template <typename T>
asio::awaitable<Result<T>> Immediately(Result<T> value) {
  co_return value;
}

}  // namespace

Incarnation::Incarnation(FakeServers& servers, ServerId id, uint64_t number, FakeDisk& disk)
    : servers_(servers), id_(id), number_(number), blocks_(servers.world(), disk) {}

void Incarnation::Start() { Spawn(servers_.world().executor(), Run(), "a simulated server"); }

void Incarnation::Crash() {
  crashed_ = true;
  blocks_.Detach();
  if (replica_) replica_->Stop();
}

asio::awaitable<Result<wire::ClusterMap>> Incarnation::Register() {
  auto serve = [this] {
    servers_.master().Register(id_, number_);
    return Immediately<wire::ClusterMap>(servers_.master().Map());
  };
  co_return co_await servers_.world().Call<wire::ClusterMap>(Raw(id_), kMaster, std::move(serve),
                                                             1000);
}

asio::awaitable<void> Incarnation::Run() {
  World& world = servers_.world();
  while (!crashed_ && !replica_) {
    const int64_t sent_ms = world.NowMs();
    const Result<wire::ClusterMap> map = co_await Register();
    if (crashed_) co_return;
    if (!map) continue;
    replica_ =
        std::make_unique<Replica>(id_, Seams{world.executor(), world, blocks_, *this, *this});
    EXPECT_TRUE(replica_->InstallMap(*map));
    replica_->RenewLease(sent_ms, kLeaseMs);
    Spawn(world.executor(), replica_->scrub().Run(0), "a simulated scrub");
  }
  while (!crashed_) {
    co_await Pause(world, kLeaseMs / 3);
    const int64_t sent_ms = world.NowMs();
    auto serve = [this] {
      return Immediately<uint64_t>(servers_.master().Heartbeat(id_, number_));
    };
    const Result<uint64_t> epoch =
        co_await world.Call<uint64_t>(Raw(id_), kMaster, std::move(serve), 900);
    if (epoch && !crashed_) co_await replica_->HeartbeatAnswered(sent_ms, kLeaseMs, *epoch);
  }
}

asio::awaitable<void> Incarnation::CloseSession(SessionId session) {
  std::vector<SessionId> sessions(1, session);
  co_await replica_->context().fence.Close(std::move(sessions));
  if (crashed_) co_return;
  auto serve = [this, session] {
    servers_.master().FenceDone(id_, session);
    return Immediately<void>(Result<void>());
  };
  const Result<void> told =
      co_await servers_.world().Call<void>(Raw(id_), kMaster, std::move(serve), 1000);
  static_cast<void>(told);  // the master asks again
}

asio::awaitable<Result<void>> Incarnation::Replicate(ServerId to, Replication message,
                                                     int64_t timeout_ms) {
  if (crashed_) co_return Fail(Errc::kUnavailable);
  auto serve = [this, to, message] { return servers_.ServeReplicate(to, message); };
  co_return co_await servers_.world().Call<void>(Raw(id_), Raw(to), std::move(serve), timeout_ms);
}

asio::awaitable<Result<BlockPage>> Incarnation::List(ServerId to, Listing listing,
                                                     int64_t timeout_ms) {
  if (crashed_) co_return Fail(Errc::kUnavailable);
  auto serve = [this, to, listing] { return servers_.ServeList(to, listing); };
  co_return co_await servers_.world().Call<BlockPage>(Raw(id_), Raw(to), std::move(serve),
                                                      timeout_ms);
}

asio::awaitable<Result<BlockCopy>> Incarnation::Fetch(ServerId to, BlockKey key,
                                                      int64_t timeout_ms) {
  if (crashed_) co_return Fail(Errc::kUnavailable);
  auto serve = [this, to, key] { return servers_.ServeFetch(to, key); };
  co_return co_await servers_.world().Call<BlockCopy>(Raw(id_), Raw(to), std::move(serve),
                                                      timeout_ms);
}

asio::awaitable<Result<bool>> Incarnation::IsLive(SessionId session) {
  auto serve = [this, session] { return Immediately<bool>(servers_.master().IsLive(session)); };
  co_return co_await servers_.world().Call<bool>(Raw(id_), kMaster, std::move(serve), 500);
}

asio::awaitable<Result<void>> Incarnation::RefreshMap() {
  auto serve = [this] { return Immediately<wire::ClusterMap>(servers_.master().Map()); };
  const auto map =
      co_await servers_.world().Call<wire::ClusterMap>(Raw(id_), kMaster, std::move(serve), 500);
  if (!map) co_return Fail(map.error());
  if (crashed_) co_return Fail(Errc::kUnavailable);
  co_return replica_->InstallMap(*map);
}

asio::awaitable<Result<void>> Incarnation::ReportSynced(PoolId, BucketId bucket, uint64_t version) {
  auto serve = [this, bucket, version] {
    return Immediately<void>(servers_.master().Synced(id_, number_, bucket, version));
  };
  co_return co_await servers_.world().Call<void>(Raw(id_), kMaster, std::move(serve), 500);
}

FakeServers::FakeServers(World& world, FakeMaster& master, uint32_t count, uint32_t bucket_bits)
    : world_(world), master_(master) {
  for (uint32_t id = 1; id <= count; ++id) {
    disks_[ServerId{id}] = std::make_unique<FakeDisk>(bucket_bits);
  }
}

std::vector<ServerId> FakeServers::ids() const {
  std::vector<ServerId> ids;
  for (const auto& [id, disk] : disks_) ids.push_back(id);
  return ids;
}

void FakeServers::Start(ServerId id) {
  if (current_.contains(id)) return;
  all_.push_back(std::make_unique<Incarnation>(*this, id, next_number_++, disk(id)));
  current_[id] = all_.back().get();
  all_.back()->Start();
}

void FakeServers::Crash(ServerId id) {
  const auto found = current_.find(id);
  if (found == current_.end()) return;
  found->second->Crash();
  current_.erase(found);
  disk(id).Crash(world_);
}

void FakeServers::StopAll() {
  for (const auto& [id, incarnation] : current_) incarnation->Crash();
  current_.clear();
}

Replica* FakeServers::Live(ServerId id) {
  const auto found = current_.find(id);
  return found == current_.end() ? nullptr : found->second->replica();
}

asio::awaitable<Result<void>> FakeServers::ServeReplicate(ServerId at, Replication message) {
  Replica* replica = Live(at);
  if (replica == nullptr) co_return Fail(Errc::kUnavailable);
  co_return co_await replica->member().Replicate(std::move(message));
}

asio::awaitable<Result<BlockPage>> FakeServers::ServeList(ServerId at, Listing listing) {
  Replica* replica = Live(at);
  if (replica == nullptr) co_return Fail(Errc::kUnavailable);
  co_return co_await replica->member().List(listing, world_.NowMs() + 1000);
}

asio::awaitable<Result<BlockCopy>> FakeServers::ServeFetch(ServerId at, BlockKey key) {
  Replica* replica = Live(at);
  if (replica == nullptr) co_return Fail(Errc::kUnavailable);
  co_return co_await replica->member().Fetch(key);
}

void FakeServers::PushMap() {
  for (const auto& [id, incarnation] : current_) {
    if (incarnation->replica() == nullptr || world_.Chance(0.3)) continue;
    Incarnation* to = incarnation;
    auto serve = [to]() -> asio::awaitable<Result<void>> { return to->RefreshMap(); };
    Spawn(
        world_.executor(),
        [](World& world, NodeId node, auto refresh) -> asio::awaitable<void> {
          const Result<void> done = co_await world.Call<void>(kMaster, node, refresh, 100);
          static_cast<void>(done);  // a server that missed it learns of it by a heartbeat
        }(world_, Raw(id), std::function<asio::awaitable<Result<void>>()>(serve)),
        "a push of the map");
  }
}

void FakeServers::PushFence(SessionId session) {
  for (const ServerId id : master_.Unconfirmed(session)) {
    if (Live(id) == nullptr) continue;
    Incarnation* to = current_.at(id);
    world_.After(world_.Pick(0, 20), [this, to, session] {
      if (to->replica() == nullptr) return;
      Spawn(world_.executor(), to->CloseSession(session), "a fence");
    });
  }
}

void FakeServers::CheckHeads() {
  for (const auto& [id, incarnation] : current_) {
    Replica* replica = incarnation->replica();
    if (replica == nullptr) continue;
    Context& context = replica->context();
    for (size_t i = 0; i < master_.buckets().size(); ++i) {
      const BucketKey bucket{PoolId{1}, BucketId{static_cast<uint32_t>(i)}};
      const uint64_t version = context.map.Find(bucket).version;
      if (context.states.At(bucket).active_version != version || version == 0) continue;
      const auto [head, first] = heads_.try_emplace({bucket, version}, id);
      ASSERT_EQ(head->second, id) << "two heads of bucket " << i << " in version " << version;
    }
  }
}

}  // namespace ringfs::chunkserver::simulation
