#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "master/service/append_turns.h"
#include "master/service/capacity.h"
#include "master/service/fences.h"
#include "master/service/garbage_progress.h"

namespace ringfs::master {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr InodeId kFile{7};
constexpr SessionId kA{1};
constexpr SessionId kB{2};
constexpr SessionId kC{3};

TEST(AppendTurns, AreGivenInTheOrderOfAsking) {
  AppendTurns turns;
  turns.Open();
  turns.Begin(kFile, kA);
  turns.Begin(kFile, kB);
  turns.Begin(kFile, kC);
  EXPECT_TRUE(turns.Holds(kFile, kA));

  EXPECT_TRUE(turns.End(kFile, kA));
  EXPECT_TRUE(turns.Holds(kFile, kB));
  EXPECT_TRUE(turns.End(kFile, kB));
  EXPECT_TRUE(turns.Holds(kFile, kC));
  EXPECT_FALSE(turns.End(kFile, kC));
  EXPECT_EQ(turns.size(), 0u);
}

TEST(AppendTurns, KeepThePlaceOfWhoAsksAgain) {
  AppendTurns turns;
  turns.Open();
  turns.Begin(kFile, kA);
  const uint64_t first = turns.Begin(kFile, kB);
  turns.Begin(kFile, kC);
  turns.Begin(kFile, kB);
  turns.Withdraw(kFile, kB, first);  // the wait that was replaced gives up

  turns.End(kFile, kA);
  EXPECT_TRUE(turns.Holds(kFile, kB));
}

TEST(AppendTurns, PassOverWhoHasGivenUp) {
  AppendTurns turns;
  turns.Open();
  turns.Begin(kFile, kA);
  turns.Withdraw(kFile, kB, turns.Begin(kFile, kB));
  turns.Begin(kFile, kC);

  EXPECT_TRUE(turns.End(kFile, kA));
  EXPECT_TRUE(turns.Holds(kFile, kC));
}

TEST(AppendTurns, AreNotGivenBeforeHoldersHaveReturned) {
  AppendTurns turns;
  turns.Begin(kFile, kA);
  EXPECT_FALSE(turns.Holds(kFile, kA));
  turns.Reassert(kB, {kFile});
  EXPECT_TRUE(turns.Holds(kFile, kB));

  EXPECT_THAT(turns.Open(), IsEmpty());
  EXPECT_TRUE(turns.End(kFile, kB));
  EXPECT_TRUE(turns.Holds(kFile, kA));
}

TEST(AppendTurns, PassOnWhatAReturnedSessionDoesNotName) {
  AppendTurns turns;
  turns.Open();
  turns.Begin(kFile, kA);
  turns.Begin(kFile, kB);

  EXPECT_THAT(turns.Reassert(kA, {}), ElementsAre(kFile));
  EXPECT_TRUE(turns.Holds(kFile, kB));
}

TEST(AppendTurns, EndWithTheirSession) {
  AppendTurns turns;
  turns.Open();
  turns.Begin(kFile, kA);
  turns.Begin(kFile, kB);
  turns.Begin(InodeId{8}, kA);

  EXPECT_THAT(turns.EndSession(kA), ElementsAre(kFile));
  EXPECT_THAT(turns.EndSession(kB), IsEmpty());
  EXPECT_EQ(turns.size(), 0u);
}

TEST(Fences, AreCompleteWhenEachServerHasConfirmedOrIsLost) {
  Fences fences;
  fences.Start(kA, {ServerId{1}, ServerId{2}});
  EXPECT_THAT(fences.PendingOf(ServerId{2}), ElementsAre(kA));

  fences.Confirm(ServerId{1}, kA);
  EXPECT_THAT(fences.Complete(), IsEmpty());
  fences.ServerLost(ServerId{2});
  EXPECT_THAT(fences.Complete(), ElementsAre(kA));
}

TEST(Fences, WaitForAServerThatGotALeaseMeanwhile) {
  Fences fences;
  fences.Start(kA, {ServerId{1}});
  fences.ServerRegistered(ServerId{2});
  fences.Confirm(ServerId{1}, kA);

  EXPECT_THAT(fences.Complete(), IsEmpty());
  fences.Confirm(ServerId{2}, kA);
  EXPECT_THAT(fences.Complete(), ElementsAre(kA));
}

TEST(Fences, WithoutServersAreCompleteAtOnce) {
  Fences fences;
  fences.Start(kA, {});
  EXPECT_THAT(fences.Complete(), ElementsAre(kA));
}

TEST(GarbageProgress, GoesOnWhenTheWholeBatchIsDone) {
  GarbageProgress progress;
  EXPECT_EQ(progress.NextFrom(ServerId{1}), 0u);
  progress.Sent(ServerId{1}, {3, 4, 9});
  EXPECT_EQ(progress.NextFrom(ServerId{1}), std::nullopt);

  EXPECT_FALSE(progress.Done(ServerId{1}, {4, 9}));
  EXPECT_TRUE(progress.Done(ServerId{1}, {3}));
  EXPECT_EQ(progress.NextFrom(ServerId{1}), 9u);
}

TEST(GarbageProgress, SendsABatchAgainAfterAReconnect) {
  GarbageProgress progress;
  progress.Sent(ServerId{1}, {3, 4});
  progress.Reset(ServerId{1});
  EXPECT_EQ(progress.NextFrom(ServerId{1}), 0u);
}

TEST(GarbageProgress, IsHeldBackByTheSlowestServer) {
  GarbageProgress progress;
  progress.Sent(ServerId{1}, {3, 4});
  progress.Done(ServerId{1}, {3, 4});
  EXPECT_EQ(progress.DoneByAll({ServerId{1}}), 4u);
  EXPECT_EQ(progress.DoneByAll({ServerId{1}, ServerId{2}}), 0u);
  EXPECT_EQ(progress.DoneByAll({}), 0u);
}

TEST(StorableBytes, IsWhatReplicasOnDifferentServersCanUse) {
  EXPECT_EQ(StorableBytes({10, 10}, 2), 10u);
  EXPECT_EQ(StorableBytes({10, 10, 10}, 2), 15u);
  EXPECT_EQ(StorableBytes({100, 10}, 2), 10u);
  EXPECT_EQ(StorableBytes({100, 10, 10}, 2), 20u);
  EXPECT_EQ(StorableBytes({100, 80, 10}, 3), 10u);
  EXPECT_EQ(StorableBytes({7, 8}, 1), 15u);
}

TEST(StorableBytes, IsNothingWithoutEnoughServers) {
  EXPECT_EQ(StorableBytes({}, 1), 0u);
  EXPECT_EQ(StorableBytes({10}, 2), 0u);
  EXPECT_EQ(StorableBytes({10, 10}, 0), 0u);
}

TEST(StorableBytes, SurvivesSizesThatCannotBe) {
  EXPECT_GT(StorableBytes({UINT64_MAX, UINT64_MAX, UINT64_MAX}, 2), uint64_t{1} << 52);
}

}  // namespace
}  // namespace ringfs::master
