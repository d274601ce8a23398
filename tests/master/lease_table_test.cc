#include "master/leases/lease_table.h"

#include <gtest/gtest.h>

namespace ringfs::master {
namespace {

constexpr SessionId kA{1};
constexpr SessionId kB{2};
constexpr SessionId kC{3};
constexpr InodeId kFile{10};
constexpr InodeId kOther{11};
constexpr int64_t kTtl = 10 * kNsPerSecond;
constexpr int64_t kLater = 2 * kNsPerSecond;  // no conflict counts any more

LeaseWants Want(InodeId inode, LeaseNeed need) {
  LeaseWants wants;
  wants.Add(inode, need);
  return wants;
}
LeaseWants Change(InodeId inode) { return Want(inode, LeaseNeed::kChange); }
LeaseWants Read(InodeId inode) { return Want(inode, LeaseNeed::kRead); }

class LeaseTableTest : public testing::Test {
 protected:
  LeaseTableTest() {
    for (const SessionId session : {kA, kB, kC}) table_.AddSession(session, kTtl);
  }

  wire::LeaseKind Grant(SessionId session, InodeId inode, wire::LeaseKind kind,
                        int64_t now_ns = 0) {
    const auto grant = table_.Grant(session, inode, kind, now_ns);
    return grant ? grant->kind() : wire::LEASE_NONE;
  }
  void Answer(const LeaseRecall& recall, wire::LeaseKind kept) {
    table_.Answer(recall.session, recall.inode, recall.number, kept, 0);
  }
  LeaseRecall TheRecall() {
    const std::vector<LeaseRecall> recalls = table_.TakeRecalls();
    EXPECT_EQ(recalls.size(), 1u);
    return recalls.empty() ? LeaseRecall{} : recalls.front();
  }

  LeaseTable table_;
};

TEST_F(LeaseTableTest, SharesReadLeases) {
  EXPECT_EQ(Grant(kA, kFile, wire::LEASE_READ), wire::LEASE_READ);
  EXPECT_EQ(Grant(kB, kFile, wire::LEASE_WRITE), wire::LEASE_READ);
  EXPECT_TRUE(table_.IsFree(kA, Read(kFile)));
  EXPECT_FALSE(table_.IsFree(kA, Change(kFile)));
  EXPECT_FALSE(table_.IsFree(kA));
}

TEST_F(LeaseTableTest, LetsAWriteLeaseBeAlone) {
  EXPECT_EQ(Grant(kA, kFile, wire::LEASE_WRITE), wire::LEASE_WRITE);
  EXPECT_EQ(Grant(kB, kFile, wire::LEASE_READ), wire::LEASE_NONE);
  EXPECT_TRUE(table_.IsFree(kA, Change(kFile)));
  EXPECT_TRUE(table_.IsFree(kA));
  EXPECT_FALSE(table_.IsFree(kB, Read(kFile)));
}

TEST_F(LeaseTableTest, RaisesALeaseUnderItsNumber) {
  const auto read = table_.Grant(kA, kFile, wire::LEASE_READ, 0);
  const auto write = table_.Grant(kA, kFile, wire::LEASE_WRITE, 0);
  ASSERT_TRUE(read && write);
  EXPECT_EQ(read->number(), write->number());
  EXPECT_EQ(write->kind(), wire::LEASE_WRITE);
  EXPECT_EQ(Grant(kA, kFile, wire::LEASE_READ), wire::LEASE_WRITE);
  ASSERT_EQ(table_.Writing(kA).size(), 1u);
  EXPECT_EQ(table_.Writing(kA).front().number(), write->number());
}

TEST_F(LeaseTableTest, LeavesTheReadLeaseToAReadersHolder) {
  Grant(kA, kFile, wire::LEASE_WRITE);
  const uint64_t ticket = table_.Wait(kB, Read(kFile), 0);
  const LeaseRecall recall = TheRecall();
  EXPECT_EQ(recall.session, kA);
  EXPECT_EQ(recall.keep, wire::LEASE_READ);
  EXPECT_FALSE(table_.Find(kA, kFile));

  Answer(recall, wire::LEASE_READ);
  EXPECT_EQ(table_.TakeReady(), std::vector<uint64_t>{ticket});
  EXPECT_EQ(table_.Find(kA, kFile)->kind(), wire::LEASE_READ);
  table_.EndWait(ticket);
}

TEST_F(LeaseTableTest, AsksForMoreWhenAChangeComesBesidesARead) {
  Grant(kA, kFile, wire::LEASE_WRITE);
  const uint64_t read = table_.Wait(kB, Read(kFile), 0);
  const uint64_t change = table_.Wait(kC, Change(kFile), 0);
  const std::vector<LeaseRecall> recalls = table_.TakeRecalls();
  ASSERT_EQ(recalls.size(), 2u);
  EXPECT_EQ(recalls[0].keep, wire::LEASE_READ);
  EXPECT_EQ(recalls[1].keep, wire::LEASE_NONE);
  EXPECT_EQ(table_.RecallAgain(kA, 0).size(), 1u);

  Answer(recalls[0], wire::LEASE_READ);
  EXPECT_EQ(table_.TakeReady(), std::vector<uint64_t>{read});
  EXPECT_FALSE(table_.Find(kA, kFile)) << "it is still being recalled";
  Answer(recalls[1], wire::LEASE_NONE);
  EXPECT_EQ(table_.TakeReady(), std::vector<uint64_t>{change});
}

TEST_F(LeaseTableTest, GrantsNothingThatAWaitStandsAgainst) {
  Grant(kA, kFile, wire::LEASE_READ);
  const uint64_t ticket = table_.Wait(kB, Change(kFile), 0);
  EXPECT_EQ(Grant(kC, kFile, wire::LEASE_READ), wire::LEASE_NONE);
  Answer(TheRecall(), wire::LEASE_NONE);
  EXPECT_EQ(Grant(kC, kFile, wire::LEASE_READ), wire::LEASE_NONE) << "it has not been applied yet";
  EXPECT_TRUE(table_.IsReady(ticket));
  table_.EndWait(ticket);
  EXPECT_EQ(Grant(kC, kFile, wire::LEASE_READ, kLater), wire::LEASE_READ);
}

TEST_F(LeaseTableTest, LetsTwoChangesThatWaitCrosswiseBothGoOn) {
  for (const InodeId inode : {kFile, kOther}) {
    Grant(kA, inode, wire::LEASE_READ);
    Grant(kB, inode, wire::LEASE_READ);
  }
  LeaseWants both = Change(kFile);
  both.Add(kOther, LeaseNeed::kChange);
  const uint64_t first = table_.Wait(kA, both, 0);
  const uint64_t second = table_.Wait(kB, both, 0);
  const std::vector<LeaseRecall> recalls = table_.TakeRecalls();
  EXPECT_EQ(recalls.size(), 4u);
  for (const LeaseRecall& recall : recalls) Answer(recall, wire::LEASE_NONE);
  EXPECT_EQ(table_.TakeReady().size(), 2u);
  EXPECT_TRUE(table_.IsReady(first));
  table_.EndWait(first);
  EXPECT_TRUE(table_.IsReady(second));
  table_.EndWait(second);
}

TEST_F(LeaseTableTest, LetsAReaderWaitForTheChangesBeforeIt) {
  Grant(kA, kFile, wire::LEASE_READ);
  const uint64_t change = table_.Wait(kB, Change(kFile), 0);
  const uint64_t reader = table_.WaitBehind(kC, kFile, 0);
  EXPECT_TRUE(table_.IsFree(kC, Read(kFile)));
  EXPECT_FALSE(table_.IsReady(reader));
  Answer(TheRecall(), wire::LEASE_NONE);
  EXPECT_EQ(table_.TakeReady(), std::vector<uint64_t>{change});
  table_.EndWait(change);
  EXPECT_EQ(table_.TakeReady(), std::vector<uint64_t>{reader});
  EXPECT_EQ(Grant(kC, kFile, wire::LEASE_READ), wire::LEASE_READ);
  table_.EndWait(reader);
}

TEST_F(LeaseTableTest, PassesOverAnswersForOtherNumbers) {
  const auto grant = table_.Grant(kA, kFile, wire::LEASE_READ, 0);
  ASSERT_TRUE(grant);
  table_.Answer(kA, kFile, grant->number() + 1, wire::LEASE_NONE, 0);
  table_.Answer(kB, kFile, grant->number(), wire::LEASE_NONE, 0);
  EXPECT_TRUE(table_.Find(kA, kFile));
  table_.Answer(kA, kFile, grant->number(), wire::LEASE_NONE, 0);
  EXPECT_FALSE(table_.IsLeased(kFile));
  const auto next = table_.Grant(kA, kFile, wire::LEASE_READ, 0);
  EXPECT_GT(next->number(), grant->number());
}

TEST_F(LeaseTableTest, FreesWhatAnEndedSessionHad) {
  Grant(kA, kFile, wire::LEASE_WRITE);
  const uint64_t ticket = table_.Wait(kB, Change(kFile), 0);
  table_.EndSession(kA);
  EXPECT_EQ(table_.TakeReady(), std::vector<uint64_t>{ticket});
  EXPECT_FALSE(table_.IsLeased(kFile));
  EXPECT_EQ(Grant(kA, kOther, wire::LEASE_READ), wire::LEASE_NONE);
  table_.EndWait(ticket);
}

TEST_F(LeaseTableTest, SaysOnceWhoHasNotAnsweredInTime) {
  Grant(kA, kFile, wire::LEASE_WRITE);
  table_.Wait(kB, Change(kFile), kNsPerSecond);
  EXPECT_TRUE(table_.TakeOverdue(kTtl).empty());
  table_.Progress(kA, kFile, 2 * kNsPerSecond);
  table_.Postpone(kNsPerSecond);
  EXPECT_TRUE(table_.TakeOverdue(kTtl + 2 * kNsPerSecond).empty());
  const LeaseRecall recall = TheRecall();
  table_.Answer(kA, kFile, recall.number, wire::LEASE_WRITE, 4 * kNsPerSecond);
  EXPECT_TRUE(table_.TakeOverdue(kTtl + 3 * kNsPerSecond).empty()) << "it is busy";
  EXPECT_EQ(table_.RecallAgain(kA, 5 * kNsPerSecond).size(), 1u);
  EXPECT_TRUE(table_.TakeOverdue(kTtl + 4 * kNsPerSecond).empty()) << "after a reconnect";
  EXPECT_EQ(table_.TakeOverdue(kTtl + 5 * kNsPerSecond), std::vector<SessionId>{kA});
  EXPECT_TRUE(table_.TakeOverdue(2 * kTtl).empty());
  EXPECT_EQ(table_.statistics().timed_out, 1u);
}

TEST_F(LeaseTableTest, DoesNotPassAContestedLeaseToAndFro) {
  Grant(kA, kFile, wire::LEASE_WRITE);
  uint64_t ticket = table_.Wait(kB, Read(kFile), 0);
  Answer(TheRecall(), wire::LEASE_NONE);
  table_.EndWait(ticket);
  EXPECT_EQ(Grant(kB, kFile, wire::LEASE_WRITE, kNsPerSecond / 2), wire::LEASE_READ);

  ticket = table_.Wait(kA, Change(kFile), kNsPerSecond / 2);
  Answer(TheRecall(), wire::LEASE_NONE);
  table_.EndWait(ticket);
  EXPECT_EQ(Grant(kA, kFile, wire::LEASE_WRITE, kNsPerSecond), wire::LEASE_NONE);
  EXPECT_EQ(Grant(kA, kFile, wire::LEASE_WRITE, kNsPerSecond * 3 / 2), wire::LEASE_WRITE);
}

TEST(LeaseTableBounds, TakeTheOldestLeaseBack) {
  LeaseLimits limits;
  limits.max_per_session = 4;
  LeaseTable table(limits);
  table.AddSession(kA, kTtl);
  for (uint64_t inode = 1; inode <= 4; ++inode) {
    EXPECT_TRUE(table.Grant(kA, InodeId{inode}, wire::LEASE_READ, 0));
  }
  EXPECT_TRUE(table.TakeRecalls().empty());
  EXPECT_TRUE(table.Grant(kA, InodeId{5}, wire::LEASE_READ, 0));
  const std::vector<LeaseRecall> recalls = table.TakeRecalls();
  ASSERT_EQ(recalls.size(), 1u);
  EXPECT_EQ(recalls.front().inode, InodeId{1});
  EXPECT_TRUE(table.Grant(kA, InodeId{6}, wire::LEASE_READ, 0));
  EXPECT_FALSE(table.Grant(kA, InodeId{7}, wire::LEASE_READ, 0)) << "it does not answer";
  for (const LeaseRecall& recall : recalls) {
    table.Answer(kA, recall.inode, recall.number, wire::LEASE_NONE, 0);
  }
  EXPECT_TRUE(table.Grant(kA, InodeId{7}, wire::LEASE_READ, 0));
}

TEST(LeasesOfAFormerRun, StandInTheWayUntilTheirSessionsReturn) {
  LeaseTable table;
  table.AddFormer(kA, kTtl);
  table.AddFormer(kB, kTtl);
  table.AddSession(kC, kTtl);
  EXPECT_FALSE(table.IsFree(kC));
  const uint64_t read = table.Wait(kC, Read(kOther), 0);
  const uint64_t change = table.Wait(kC, Change(kOther), 0);
  table.Return(kA, {kFile}, 0);
  EXPECT_TRUE(table.TakeReady().empty());
  EXPECT_FALSE(table.IsFree(kA, Read(kOther))) << "B may hold changes of it back";
  table.Return(kB, {kFile}, 0);
  EXPECT_EQ(table.Writing(kA).size(), 1u);
  EXPECT_TRUE(table.Writing(kB).empty()) << "A has it";
  EXPECT_EQ(table.TakeReady(), std::vector<uint64_t>{read});
  EXPECT_FALSE(table.IsFree(kC, Read(kFile)));
  EXPECT_TRUE(table.IsFree(kA, Change(kFile))) << "what it holds back can be flushed";
  EXPECT_FALSE(table.IsFree(kA, Change(kOther)));
  EXPECT_EQ(table.Grant(kC, kOther, wire::LEASE_WRITE, 0)->kind(), wire::LEASE_READ);

  table.DropFormer(kA);
  EXPECT_TRUE(table.TakeReady().empty());
  table.EndSession(kB);
  EXPECT_EQ(table.TakeReady(), std::vector<uint64_t>{change});
  EXPECT_EQ(table.former(), 0u);
}

TEST(LeasesOfAFormerRun, AreRecalledWhenTheyWereWaitedForBefore) {
  LeaseTable table;
  table.AddFormer(kA, kTtl);
  table.AddSession(kB, kTtl);
  const uint64_t ticket = table.Wait(kB, Read(kFile), 0);
  EXPECT_TRUE(table.TakeRecalls().empty());
  table.Return(kA, {kFile}, 0);
  const std::vector<LeaseRecall> recalls = table.TakeRecalls();
  ASSERT_EQ(recalls.size(), 1u);
  EXPECT_EQ(table.Writing(kA).front().number(), recalls.front().number);
  EXPECT_FALSE(table.IsReady(ticket));
  table.Answer(kA, kFile, recalls.front().number, wire::LEASE_READ, 0);
  EXPECT_EQ(table.TakeReady(), std::vector<uint64_t>{ticket});
}

}  // namespace
}  // namespace ringfs::master
