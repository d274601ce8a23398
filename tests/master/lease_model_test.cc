#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "master/leases/lease_table.h"

namespace ringfs::master {
namespace {

constexpr uint64_t kSessions = 4;
constexpr uint64_t kInodes = 5;
constexpr int kSteps = 600;
constexpr uint64_t kSeeds = 60;
constexpr int64_t kLife = 10 * kNsPerSecond;

struct Held {
  wire::LeaseKind kind = wire::LEASE_NONE;
  uint64_t number = 0;
};
struct Waiting {
  SessionId session{0};
  LeaseWants wants;
};

// What the sessions believe to have, by what they were told, beside the table that tells them.
class LeaseModel {
 public:
  explicit LeaseModel(uint64_t seed) : random_(seed), table_(Limits()) {
    for (uint64_t session = 1; session <= kSessions; ++session) {
      table_.AddSession(SessionId{session}, kLife);
    }
  }

  void Step() {
    now_ns_ += static_cast<int64_t>(Pick(kNsPerSecond / 2));
    switch (Pick(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        Ask();
        break;
      case 4:
        AskBehind();
        break;
      case 5:
        GiveBack();
        break;
      case 6:
        if (Pick(10) == 0) EndOne();
        break;
      default:
        AnswerOne();
    }
    Hear();
    GoOn(Pick(2) == 0);
    Check();
  }

  // Everybody answers: nobody waits any more.
  void Finish() {
    while (!recalls_.empty()) {
      AnswerOne();
      Hear();
      GoOn(true);
      Check();
    }
    GoOn(true);
    EXPECT_TRUE(waiting_.empty());
  }

 private:
  static LeaseLimits Limits() {
    LeaseLimits limits;
    limits.max_per_session = kInodes - 1;
    return limits;
  }
  uint64_t Pick(uint64_t below) { return random_() % below; }
  SessionId PickSession() { return SessionId{1 + Pick(kSessions)}; }
  InodeId PickInode() { return InodeId{1 + Pick(kInodes)}; }

  bool InTheWay(SessionId session, const LeaseWants& wants) const {
    for (const LeaseWant& want : wants) {
      for (const auto& [key, held] : held_) {
        if (key.first != want.inode || key.second == session) continue;
        if (want.need == LeaseNeed::kChange || held.kind == wire::LEASE_WRITE) return true;
      }
    }
    return false;
  }

  void Ask() {
    LeaseWants wants;
    for (uint64_t i = 0; i <= Pick(3); ++i) {
      wants.Add(PickInode(), Pick(2) == 0 ? LeaseNeed::kRead : LeaseNeed::kChange);
    }
    const SessionId session = PickSession();
    const bool free = table_.IsFree(session, wants);
    ASSERT_EQ(free, !InTheWay(session, wants));
    if (free) return Apply(session, wants);
    waiting_[table_.Wait(session, wants, now_ns_)] = Waiting{session, wants};
  }

  void AskBehind() {
    const SessionId session = PickSession();
    const InodeId inode = PickInode();
    LeaseWants wants;
    wants.Add(inode, LeaseNeed::kRead);
    waiting_[table_.WaitBehind(session, inode, now_ns_)] = Waiting{session, wants};
  }

  // The request is done, and its answer names leases.
  void Apply(SessionId session, const LeaseWants& wants) {
    ASSERT_FALSE(InTheWay(session, wants));
    for (const LeaseWant& want : wants) {
      const auto kind = Pick(2) == 0 ? wire::LEASE_READ : wire::LEASE_WRITE;
      const auto grant = table_.Grant(session, want.inode, kind, now_ns_);
      if (!grant) continue;
      Held& held = held_[{want.inode, session}];
      if (held.number != grant->number()) {
        ASSERT_GT(grant->number(), newest_) << "numbers grow";
        newest_ = grant->number();
      }
      held = Held{grant->kind(), grant->number()};
      ExpectNoWaitIsWorseOff(session, want.inode, grant->kind());
    }
  }

  void ExpectNoWaitIsWorseOff(SessionId session, InodeId inode, wire::LeaseKind kind) {
    for (const auto& [ticket, request] : waiting_) {
      if (request.session == session) continue;
      for (const LeaseWant& want : request.wants) {
        if (want.inode != inode) continue;
        EXPECT_TRUE(want.need == LeaseNeed::kRead && kind == wire::LEASE_READ);
      }
    }
  }

  void GiveBack() {
    if (held_.empty()) return;
    auto place = held_.begin();
    std::advance(place, Pick(held_.size()));
    const auto [key, held] = *place;
    held_.erase(place);
    table_.Answer(key.second, key.first, held.number, wire::LEASE_NONE, now_ns_);
  }

  void EndOne() {
    const SessionId session = PickSession();
    table_.EndSession(session);
    std::erase_if(held_, [session](const auto& one) { return one.first.second == session; });
    std::erase_if(recalls_, [session](const auto& one) { return one.session == session; });
    table_.AddSession(session, kLife);
  }

  void Hear() {
    for (const LeaseRecall& recall : table_.TakeRecalls()) {
      ASSERT_TRUE(held_.contains({recall.inode, recall.session}));
      ASSERT_LT(recall.keep, (held_[{recall.inode, recall.session}].kind));
      recalls_.push_back(recall);
    }
  }

  void AnswerOne() {
    if (recalls_.empty()) return;
    const auto place = recalls_.begin() + static_cast<ptrdiff_t>(Pick(recalls_.size()));
    const LeaseRecall recall = *place;
    recalls_.erase(place);
    const auto found = held_.find({recall.inode, recall.session});
    const bool stands = found != held_.end() && found->second.number == recall.number;
    const auto kept = stands ? std::min(found->second.kind, recall.keep) : wire::LEASE_NONE;
    if (stands && kept == wire::LEASE_NONE) held_.erase(found);
    if (stands && kept != wire::LEASE_NONE) found->second.kind = kept;
    table_.Answer(recall.session, recall.inode, recall.number, kept, now_ns_);
  }

  // Those that are ready go on, in the order in which they were told; or only one of them.
  void GoOn(bool all) {
    for (const uint64_t ticket : table_.TakeReady()) told_.push_back(ticket);
    while (!told_.empty()) {
      const uint64_t ticket = told_.front();
      told_.erase(told_.begin());
      if (table_.IsReady(ticket)) {
        const Waiting request = waiting_.at(ticket);
        waiting_.erase(ticket);
        Apply(request.session, request.wants);
        table_.EndWait(ticket);
        Hear();
        for (const uint64_t next : table_.TakeReady()) told_.push_back(next);
      }
      if (!all) break;
    }
    // Those that were ready when they began to wait were not told.
    for (auto place = waiting_.begin(); all && place != waiting_.end();) {
      const auto [ticket, request] = *place++;
      if (!table_.IsReady(ticket) || std::count(told_.begin(), told_.end(), ticket) > 0) continue;
      waiting_.erase(ticket);
      Apply(request.session, request.wants);
      table_.EndWait(ticket);
      Hear();
      for (const uint64_t next : table_.TakeReady()) {
        if (waiting_.contains(next)) told_.push_back(next);
      }
    }
    if (all && !told_.empty()) GoOn(true);
  }

  void Check() {
    for (const auto& [key, held] : held_) {
      for (const auto& [other, theirs] : held_) {
        if (key.first != other.first || key.second == other.second) continue;
        ASSERT_TRUE(held.kind == wire::LEASE_READ && theirs.kind == wire::LEASE_READ);
      }
    }
    ASSERT_EQ(table_.statistics().leases, held_.size());
    for (const auto& [ticket, request] : waiting_) {
      if (!InTheWay(request.session, request.wants)) continue;
      ASSERT_FALSE(table_.IsReady(ticket));
      ExpectRecalled(request);
    }
  }

  // All that is in the way of the request has been asked for, and enough of it.
  void ExpectRecalled(const Waiting& request) {
    for (const LeaseWant& want : request.wants) {
      const bool change = want.need == LeaseNeed::kChange;
      for (const auto& [key, held] : held_) {
        if (key.first != want.inode || key.second == request.session) continue;
        if (!change && held.kind != wire::LEASE_WRITE) continue;
        const auto keep = change ? wire::LEASE_NONE : wire::LEASE_READ;
        const bool asked = std::any_of(recalls_.begin(), recalls_.end(), [&](const auto& recall) {
          return recall.session == key.second && recall.number == held.number &&
                 recall.keep <= keep;
        });
        ASSERT_TRUE(asked);
      }
    }
  }

  std::mt19937_64 random_;
  LeaseTable table_;
  int64_t now_ns_ = 0;
  uint64_t newest_ = 0;
  std::map<std::pair<InodeId, SessionId>, Held> held_;
  std::map<uint64_t, Waiting> waiting_;
  std::vector<LeaseRecall> recalls_;  // pushed and not answered
  std::vector<uint64_t> told_;
};

TEST(LeaseModelTest, NeverGrantsWhatConflictsAndLetsEverybodyThrough) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    LeaseModel model(seed);
    for (int step = 0; step < kSteps && !testing::Test::HasFatalFailure(); ++step) model.Step();
    if (!testing::Test::HasFailure()) model.Finish();
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace ringfs::master
