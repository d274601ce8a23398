#include "tests/locks/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace ringfs::locks {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// Histories as the clients write them; each call takes 1 ns here unless it is said otherwise.
struct Client {
  std::string text;

  Client& Add(const std::string& call, uint64_t value, int64_t begin, const std::string& end) {
    text += call + " 0 " + std::to_string(value) + " " + std::to_string(begin) + "\n";
    if (!end.empty()) text += end + " " + std::to_string(begin + 1) + "\n";
    return *this;
  }
  Client& Lock(int64_t at) { return Add("lock", 0, at, "ok 0"); }
  Client& Share(int64_t at) { return Add("share", 0, at, "ok 0"); }
  Client& Unlock(int64_t at) { return Add("unlock", 0, at, "ok 0"); }
  Client& Read(uint64_t value, int64_t at) {
    return Add("read", 0, at, "ok " + std::to_string(value));
  }
  Client& Write(uint64_t value, int64_t at) { return Add("write", value, at, "ok 0"); }
  Client& Sync(int64_t at) { return Add("sync", 0, at, "ok 0"); }
  Client& Fails(const std::string& call, uint64_t value, int64_t at) {
    return Add(call, value, at, "error 5");
  }
};

Verdict CheckOf(const std::vector<Client>& clients, bool unsynced_may_vanish = false) {
  std::vector<ClientHistory> histories;
  for (const Client& client : clients) {
    std::istringstream text(client.text);
    auto history = Parse("client " + std::to_string(histories.size()), text);
    EXPECT_TRUE(history) << history.error().ToString();
    if (history) histories.push_back(*std::move(history));
  }
  return Check(histories, unsynced_may_vanish);
}

TEST(LockHistoryTest, TakesWhatLocksAllow) {
  const Verdict verdict = CheckOf({
      Client().Lock(10).Read(0, 20).Write(1, 30).Sync(40).Read(1, 50).Unlock(60),
      Client().Lock(70).Read(1, 80).Write(2, 90).Sync(91).Unlock(100),
      Client().Share(110).Read(2, 120).Unlock(140),
      Client().Share(115).Read(2, 130).Unlock(150),
  });

  EXPECT_THAT(verdict.violations, IsEmpty());
  EXPECT_EQ(verdict.holds, 4u);
  EXPECT_EQ(verdict.contended, 3u);
  EXPECT_EQ(verdict.writes, 2u);
}

TEST(LockHistoryTest, RefusesTwoHolders) {
  for (const bool shared : {false, true}) {
    SCOPED_TRACE(shared);
    Client other;
    if (shared) {
      other.Share(20).Read(0, 25);
    } else {
      other.Lock(20).Read(0, 25);
    }
    const Verdict verdict = CheckOf({Client().Lock(10).Read(0, 30), other});

    EXPECT_THAT(verdict.violations, SizeIs(1));
  }
  EXPECT_THAT(CheckOf({Client().Share(10).Read(0, 30), Client().Lock(20).Read(0, 25)}).violations,
              SizeIs(1));
}

TEST(LockHistoryTest, KnowsThatAHolderMayHaveLostItWithoutAWord) {
  const Verdict verdict = CheckOf({
      Client().Lock(10).Write(1, 20).Sync(21).Fails("write", 2, 200).Fails("unlock", 0, 210),
      Client().Lock(100).Read(1, 110).Unlock(250),
  });

  EXPECT_THAT(verdict.violations, IsEmpty());
  EXPECT_EQ(verdict.lost, 1u);
}

TEST(LockHistoryTest, RefusesACallThatSucceedsAfterTheLockWasGivenAway) {
  for (const char* call : {"read", "write", "sync", "unlock"}) {
    SCOPED_TRACE(call);
    const uint64_t value = call == std::string("write") ? 1 : 0;
    const Verdict verdict = CheckOf({
        Client().Lock(10).Add(call, value, 120, "ok 0"),
        Client().Lock(100).Read(0, 110).Unlock(115),
    });

    EXPECT_THAT(verdict.violations, SizeIs(1));
  }
}

TEST(LockHistoryTest, RefusesWhatIsNotTheLastValue) {
  EXPECT_THAT(
      CheckOf({Client().Lock(10).Write(1, 20).Sync(30).Unlock(40), Client().Lock(50).Read(0, 60)})
          .violations,
      SizeIs(1));
  EXPECT_THAT(CheckOf({Client().Lock(10).Write(1, 20).Read(0, 30)}).violations, SizeIs(1));
  EXPECT_THAT(CheckOf({Client().Lock(10).Read(7, 20)}).violations, SizeIs(1));
}

TEST(LockHistoryTest, LetsAWriteWithoutAnswerBeThereOrNot) {
  for (const uint64_t seen : {1u, 2u}) {
    SCOPED_TRACE(seen);
    const Verdict verdict = CheckOf({
        Client().Lock(10).Write(1, 20).Sync(30).Add("write", 2, 40, ""),
        Client().Lock(100).Read(seen, 110).Unlock(120),
        Client().Lock(130).Read(seen, 140),
    });

    EXPECT_THAT(verdict.violations, IsEmpty());
  }
}

TEST(LockHistoryTest, RefusesALateWrite) {
  const Client fenced = Client().Lock(10).Write(1, 20).Sync(30).Add("write", 2, 40, "");
  // It was not there when the next holder looked, or the next holder has written over it.
  EXPECT_THAT(CheckOf({fenced, Client().Lock(100).Read(1, 110).Read(2, 120)}).violations,
              SizeIs(1));
  EXPECT_THAT(CheckOf({fenced, Client().Lock(100).Write(3, 110).Sync(115).Unlock(120),
                       Client().Lock(130).Read(2, 140)})
                  .violations,
              SizeIs(1));
  // It was begun after the next holder had the lock.
  EXPECT_THAT(CheckOf({Client().Lock(10).Write(1, 20).Sync(30).Fails("write", 2, 105),
                       Client().Lock(100).Read(2, 110)})
                  .violations,
              SizeIs(1));
}

TEST(LockHistoryTest, LetsAWriteThatWasNotSyncedBeLost) {
  EXPECT_THAT(CheckOf({Client().Lock(10).Write(1, 20).Sync(30).Write(2, 40).Write(3, 50),
                       Client().Lock(100).Read(1, 110)})
                  .violations,
              IsEmpty());
  EXPECT_THAT(CheckOf({Client().Lock(10).Write(1, 20).Sync(30).Write(2, 40).Write(3, 50).Sync(60),
                       Client().Lock(100).Read(2, 110)})
                  .violations,
              SizeIs(1));
}

TEST(LockHistoryTest, LetsWhatWasSeenVanishOnlyUntilItIsSyncedAndOnlyWhenServersDie) {
  const Client first = Client().Lock(10).Write(1, 20).Sync(30).Write(2, 40).Unlock(50);
  const Client second = Client().Lock(100).Read(2, 110).Unlock(120);
  const Client third = Client().Lock(130).Read(1, 140).Unlock(150);
  EXPECT_THAT(CheckOf({first, second, third}, false).violations, SizeIs(1));
  EXPECT_THAT(CheckOf({first, second, third}, true).violations, IsEmpty());

  const Client syncs = Client().Lock(100).Read(2, 110).Write(3, 112).Sync(115).Unlock(120);
  EXPECT_THAT(CheckOf({first, syncs, third}, true).violations, SizeIs(1));
  // A sync of one who has not written says nothing of what others have.
  const Client looks = Client().Lock(100).Read(2, 110).Sync(115).Unlock(120);
  EXPECT_THAT(CheckOf({first, looks, third}, true).violations, IsEmpty());
}

TEST(LockHistoryTest, ReadsHistoriesThatWereCutOffAndNoOthers) {
  std::istringstream cut("lock 3 0 10\nok 0 11\nwrite 3 9 12\nok 0 1");
  const auto history = Parse("cut", cut);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->entries.size(), 2u);
  EXPECT_TRUE(history->entries[0].succeeded);
  EXPECT_FALSE(history->entries[1].returned_ns);
  for (const char* text : {"jump 3 0 10\n", "lock 3\n", "ok 0 1\n", "lock 3 0 1\nlock 3 0 2\n"}) {
    std::istringstream bad(text);
    EXPECT_EQ(Parse("bad", bad).code(), Errc::kCorrupted) << text;
  }
}

}  // namespace
}  // namespace ringfs::locks
