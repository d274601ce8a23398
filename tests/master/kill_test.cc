#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/async.h"
#include "kill_worker.h"
#include "master_process.h"

namespace ringfs::master {
namespace {

using testing::HasSubstr;

class MasterProgram : public testing::Test {
 protected:
  MasterProgram() {
    std::string name = testing::TempDir() + "/ringfs-master-" + std::string(6, 'X');
    RINGFS_CHECK(mkdtemp(name.data()) != nullptr);
    directory_ = name;
  }
  ~MasterProgram() override { std::filesystem::remove_all(directory_); }

  std::vector<std::string> Flags(const std::string& listen = "127.0.0.1:0") const {
    return {"--data", directory_ + "/data", "--listen", listen, "--log-level",
            "error",  "--bucket-bits",      "4"};
  }

  std::string directory_;
};

// Four sessions with two slots each work while the master is killed and started again.
class KillRun {
 public:
  struct Job {
    KillWorker worker;
    bool worked = false;
    bool verified = false;
  };

  KillRun(std::vector<std::string> flags, uint64_t seed, int kills)
      : flags_(std::move(flags)), random_(seed), kills_(kills) {
    address_ = master_.Start(flags_);
    RINGFS_CHECK(!address_.empty());
    flags_[3] = address_;
    for (int i = 0; i < kSessions; ++i) {
      sessions_.push_back(std::make_unique<ReturningSession>(io_.get_executor(), address_,
                                                             static_cast<char>('a' + i)));
      for (uint32_t slot = 0; slot < kSlotsUsed; ++slot) {
        jobs_.push_back(Job{KillWorker(*sessions_.back(), slot, random_())});
      }
    }
  }

  void Run() {
    for (Job& job : jobs_) Spawn(io_.get_executor(), Work(job), "worker");
    Spawn(io_.get_executor(), KillAgainAndAgain(), "killer");
    RunUntilEach([](const Job& job) { return job.worked; });
    KillAndRestart();
    for (Job& job : jobs_) Spawn(io_.get_executor(), Verify(job), "verify");
    RunUntilEach([](const Job& job) { return job.verified; });
  }

  const std::deque<Job>& jobs() const { return jobs_; }
  const std::vector<std::unique_ptr<ReturningSession>>& sessions() const { return sessions_; }

 private:
  static constexpr int kSessions = 4;
  static constexpr uint32_t kSlotsUsed = 2;
  static constexpr int64_t kLongestLifeUs = 100'000;

  void RunUntilEach(bool (*done)(const Job&)) {
    while (!std::all_of(jobs_.begin(), jobs_.end(), done)) io_.run_one();
  }

  asio::awaitable<void> Work(Job& job) {
    co_await job.worker.Prepare("w" + std::to_string(prepared_++));
    while (!done_ && job.worker.failures().empty()) co_await job.worker.Step();
    job.worked = true;
  }

  asio::awaitable<void> Verify(Job& job) {
    co_await job.worker.Verify();
    job.verified = true;
  }

  asio::awaitable<void> KillAgainAndAgain() {
    asio::steady_timer timer(io_);
    for (int i = 0; i < kills_; ++i) {
      const auto life = static_cast<int64_t>(random_() % kLongestLifeUs);
      timer.expires_after(std::chrono::microseconds(life));
      co_await timer.async_wait(kNoThrow);
      KillAndRestart();
    }
    done_ = true;
  }

  void KillAndRestart() {
    master_.Kill();
    // Until the port is bound again a client's own connection may have it for a moment.
    std::string again;
    for (int i = 0; i < 100 && again.empty(); ++i) again = master_.Start(flags_);
    RINGFS_CHECK(again == address_);
  }

  std::vector<std::string> flags_;
  std::mt19937_64 random_;
  const int kills_;
  asio::io_context io_{1};
  MasterProcess master_;
  std::string address_;
  std::vector<std::unique_ptr<ReturningSession>> sessions_;
  std::deque<Job> jobs_;
  int prepared_ = 0;
  bool done_ = false;
};

TEST_F(MasterProgram, AppliesEachChangeOnceHoweverOftenItIsKilled) {
  const char* kills = getenv("RINGFS_KILLS");
  const uint64_t seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));

  KillRun run(Flags(), seed, kills == nullptr ? 25 : std::stoi(kills));
  run.Run();

  uint64_t steps = 0;
  for (const KillRun::Job& job : run.jobs()) {
    EXPECT_THAT(job.worker.failures(), testing::IsEmpty());
    EXPECT_GT(job.worker.steps(), 1u);
    steps += job.worker.steps();
  }
  for (const auto& session : run.sessions()) EXPECT_GT(session->reconnects(), 1u);
  std::printf("%llu changes\n", static_cast<unsigned long long>(steps));
}

TEST_F(MasterProgram, EndsCleanlyWhenAsked) {
  MasterProcess master;
  EXPECT_THAT(master.Start(Flags()), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(master.Terminate(), 0);
}

TEST_F(MasterProgram, SaysInOneLineWhyItCannotStart) {
  MasterProcess master;
  const std::string address = master.Start(Flags());
  ASSERT_FALSE(address.empty());
  std::vector<std::string> other_data = Flags(address);
  other_data[1] += "-other";
  std::vector<std::string> other_replicas = other_data;
  other_replicas[3] = "127.0.0.1:0";
  other_replicas.insert(other_replicas.end(), {"--replicas", "3"});
  struct Case {
    const char* name;
    std::vector<std::string> flags;
    const char* says;
  };
  const Case cases[] = {
      {"port in use", other_data, "in use"},
      {"other replicas", other_replicas, "replicas"},
      {"directory in use", Flags(), "is in use by another process"},
      {"no address", {"--data", directory_, "--listen", "nowhere"}, "nowhere"},
      {"unknown flag", {"--data", directory_, "--listen", "127.0.0.1:0", "--nonsense"}, "nonsense"},
      {"nothing", {}, "required"},
      {"bad directory", {"--data", "/dev/null/x", "--listen", "127.0.0.1:0"}, "/dev/null/x"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const MasterProcess::Ended ended = MasterProcess::RunToEnd(c.flags);
    EXPECT_GT(ended.status, 0);
    EXPECT_THAT(ended.err, HasSubstr(c.says));
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
}

}  // namespace
}  // namespace ringfs::master
