#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "common/locks/lock_table.h"

namespace ringfs {
namespace {

constexpr uint64_t kBytes = 12;
constexpr uint64_t kCells = kBytes + 1;  // the last one stands for all bytes behind
constexpr int kSessions = 3;
constexpr int kOwners = 3;
constexpr int kInodes = 2;

struct Cell {
  wire::LockType type = wire::LOCK_UNLOCK;  // nothing held
  uint64_t handle = 0;

  bool operator==(const Cell&) const = default;
};
using Bytes = std::array<Cell, kCells>;

struct Ask {
  SpaceKey key;
  LockOwner owner;
  wire::LockType type = wire::LOCK_SHARED;
  LockRange range;
  uint64_t handle = 0;
  int32_t pid = 0;
  uint64_t waiter = 0;  // 0: without waiting
};

// The first two owners of a session are of one process.
int32_t PidOf(const LockOwner& owner) { return 1 + static_cast<int32_t>(owner.number) / 2; }

// What is held byte by byte, and the waits in the order in which they came.
class Model {
 public:
  bool Blocked(const Ask& ask) const { return !Holders(ask).empty(); }

  std::set<LockOwner> Holders(const Ask& ask) const {
    std::set<LockOwner> holders;
    for (const auto& [key, bytes] : held_) {
      if (key.first != ask.key || key.second == ask.owner) continue;
      for (uint64_t i = ask.range.start; i <= std::min(ask.range.last, kCells - 1); ++i) {
        bool exclusive = ask.type == wire::LOCK_EXCLUSIVE || bytes[i].type == wire::LOCK_EXCLUSIVE;
        if (bytes[i].type != wire::LOCK_UNLOCK && exclusive) holders.insert(key.second);
      }
    }
    return holders;
  }

  bool Exempt(const LockOwner& owner) const {
    for (const auto& [key, bytes] : held_) {
      const LockOwner& holder = key.second;
      if (holder.session != owner.session) continue;
      if (holder != owner && PidOf(holder) != PidOf(owner)) continue;
      if (bytes != Bytes{}) return true;
    }
    return false;
  }

  // Whether it stands behind a wait that came before it.
  bool OutOfTurn(const Ask& ask) const {
    if (Exempt(ask.owner)) return false;
    for (const Ask& earlier : waits_) {
      if (earlier.waiter == ask.waiter) break;
      bool exclusive = ask.type == wire::LOCK_EXCLUSIVE || earlier.type == wire::LOCK_EXCLUSIVE;
      if (earlier.key == ask.key && earlier.owner != ask.owner && exclusive &&
          earlier.range.Overlaps(ask.range)) {
        return true;
      }
    }
    return false;
  }

  bool Deadlocks(const Ask& ask) const {
    std::set<LockOwner> seen;
    return Reaches(ask, ask.owner, seen);
  }

  void Write(const Ask& ask, wire::LockType type) {
    Bytes& bytes = held_[{ask.key, ask.owner}];
    for (uint64_t i = ask.range.start; i <= std::min(ask.range.last, kCells - 1); ++i) {
      bytes[i] = type == wire::LOCK_UNLOCK ? Cell{} : Cell{type, ask.handle};
    }
  }

  std::map<std::pair<SpaceKey, LockOwner>, Bytes>& held() { return held_; }
  std::vector<Ask>& waits() { return waits_; }

 private:
  bool Reaches(const Ask& from, const LockOwner& to, std::set<LockOwner>& seen) const {
    for (const LockOwner& holder : Holders(from)) {
      if (holder == to) return true;
      if (!seen.insert(holder).second) continue;
      for (const Ask& wait : waits_) {
        if (wait.owner == holder && Reaches(wait, to, seen)) return true;
      }
    }
    return false;
  }

  std::map<std::pair<SpaceKey, LockOwner>, Bytes> held_;
  std::vector<Ask> waits_;
};

class LockModelTest : public testing::TestWithParam<uint32_t> {
 protected:
  LockModelTest() : random_(GetParam()) {}

  uint64_t Below(uint64_t bound) { return random_() % bound; }

  Ask Draw() {
    Ask ask;
    ask.owner.session = SessionId{1 + Below(kSessions)};
    ask.owner.number = Below(kOwners);
    ask.owner.kind = Below(3) == 0 ? wire::LOCK_FLOCK : wire::LOCK_RANGE;
    ask.key = SpaceKey{InodeId{1 + Below(kInodes)}, ask.owner.kind};
    ask.type = Below(2) == 0 ? wire::LOCK_SHARED : wire::LOCK_EXCLUSIVE;
    if (ask.owner.kind == wire::LOCK_RANGE) {
      uint64_t a = Below(kBytes);
      uint64_t b = Below(kBytes);
      ask.range = LockRange{std::min(a, b), Below(8) == 0 ? kMaxLockOffset : std::max(a, b)};
    }
    ask.handle = 1 + ask.owner.number * 2 + Below(2);
    ask.pid = PidOf(ask.owner);
    if (Below(2) == 0) ask.waiter = ++waiter_;
    return ask;
  }

  static wire::SetLock Message(const Ask& ask, wire::LockType type) {
    wire::SetLock message;
    message.set_inode(Raw(ask.key.inode));
    message.set_kind(ask.key.kind);
    message.set_type(type);
    message.set_owner(ask.owner.number);
    message.set_start(ask.range.start);
    message.set_last(ask.range.last);
    message.set_wait(ask.waiter != 0);
    message.set_waiter(ask.waiter);
    message.set_pid(ask.pid);
    message.set_handle(ask.handle);
    return message;
  }

  void Take(const Ask& ask) {
    LockChanges changes;
    bool blocked = model_.Blocked(ask);
    bool queues = ask.waiter != 0 && (blocked || model_.OutOfTurn(ask));
    bool deadlock = blocked && queues && ask.key.kind == wire::LOCK_RANGE && model_.Deadlocks(ask);

    SetLockAnswer answer = table_.Set(ask.owner.session, Message(ask, ask.type), 1, changes);

    if (deadlock) {
      EXPECT_EQ(answer.error, Errc::kDeadlock);
    } else if (queues || blocked) {
      EXPECT_EQ(answer.error, queues ? Errc::kOk : Errc::kWouldBlock);
      EXPECT_EQ(answer.queued, queues);
      if (ask.key.kind == wire::LOCK_FLOCK) model_.Write(ask, wire::LOCK_UNLOCK);
      if (queues) model_.waits().push_back(ask);
    } else {
      EXPECT_EQ(answer.error, Errc::kOk);
      EXPECT_FALSE(answer.queued);
      EXPECT_GT(answer.grant, 0u);
      model_.Write(ask, ask.type);
    }
    Follow(changes);
  }

  void Unlock(const Ask& ask) {
    LockChanges changes;
    table_.Set(ask.owner.session, Message(ask, wire::LOCK_UNLOCK), 1, changes);
    model_.Write(ask, wire::LOCK_UNLOCK);
    Follow(changes);
  }

  void CancelOne() {
    if (model_.waits().empty()) return;
    auto it = model_.waits().begin() + static_cast<ptrdiff_t>(Below(model_.waits().size()));
    Ask ask = *it;
    model_.waits().erase(it);
    LockChanges changes;
    EXPECT_TRUE(table_.Cancel(ask.owner.session, ask.key.inode, ask.waiter, 1, changes));
    Follow(changes);
  }

  void Close(const Ask& ask, bool whole_handle) {
    wire::ReleaseLocks message;
    message.set_inode(Raw(ask.key.inode));
    message.set_owner(ask.owner.number);
    if (whole_handle) message.set_handle(ask.handle);
    LockChanges changes;
    table_.Release(ask.owner.session, message, 1, changes);
    for (auto& [key, bytes] : model_.held()) {
      const auto& [space, owner] = key;
      if (space.inode != ask.key.inode || owner.session != ask.owner.session) continue;
      for (Cell& cell : bytes) {
        bool goes = whole_handle
                        ? cell.handle == ask.handle
                        : space.kind == wire::LOCK_RANGE && owner.number == ask.owner.number;
        if (goes) cell = Cell{};
      }
    }
    std::erase_if(model_.waits(), [&](const Ask& wait) {
      return whole_handle && wait.key.inode == ask.key.inode &&
             wait.owner.session == ask.owner.session && wait.handle == ask.handle;
    });
    Follow(changes);
  }

  void EndSession(SessionId session) {
    LockChanges changes;
    table_.EndSession(session, 1, changes);
    for (auto& [key, bytes] : model_.held()) {
      if (key.second.session == session) bytes = Bytes{};
    }
    std::erase_if(model_.waits(), [&](const Ask& wait) { return wait.owner.session == session; });
    Follow(changes);
  }

  // Each grant must be allowed when its turn comes, and none that is allowed may be left.
  void Follow(const LockChanges& changes) {
    for (const LockRecordChange& change : changes.records) {
      std::pair<InodeId, uint64_t> key{change.inode, change.id};
      if (change.record) {
        stored_[key] = *change.record;
      } else {
        EXPECT_EQ(stored_.erase(key), 1u);
      }
    }
    std::vector<Ask>& waits = model_.waits();
    for (const wire::GrantPush& push : changes.granted) {
      auto it = std::find_if(waits.begin(), waits.end(),
                             [&](const Ask& wait) { return wait.waiter == push.waiter(); });
      ASSERT_NE(it, waits.end());
      Ask ask = *it;
      EXPECT_EQ(push.session(), Raw(ask.owner.session));
      EXPECT_FALSE(model_.Blocked(ask));
      EXPECT_FALSE(model_.OutOfTurn(ask));
      EXPECT_GT(push.grant(), last_grant_);
      last_grant_ = push.grant();
      waits.erase(it);
      model_.Write(ask, ask.type);
    }
    for (const Ask& wait : waits) {
      EXPECT_TRUE(model_.Blocked(wait) || model_.OutOfTurn(wait)) << "left: " << wait.waiter;
    }
    Compare(table_);
  }

  void Compare(const LockTable& table) {
    std::map<std::pair<SpaceKey, LockOwner>, Bytes> held;
    std::multiset<std::tuple<InodeId, uint64_t, uint64_t>> waiting;
    for (const wire::LockInfo& info : table.List(std::nullopt)) {
      SpaceKey key{InodeId{info.inode()}, info.kind()};
      LockOwner owner{SessionId{info.session()}, info.kind(), info.owner()};
      if (info.waiting()) {
        waiting.emplace(key.inode, info.session(), info.owner());
        continue;
      }
      Bytes& bytes = held[{key, owner}];
      Cell cell{info.type(), info.handle()};
      uint64_t last = std::min(info.last(), kCells - 1);
      if (info.start() > 0) {
        EXPECT_NE(bytes[info.start() - 1], cell) << "not merged";
      }
      for (uint64_t i = info.start(); i <= last; ++i) {
        EXPECT_EQ(bytes[i], Cell{}) << "held twice";
        bytes[i] = cell;
      }
    }
    for (const auto& [key, bytes] : model_.held()) EXPECT_EQ(bytes, held[key]);
    std::multiset<std::tuple<InodeId, uint64_t, uint64_t>> expected;
    for (const Ask& wait : model_.waits()) {
      expected.emplace(wait.key.inode, Raw(wait.owner.session), wait.owner.number);
    }
    EXPECT_EQ(waiting, expected);
    EXPECT_EQ(table.size(), stored_.size());
  }

  // A table loaded from the records is equal, and goes on in the place of the old one.
  void Restart() {
    std::vector<wire::LockRecord> records;
    for (const auto& [key, record] : stored_) records.push_back(record);
    std::shuffle(records.begin(), records.end(), random_);
    LockTable loaded;
    loaded.RaiseCounter(table_.counter());
    for (const wire::LockRecord& record : records) ASSERT_TRUE(loaded.Load(record));
    std::vector<wire::LockInfo> before = table_.List(std::nullopt);
    std::vector<wire::LockInfo> after = loaded.List(std::nullopt);
    ASSERT_EQ(before.size(), after.size());
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i].SerializeAsString(), after[i].SerializeAsString());
    }
    table_ = std::move(loaded);
  }

  std::mt19937 random_;
  Model model_;
  LockTable table_;
  std::map<std::pair<InodeId, uint64_t>, wire::LockRecord> stored_;
  uint64_t waiter_ = 0;
  uint64_t last_grant_ = 0;
};

TEST_P(LockModelTest, AgreesWithBytesUnderRandomCalls) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  for (int step = 0; step < 1500; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    Ask ask = Draw();
    uint64_t choice = Below(100);
    if (choice < 50) {
      Take(ask);
    } else if (choice < 80) {
      Unlock(ask);
    } else if (choice < 88) {
      CancelOne();
    } else if (choice < 96) {
      Close(ask, choice < 92);
    } else if (choice < 98) {
      EndSession(ask.owner.session);
    } else {
      Restart();
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, LockModelTest, testing::Range(1u, 9u));

}  // namespace
}  // namespace ringfs
