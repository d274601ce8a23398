#include "chunkserver/replication/fence.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <optional>

namespace ringfs::chunkserver {
namespace {

constexpr SessionId kSession{5};

// Answers when the test says so.
class SlowMaster final : public MasterCalls {
 public:
  explicit SlowMaster(asio::any_io_executor executor) : asked_(std::move(executor)) {}

  asio::awaitable<Result<bool>> IsLive(SessionId) override {
    ++calls;
    while (!answer) co_await asked_.Wait();
    co_return *answer;
  }
  asio::awaitable<Result<void>> RefreshMap() override { co_return Result<void>(); }
  asio::awaitable<Result<void>> ReportSynced(PoolId, BucketId, uint64_t) override {
    co_return Result<void>();
  }
  void Answer(bool live) {
    answer = live;
    asked_.NotifyAll();
  }

  int calls = 0;
  std::optional<bool> answer;

 private:
  Event asked_;
};

asio::awaitable<void> Admit(Fence& fence, std::optional<Errc>& code) {
  const Result<void> admitted = co_await fence.Admit(kSession);
  code = admitted.code();
}

asio::awaitable<void> Close(Fence& fence, bool& closed) {
  std::vector<SessionId> sessions(1, kSession);
  co_await fence.Close(std::move(sessions));
  closed = true;
}

class FenceTest : public ::testing::Test {
 protected:
  void Settle() {
    io_.restart();
    io_.poll();
  }
  void AskAdmission() {
    code_.reset();
    Spawn(io_.get_executor(), Admit(fence_, code_), "a session");
    Settle();
  }
  void StartClose() {
    Spawn(io_.get_executor(), Close(fence_, closed_), "a fence");
    Settle();
  }

  asio::io_context io_;
  SlowMaster master_{io_.get_executor()};
  Fence fence_{io_.get_executor(), master_};
  std::optional<Errc> code_;
  bool closed_ = false;
};

TEST_F(FenceTest, AsksTheMasterOnce) {
  master_.Answer(true);

  AskAdmission();
  AskAdmission();

  EXPECT_EQ(code_, Errc::kOk);
  EXPECT_EQ(master_.calls, 1);
}

TEST_F(FenceTest, RefusesWhatTheMasterDoesNotKnow) {
  master_.Answer(false);

  AskAdmission();

  EXPECT_EQ(code_, Errc::kFenced);
  EXPECT_FALSE(fence_.CheckLive(kSession));
}

TEST_F(FenceTest, BelievesTheFenceRatherThanAnAnswerOnItsWay) {
  AskAdmission();
  StartClose();
  EXPECT_TRUE(closed_);

  master_.Answer(true);
  Settle();

  EXPECT_EQ(code_, Errc::kFenced);
  EXPECT_FALSE(fence_.CheckLive(kSession));
}

TEST_F(FenceTest, IsInForceWhenNothingIsUnfinished) {
  master_.Answer(true);
  AskAdmission();
  std::optional<Fence::Change> change;
  change.emplace(fence_, kSession);

  StartClose();
  EXPECT_FALSE(closed_);
  EXPECT_FALSE(fence_.CheckLive(kSession));

  change.reset();
  Settle();
  EXPECT_TRUE(closed_);
}

TEST_F(FenceTest, TrustsNoAnswerFromBeforeContactWasLost) {
  AskAdmission();
  fence_.ForgetLive();
  master_.Answer(true);
  Settle();

  EXPECT_EQ(code_, Errc::kUnavailable);
}

// A head that lost contact while an admitted write waited for its block: the session may well live.
TEST_F(FenceTest, WhatIsForgottenIsNotFenced) {
  master_.Answer(true);
  AskAdmission();
  ASSERT_TRUE(fence_.CheckLive(kSession));

  fence_.ForgetLive();

  EXPECT_EQ(fence_.CheckLive(kSession).code(), Errc::kUnavailable);
  fence_.Forbid({kSession});
  EXPECT_EQ(fence_.CheckLive(kSession).code(), Errc::kFenced);
}

}  // namespace
}  // namespace ringfs::chunkserver
