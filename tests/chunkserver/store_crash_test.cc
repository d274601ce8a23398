#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/chunkserver/store_fixture.h"

// Cuts the power at every change of the disk in turn, in the middle of a mix of changes, syncs and
// checkpoints, and looks at what is left: each block must be one of the versions that were applied
// to it, whole, and not older than one that was synced.
namespace ringfs::chunkserver {
namespace {

constexpr uint32_t kBlockSpace = 400 << 10;

// What has been applied to one block, and what of it must be left.
struct History {
  std::map<BlockVersion, std::string> versions;  // {0, 0}, absent, is always one
  BlockVersion last;
  BlockVersion synced;
  // The block was removed, and this is not known to be durable.
  bool may_be_absent = true;
};

class Workload {
 public:
  Workload(ChunkStore& store, uint64_t seed, uint64_t first_data, uint64_t blocks)
      : store_(store), random_(seed), first_data_(first_data), blocks_(blocks) {}

  // Runs until the disk fails or `steps` are done. False: it failed.
  bool Run(int steps) {
    for (int step = 0; step < steps; ++step) {
      const BlockKey key = Key(first_data_ + random_() % blocks_);
      const uint64_t what = random_() % 20;
      bool done = true;
      if (what < 4) {
        done = Sync(key);
      } else if (what == 4) {
        done = Remove(key);
      } else if (what == 5) {
        done = Checkpoint();
      } else {
        done = Change(key);
      }
      if (!done) {
        return false;
      }
    }
    return true;
  }

  // To be called at changes of the disk: in the middle of a checkpoint it changes and syncs a
  // block, as another thread could.
  void Intrude(const std::string& path) {
    const bool is_move = path.starts_with("data/") || path.ends_with(".log");
    if (!in_checkpoint_ || !is_move || random_() % 3 != 0) {
      return;
    }
    in_checkpoint_ = false;
    const BlockKey key = Key(first_data_ + random_() % blocks_);
    if (Change(key) && random_() % 2 == 0) {
      Sync(key);
    }
    in_checkpoint_ = true;
  }
  void AllowIntrusion() { may_intrude_ = true; }

  void Check(ChunkStore& store) const {
    for (const auto& [key, history] : histories_) {
      BlockVersion version;
      const std::optional<std::string> bytes = Content(store, key, &version);
      if (!bytes) {
        EXPECT_TRUE(history.may_be_absent) << "data " << Raw(key.data) << " is lost";
        continue;
      }
      const auto found = history.versions.find(version);
      ASSERT_NE(found, history.versions.end()) << "version " << version.counter;
      EXPECT_EQ(*bytes == found->second, true)
          << "data " << Raw(key.data) << " version " << version.counter << " has other bytes";
      EXPECT_GE(version, history.synced) << "data " << Raw(key.data);
      const std::optional<LastWrite> tag = store.LastTag(SessionId{1}, TagChannel(key));
      ASSERT_TRUE(tag.has_value());
      // The tag of a version is there if the version is, and no other.
      EXPECT_EQ(tag->version, version);
    }
  }

 private:
  static uint32_t TagChannel(const BlockKey& key) { return static_cast<uint32_t>(Raw(key.data)); }

  BlockChange Make(const BlockKey& key) {
    const uint64_t counter = ++counter_;
    const auto offset = static_cast<uint32_t>(random_() % kBlockSpace);
    const uint32_t most =
        std::min<uint32_t>(random_() % 3 == 0 ? 250'000 : 12'000, kBlockSpace - offset);
    const auto length = static_cast<uint32_t>(1 + random_() % most);
    const uint64_t what = random_() % 10;
    const std::string bytes = Pattern(length, counter * 1000 + Raw(key.data));
    BlockChange change = Write(key, counter, offset, bytes);
    if (what == 0) {
      change = Zero(key, counter, offset, length);
    } else if (what == 1) {
      change = Truncate(key, counter, offset);
    } else if (what == 2) {
      change = Replace(key, counter, bytes);
    }
    change.tag = WriteTag{SessionId{1}, TagChannel(key), counter};
    return change;
  }

  bool Change(const BlockKey& key) {
    History& history = histories_[key];
    const BlockChange change = Make(key);
    std::string bytes = Changed(history.versions[history.last], change);
    // It may be on the disk even when the call fails.
    history.versions[change.version] = std::move(bytes);
    Result<void> applied = store_.Apply(change, Patience::kNow);
    if (applied.code() == Errc::kWouldBlock) {
      applied = store_.Apply(change);
    }
    if (!applied) {
      // A part of a unit that the disk does not give any more is as one that is damaged.
      EXPECT_TRUE(applied.code() == Errc::kIo || applied.code() == Errc::kCorrupted)
          << applied.error().ToString();
      return false;
    }
    history.last = change.version;
    return true;
  }

  bool Sync(const BlockKey& key) {
    if (!store_.Sync(std::vector{key})) {
      return false;
    }
    const auto found = histories_.find(key);
    if (found != histories_.end()) {
      found->second.synced = found->second.last;
      found->second.may_be_absent = found->second.last == BlockVersion{};
      if (found->second.may_be_absent) {
        found->second.versions = {{BlockVersion{}, ""}};
      }
    }
    return true;
  }

  bool Checkpoint() {
    // With nothing left to be synced, all that the checkpoint does is to move.
    if (may_intrude_ && !store_.SyncAll()) {
      return false;
    }
    in_checkpoint_ = may_intrude_;
    const bool done{store_.Checkpoint()};
    in_checkpoint_ = false;
    return done;
  }

  bool Remove(const BlockKey& key) {
    const auto found = histories_.find(key);
    if (found != histories_.end()) {
      found->second.may_be_absent = true;
    }
    if (!store_.Remove(key)) {
      return false;
    }
    if (found != histories_.end()) {
      found->second.last = {};
      found->second.versions[{}] = "";
    }
    return true;
  }

  ChunkStore& store_;
  std::mt19937_64 random_;
  const uint64_t first_data_;
  const uint64_t blocks_;
  uint64_t counter_ = 0;
  bool may_intrude_ = false;
  bool in_checkpoint_ = false;
  std::map<BlockKey, History> histories_;
};

struct Outcome {
  bool cut = false;  // the power went before the work was done
};

// One life: work, a power cut at change `cut` after opening, and recovery, which is itself cut
// `recovery_cuts` times, each a little later.
Outcome LiveAndCrash(uint64_t seed, uint64_t cut, PowerCut how, int recovery_cuts) {
  auto disk = std::make_unique<FakeDisk>();
  std::unique_ptr<ChunkStore> store = MustOpen(*disk);
  disk->CutPowerAfter(cut);
  Workload work(*store, seed, 1, 4);
  const bool finished = work.Run(60);
  store.reset();
  disk->Crash(how, seed * 1000 + cut);
  for (int i = 0; i < recovery_cuts; ++i) {
    disk->CutPowerAfter(static_cast<uint64_t>(i) * 3 + cut % 3);
    // It may succeed: recovery may have less to do.
    (void)OpenStore(*disk);
    disk->Crash(how, seed * 1000 + cut + static_cast<uint64_t>(i));
  }
  store = MustOpen(*disk);
  if (store) {
    work.Check(*store);
    // And once more, with all in the index.
    store.reset();
    store = MustOpen(*disk);
    work.Check(*store);
  }
  return {!finished};
}

void CutEverywhere(PowerCut how, uint64_t seed, uint64_t step) {
  for (uint64_t cut = seed % step;; cut += step) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " cut " + std::to_string(cut));
    const Outcome outcome = LiveAndCrash(seed, cut, how, cut % 5 == 0 ? 6 : 0);
    if (testing::Test::HasFailure() || !outcome.cut) {
      return;
    }
  }
}

TEST(StoreCrashTest, LosesNothingSyncedWhenUnsyncedWritesAreDropped) {
  CutEverywhere(PowerCut::kDrop, 1, 1);
}

TEST(StoreCrashTest, KeepsBlocksWholeWhenUnsyncedWritesAreTorn) {
  CutEverywhere(PowerCut::kTear, 2, 1);
}

TEST(StoreCrashTest, KeepsBlocksWholeUnderOtherSeeds) {
  for (uint64_t seed = 3; seed < 15 && !HasFailure(); ++seed) {
    CutEverywhere(seed % 3 == 0 ? PowerCut::kKeep : PowerCut::kTear, seed, 7);
  }
}

TEST(StoreCrashTest, KeepsBlocksWholeWhenOthersWriteDuringACheckpoint) {
  StoreOptions options = SmallOptions();
  options.journal_bytes = 2 << 20;
  for (uint64_t seed = 1; seed <= 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto disk = std::make_unique<FakeDisk>();
    std::unique_ptr<ChunkStore> store = MustOpen(*disk, options);
    Workload work(*store, seed, 1, 3);
    work.AllowIntrusion();
    disk->OnChange([&](const std::string& path) { work.Intrude(path); });
    disk->CutPowerAfter(30 + seed * 7 % 300);
    work.Run(200);
    store.reset();
    disk->OnChange({});
    disk->Crash(seed % 2 == 0 ? PowerCut::kTear : PowerCut::kDrop, seed);
    store = MustOpen(*disk, options);
    if (store) {
      work.Check(*store);
    }
  }
}

// Several threads on blocks of their own, and one that checkpoints.
void LiveConcurrently(uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  constexpr size_t kThreads = 3;
  FakeDisk disk;
  std::unique_ptr<ChunkStore> store = MustOpen(disk);
  std::mt19937_64 random(seed);
  disk.CutPowerAfter(20 + random() % 400);
  std::vector<std::unique_ptr<Workload>> work;
  for (size_t i = 0; i < kThreads; ++i) {
    work.push_back(std::make_unique<Workload>(*store, seed * 10 + i, 1 + i * 10, 2));
  }
  std::atomic<bool> over = false;
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] { work[i]->Run(120); });
    }
    std::jthread checkpoints([&] {
      while (!over && store->Checkpoint()) {
      }
    });
    threads.clear();
    over = true;
  }
  store.reset();
  disk.Crash(seed % 2 == 0 ? PowerCut::kTear : PowerCut::kDrop, seed);
  store = MustOpen(disk);
  for (size_t i = 0; i < kThreads && store; ++i) {
    work[i]->Check(*store);
  }
}

TEST(StoreCrashTest, KeepsBlocksWholeWithConcurrentThreads) {
  for (uint64_t seed = 1; seed <= 60 && !HasFailure(); ++seed) {
    LiveConcurrently(seed);
  }
}

}  // namespace
}  // namespace ringfs::chunkserver
