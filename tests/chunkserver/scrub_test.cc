#include "chunkserver/replication/scrub.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/chunkserver/bit_flips.h"
#include "tests/chunkserver/server_fixture.h"

namespace ringfs::chunkserver {
namespace {

constexpr uint32_t kBlocks = 8;
constexpr uint32_t kLength = 128 << 10;  // more than goes through the journal

// Of whole chunkservers on real directories, in which bits are flipped.
class ScrubTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    master_.lease_ms = 1500;
  }

  static BlockKey Key(uint32_t index) { return BlockKey{PoolId{1}, DataId{11}, index}; }
  static std::string Content(uint32_t index) {
    return std::string(kLength, static_cast<char>('a' + index));
  }
  void WriteAll() {
    for (uint32_t i = 0; i < kBlocks; ++i) {
      // With a slow disk the short lease may have to be renewed first.
      Errc written = Errc::kNotServing;
      RunUntil([&] {
        written = Write(1, Content(i), 0, kSession, Key(i));
        return written != Errc::kNotServing;
      });
      ASSERT_EQ(written, Errc::kOk);
    }
  }
  void ReadAll(uint32_t head) {
    for (uint32_t i = 0; i < kBlocks; ++i) {
      const auto read = Read(head, Key(i), kLength);
      ASSERT_TRUE(read) << read.error().ToString();
      EXPECT_TRUE(*read == Content(i)) << "block " << i;
    }
  }

  std::mt19937_64 random_{5};
};

TEST_F(ScrubTest, FindsNothingWhereNothingIsRotten) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  WriteAll();

  const wire::ScrubPass pass = Scrubbed(2);

  EXPECT_EQ(pass.blocks(), kBlocks);
  EXPECT_EQ(pass.blocks_held(), kBlocks);
  EXPECT_EQ(pass.bytes(), uint64_t{kBlocks} * kLength);
  EXPECT_EQ(pass.bad(), 0u);
}

TEST_F(ScrubTest, RepairsTheCopyOfTheHead) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  WriteAll();
  ASSERT_EQ(FlipBits(folder_ / "a", "data/", 100, random_), 100u);

  const wire::ScrubPass first = Scrubbed(1);
  const wire::ScrubPass second = Scrubbed(1);

  EXPECT_GT(first.bad(), 0u);
  EXPECT_EQ(first.repaired(), first.bad());
  EXPECT_EQ(second.bad(), 0u);
  EXPECT_EQ(master_.usage[1].scrub().repaired(), first.repaired());
  master_.SetMembers({{1, kServes}});
  ReadAll(1);
}

TEST_F(ScrubTest, RepairsTheCopyOfAMemberThatIsNeverRead) {
  StartThree();
  master_.SetMembers({{1, kServes}, {2, kServes}});
  WriteAll();
  ASSERT_EQ(FlipBits(folder_ / "b", "data/", 100, random_), 100u);

  const wire::ScrubPass first = Scrubbed(2);
  const wire::ScrubPass second = Scrubbed(2);

  EXPECT_GT(first.bad(), 0u);
  EXPECT_EQ(first.repaired(), first.bad());
  EXPECT_EQ(second.bad(), 0u);
  master_.SetMembers({{2, kServes}});
  ReadAll(2);
}

TEST_F(ScrubTest, CountsWhatNobodyHasWhole) {
  StartThree();
  master_.SetMembers({{1, kServes}});
  WriteAll();
  ASSERT_EQ(FlipBits(folder_ / "a", "data/", 5, random_), 5u);

  const wire::ScrubPass pass = Scrubbed(1);

  EXPECT_GT(pass.bad(), 0u);
  EXPECT_EQ(pass.repaired(), 0u);
  size_t refused = 0;
  for (uint32_t i = 0; i < kBlocks; ++i) {
    const auto read = Read(1, Key(i), kLength);
    if (!read && read.code() == Errc::kCorrupted) ++refused;
    if (read) {
      EXPECT_TRUE(*read == Content(i)) << "block " << i;
    }
  }
  EXPECT_EQ(refused, pass.bad());
}

}  // namespace
}  // namespace ringfs::chunkserver
