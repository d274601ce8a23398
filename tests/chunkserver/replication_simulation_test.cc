#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "chunkserver/replication/waiting.h"
#include "tests/chunkserver/simulation/fake_client.h"

namespace ringfs::chunkserver::simulation {
namespace {

// How servers fail in a run.
enum class Faults {
  kPower,  // any, at any time; what was not synced is lost; every write is synced
  kOne,    // one at a time, while all others have everything; writes are not synced
  kRot,    // none, but blocks rot
};

struct Plan {
  Faults faults = Faults::kPower;
  uint32_t servers = 3;
  uint32_t replicas = 2;
  uint32_t bucket_bits = 1;
  ClientOptions client;
};

constexpr int64_t kFaultsMs = 20'000;
constexpr int64_t kLimitMs = 400'000;

class Scenario {
 public:
  explicit Scenario(uint64_t seed)
      : world_(seed),
        plan_(MakePlan(world_)),
        master_(world_, plan_.servers, plan_.replicas, plan_.bucket_bits),
        servers_(world_, master_, plan_.servers, plan_.bucket_bits) {
    master_.changed = [this] { servers_.PushMap(); };
  }

  void Go() {
    for (const ServerId id : servers_.ids()) servers_.Start(id);
    Spawn(world_.executor(), MasterTicks(), "the master");
    Spawn(world_.executor(), MakeFaults(), "the faults");
    StartClients();
    if (!StepUntilDone("clients")) return;
    if (!StepUntilAllServe()) return;
    if (plan_.faults == Faults::kOne && !SyncAndLosePower()) return;
    if (plan_.faults == Faults::kRot) {
      ++orders_;
      if (!StepUntilScrubbed()) return;
    }
    FakeClient reader(servers_, history_, numbers_, 50, plan_.client);
    ++numbers_.running;
    Spawn(world_.executor(), reader.ReadAll(), "the last reads");
    if (!StepUntilDone("the last reads")) return;
    CheckCopies();
    CheckHistory();
    End();
  }

 private:
  static Plan MakePlan(World& world) {
    Plan plan;
    const int64_t kind = world.Pick(0, 9);
    plan.faults = kind < 6 ? Faults::kPower : kind < 9 ? Faults::kOne : Faults::kRot;
    plan.servers = static_cast<uint32_t>(world.Pick(2, 4));
    plan.replicas = static_cast<uint32_t>(world.Pick(2, std::min<int64_t>(3, plan.servers)));
    plan.bucket_bits = static_cast<uint32_t>(world.Pick(0, 1));
    plan.client.sync = plan.faults != Faults::kOne;
    if (plan.faults == Faults::kPower && world.Chance(0.5)) world.SetLoss(0.02, 0.05);
    return plan;
  }

  void StartClients() {
    for (NodeId i = 0; i < 3; ++i) {
      clients_.push_back(
          std::make_unique<FakeClient>(servers_, history_, numbers_, i, plan_.client));
      ++numbers_.running;
      Spawn(world_.executor(), clients_.back()->Run(), "a client");
    }
  }

  asio::awaitable<void> MasterTicks() {
    while (!over_) {
      co_await Pause(world_, 100);
      master_.Tick();
    }
  }

  asio::awaitable<void> MakeFaults() {
    while (world_.NowMs() < kFaultsMs) {
      co_await Pause(world_, world_.Pick(100, 1500));
      if (plan_.faults == Faults::kRot) {
        RotOne();
        if (world_.Chance(0.3)) ScrubAll();
      } else {
        DisturbOnce();
      }
    }
    Heal();
    faults_over_ = true;
  }

  ServerId AnyServer() { return ServerId{static_cast<uint32_t>(world_.Pick(1, plan_.servers))}; }

  // Whether every copy may be counted on.
  bool AllWhole() {
    for (const ServerId id : servers_.ids()) {
      if (servers_.Live(id) == nullptr) return false;
    }
    return master_.AllServe();
  }

  void DisturbOnce() {
    if (plan_.faults == Faults::kOne && (!AllWhole() || world_.AnyCut())) return;
    const ServerId server = AnyServer();
    const int64_t kind = world_.Pick(0, 9);
    if (kind < 4) {
      servers_.Crash(server);
      world_.After(world_.Pick(1, 5000), [this, server] {
        if (!over_) servers_.Start(server);
      });
    } else if (kind < 8) {
      const NodeId other = static_cast<NodeId>(world_.Pick(0, plan_.servers));
      const bool to = world_.Chance(0.5);
      const NodeId from_node = to ? Raw(server) : other;
      const NodeId to_node = to ? other : Raw(server);
      world_.Cut(from_node, to_node);
      world_.After(world_.Pick(50, 6000), [=, this] { world_.Mend(from_node, to_node); });
    } else {
      master_.Shuffle();
    }
  }

  // One copy of a block at most is rotten at a time: the one before has been repaired, or is asked
  // for by the last reads.
  void RotOne() {
    const BlockKey key{PoolId{1}, DataId{static_cast<uint64_t>(world_.Pick(1, 2))}, 0};
    for (const ServerId id : servers_.ids()) {
      if (servers_.disk(id).Read(key).code() == Errc::kCorrupted) return;
    }
    servers_.disk(AnyServer()).Rot(key);
  }

  void ScrubAll() {
    ++orders_;
    for (const ServerId id : servers_.ids()) {
      if (Replica* replica = servers_.Live(id)) replica->scrub().Order(orders_);
    }
  }
  bool ScrubEnded() {
    for (const ServerId id : servers_.ids()) {
      const auto ended = servers_.Live(id)->scrub().report().ended;
      if (ended.empty() || ended.back().order != orders_) return false;
    }
    return true;
  }
  // A whole scrub leaves nothing rotten; what rots is a copy of a serving member.
  bool StepUntilScrubbed() {
    while (!ScrubEnded()) {
      // One that was busy with an order before has not taken this one.
      for (const ServerId id : servers_.ids()) servers_.Live(id)->scrub().Order(orders_);
      if (!Step()) {
        ADD_FAILURE() << "the scrub did not end by " << world_.NowMs();
        return false;
      }
    }
    for (const ServerId id : servers_.ids()) {
      EXPECT_FALSE(servers_.disk(id).AnyRotten()) << "server " << Raw(id);
    }
    return true;
  }

  void Heal() {
    world_.HealNetwork();
    for (const ServerId id : servers_.ids()) servers_.Start(id);
  }

  bool Step() {
    const bool stepped = world_.Step();
    servers_.CheckHeads();
    return stepped && world_.NowMs() < kLimitMs && !::testing::Test::HasFailure();
  }
  bool StepUntilDone(const std::string& who) {
    while (numbers_.running > 0) {
      if (!Step()) {
        ADD_FAILURE() << who << " did not end by " << world_.NowMs();
        return false;
      }
    }
    return true;
  }
  bool StepUntilAllServe() {
    while (!faults_over_ || !AllWhole()) {
      if (!Step()) {
        ADD_FAILURE() << "the buckets did not get all members back by " << world_.NowMs();
        return false;
      }
      Restore();
    }
    return true;
  }
  // Members that were set aside by an order are taken back.
  void Restore() {
    if (!faults_over_) return;
    if (!master_.AllServe() && world_.Chance(0.001)) {
      for (const ServerId id : servers_.ids()) master_.TakeAllBack(id);
    }
  }

  bool SyncAndLosePower() {
    FakeClient syncer(servers_, history_, numbers_, 51, plan_.client);
    ++numbers_.running;
    Spawn(world_.executor(), syncer.SyncAll(), "the sync");
    if (!StepUntilDone("the sync")) return false;
    for (const ServerId id : servers_.ids()) servers_.Crash(id);
    for (const ServerId id : servers_.ids()) servers_.Start(id);
    return true;
  }

  void CheckCopies() {
    for (size_t i = 0; i < master_.buckets().size(); ++i) {
      std::optional<std::vector<BlockInfo>> first;
      for (const Member& member : master_.buckets()[i].members) {
        if (member.state != MemberState::kServing) continue;
        const auto list = servers_.disk(member.server)
                              .List(PoolId{1}, BucketId{static_cast<uint32_t>(i)}, {}, 1000);
        if (!first) first = list;
        EXPECT_EQ(*first, list) << "bucket " << i << " on server " << Raw(member.server);
      }
    }
  }

  void CheckHistory() {
    for (const auto& [at, operations] : history_.registers) {
      EXPECT_TRUE(Linearizable(operations)) << "block " << at.first << " cell " << at.second << "\n"
                                            << Describe(operations);
    }
  }

  // Lets everything end that still runs.
  void End() {
    over_ = true;
    servers_.StopAll();
    while (world_.Step()) {
    }
  }

  World world_;
  Plan plan_;
  FakeMaster master_;
  FakeServers servers_;
  History history_;
  Numbers numbers_;
  std::vector<std::unique_ptr<FakeClient>> clients_;
  uint64_t orders_ = 0;  // to scrub
  bool faults_over_ = false;
  bool over_ = false;
};

int64_t NumberFromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoll(text, nullptr, 10);
}

// RINGFS_SEED: only this seed. RINGFS_SEEDS: how many. RINGFS_SECONDS: how long at most.
TEST(ReplicationSimulation, KeepsItsPromisesWhateverFails) {
  using Time = std::chrono::steady_clock;
  const int64_t only = NumberFromEnvironment("RINGFS_SEED", -1);
  const int64_t seeds = only >= 0 ? only + 1 : NumberFromEnvironment("RINGFS_SEEDS", 1000);
  const std::chrono::seconds limit(NumberFromEnvironment("RINGFS_SECONDS", 50));
  const auto start = Time::now();
  int64_t seed = std::max<int64_t>(only, 0);
  for (; seed < seeds && Time::now() - start < limit && !HasFailure(); ++seed) {
    SCOPED_TRACE("RINGFS_SEED=" + std::to_string(seed));
    Scenario run(static_cast<uint64_t>(seed));
    run.Go();
  }
  RecordProperty("seeds", static_cast<int>(seed));
}

}  // namespace
}  // namespace ringfs::chunkserver::simulation
