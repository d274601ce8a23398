#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "tests/chunkserver/bit_flips.h"
#include "tests/chunkserver/server_fixture.h"

namespace ringfs::chunkserver {
namespace {

constexpr uint32_t kRotBlocks = 40;
constexpr uint32_t kGood = 2;
constexpr int kHeartbeatsOut = 3;

// RINGFS_FLIPS: how many bits.
size_t FlipsWanted() {
  const char* text = std::getenv("RINGFS_FLIPS");
  return text == nullptr ? 240 : std::strtoul(text, nullptr, 10);
}

bool MayComeLater(Errc code) {
  return code == Errc::kNotServing || code == Errc::kNotHead || code == Errc::kStaleEpoch ||
         code == Errc::kUnavailable || code == Errc::kTimedOut;
}

// Two chunkservers that hold the same blocks; in the files of one of them bits are flipped.
class RotTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    master_.lease_ms = 1500;
    for (const char* directory : {"rotten", "good"}) {
      const auto address = StartServer(directory);
      ASSERT_TRUE(address) << address.error().ToString();
      addresses_.push_back(*address);
    }
    BothServe();
    for (uint32_t i = 0; i < kRotBlocks; ++i) WriteOne(i);
  }

  static BlockKey Key(uint32_t index) { return BlockKey{PoolId{1}, DataId{11}, index}; }
  void BothServe() { master_.SetMembers({{rotten_, kServes}, {kGood, kServes}}); }

  // Every other one goes through the journal.
  void WriteOne(uint32_t index) {
    std::string content(index % 2 == 0 ? 12'000 : 150'000, '\0');
    for (char& c : content) c = static_cast<char>(random_());
    Errc written = Errc::kNotServing;
    RunUntil([&] {
      written = Write(rotten_, content, 0, kSession, Key(index));
      return !MayComeLater(written);
    });
    ASSERT_EQ(written, Errc::kOk);
    content_[index] = content;
  }

  // What the head answers is what was written, and nothing else.
  void ReadAll() {
    for (const auto& [index, content] : content_) {
      Result<std::string> read = Fail(Errc::kNotServing);
      RunUntil([&] {
        read = Read(rotten_, Key(index), 4 << 20);
        return read || !MayComeLater(read.code());
      });
      ASSERT_TRUE(read) << "block " << index << ": " << read.error().ToString();
      EXPECT_TRUE(*read == content) << "block " << index << " is another one";
    }
  }
  // A scrub of the rotten server finds and repairs what is not whole; then there is nothing left.
  void Scrub() {
    const wire::ScrubPass first = Scrubbed(rotten_);
    EXPECT_EQ(first.blocks(), content_.size());
    EXPECT_EQ(first.bad(), first.repaired());
    found_ += first.bad();
    EXPECT_EQ(Scrubbed(rotten_).bad(), 0u);
  }

  void StopRotten() {
    StopServer(servers_[0]);
    servers_[0].reset();
    channels_.erase(rotten_);
  }
  void StartRotten() {
    master_.SetMembers({{kGood, kServes}});
    master_.usage.erase(rotten_);
    const int known = master_.map.servers_size();
    const auto address = StartServer("rotten");
    ASSERT_TRUE(address) << address.error().ToString();
    servers_[0] = std::move(servers_.back());
    servers_.pop_back();
    if (master_.map.servers_size() > known) {
      rotten_ = static_cast<uint32_t>(master_.map.servers_size());
      addresses_.resize(rotten_);
    }
    addresses_[rotten_ - 1] = *address;
    master_.SetMembers({{kGood, kServes}, {rotten_, wire::MEMBER_SYNCING}});
  }
  // Whether the store takes part again. If not, it is out, and the server says so.
  bool ComesBack() {
    int out = 0;
    const auto serves = [&] { return master_.map.tables(0).buckets(0).states(1) == kServes; };
    EXPECT_TRUE(RunUntil([&] {
      const auto usage = master_.usage.find(rotten_);
      if (usage != master_.usage.end()) {
        out = usage->second.failed_stores() > 0 ? out + 1 : 0;
        master_.usage.erase(usage);
      }
      return serves() || out >= kHeartbeatsOut;
    }));
    return serves();
  }

  // Flips bits in files of the server while it does not run, and brings it back.
  size_t FlipStopped(const std::string& prefix, size_t count) {
    for (uint32_t i = 0; i < 6; ++i) WriteOne(static_cast<uint32_t>(random_() % kRotBlocks));
    StopRotten();
    const size_t flipped = FlipBits(folder_ / "rotten", prefix, count, random_);
    StartRotten();
    if (HasFatalFailure()) return 0;
    if (ComesBack()) {
      ++came_back_;
    } else {
      ++stayed_out_;
      // The administrator takes the disk as a new one.
      StopRotten();
      std::filesystem::remove_all(folder_ / "rotten");
      StartRotten();
      EXPECT_TRUE(ComesBack());
    }
    BothServe();
    return flipped;
  }

  uint32_t rotten_ = 1;
  std::mt19937_64 random_{7};
  std::map<uint32_t, std::string> content_;
  uint64_t found_ = 0;
  int came_back_ = 0;
  int stayed_out_ = 0;
};

TEST_F(RotTest, IsNeverReadAndIsRepairedOrLeftOut) {
  const size_t wanted = FlipsWanted();
  const size_t a_round = wanted < 1000 ? 60 : 150;
  size_t flipped = 0;
  for (int round = 0; flipped < wanted && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    size_t now = 0;
    switch (round % 4) {
      case 0:
        now = FlipBits(folder_ / "rotten", "data/", a_round, random_);
        break;
      case 1:
        now = FlipStopped("journal", a_round);
        break;
      case 2:
        now = FlipStopped("data/", a_round);
        break;
      case 3:
        now = FlipStopped("index/", a_round / 10);
        break;
    }
    ASSERT_GT(now, 0u);
    flipped += now;
    if (round % 8 < 4) ReadAll();
    Scrub();
    ReadAll();
  }
  EXPECT_GT(found_, 0u);
  EXPECT_GT(came_back_, 0);
  RecordProperty("flipped", static_cast<int>(flipped));
  RecordProperty("came_back", came_back_);
  RecordProperty("stayed_out", stayed_out_);
}

}  // namespace
}  // namespace ringfs::chunkserver
