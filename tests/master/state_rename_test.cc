#include <sys/stat.h>

#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

constexpr uint32_t kNoReplace = 1;
constexpr uint32_t kExchange = 2;

// /d/sub/deep, /d/f, /e (empty), /full/x, /g
class RenameTest : public testing::Test {
 protected:
  TestMaster master_;
  uint64_t d_ = master_.MakeDirectory(kRoot, "d");
  uint64_t sub_ = master_.MakeDirectory(d_, "sub");
  uint64_t deep_ = master_.MakeDirectory(sub_, "deep");
  uint64_t f_ = master_.MakeFile(d_, "f");
  uint64_t e_ = master_.MakeDirectory(kRoot, "e");
  uint64_t full_ = master_.MakeDirectory(kRoot, "full");
  uint64_t x_ = master_.MakeFile(full_, "x");
  uint64_t g_ = master_.MakeFile(kRoot, "g");
};

TEST_F(RenameTest, RefusesAsPosixSays) {
  std::string long_name(256, 'n');
  struct Case {
    const char* name;
    Outcome outcome;
    Errc error;
  };
  const Case cases[] = {
      {"no such name", master_.Rename(kRoot, "none", kRoot, "y"), Errc::kNotFound},
      {"long name", master_.Rename(kRoot, "g", kRoot, long_name), Errc::kNameTooLong},
      {"dot", master_.Rename(d_, ".", kRoot, "y"), Errc::kBusy},
      {"to dots", master_.Rename(kRoot, "g", d_, ".."), Errc::kBusy},
      {"to dots, no replace", master_.Rename(kRoot, "g", d_, "..", kNoReplace), Errc::kExists},
      {"into itself", master_.Rename(kRoot, "d", d_, "y"), Errc::kInvalid},
      {"below itself", master_.Rename(kRoot, "d", deep_, "y"), Errc::kInvalid},
      {"over a parent", master_.Rename(sub_, "deep", kRoot, "d"), Errc::kNotEmpty},
      {"file over a parent", master_.Rename(d_, "f", kRoot, "d"), Errc::kNotEmpty},
      {"directory over a file", master_.Rename(kRoot, "e", kRoot, "g"), Errc::kNotDirectory},
      {"file over a directory", master_.Rename(kRoot, "g", kRoot, "e"), Errc::kIsDirectory},
      {"over a full directory", master_.Rename(kRoot, "e", kRoot, "full"), Errc::kNotEmpty},
      {"no replace", master_.Rename(kRoot, "g", d_, "f", kNoReplace), Errc::kExists},
      {"no replace of itself", master_.Rename(kRoot, "g", kRoot, "g", kNoReplace), Errc::kExists},
      {"exchange with nothing", master_.Rename(kRoot, "g", d_, "y", kExchange), Errc::kNotFound},
      {"exchange with a child", master_.Rename(kRoot, "d", d_, "sub", kExchange), Errc::kInvalid},
      {"exchange with a parent", master_.Rename(d_, "f", kRoot, "d", kExchange), Errc::kInvalid},
      {"both flags", master_.Rename(kRoot, "g", d_, "f", 3), Errc::kInvalid},
      {"whiteout", master_.Rename(kRoot, "g", d_, "y", 4), Errc::kInvalid},
      {"from a file", master_.Rename(g_, "a", kRoot, "y"), Errc::kNotDirectory},
      {"to a file", master_.Rename(kRoot, "e", g_, "y"), Errc::kNotDirectory},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(c.outcome.error, c.error) << c.outcome.detail;
  }
  EXPECT_THAT(master_.Names(kRoot), testing::ElementsAre("d", "e", "full", "g"));
}

TEST_F(RenameTest, MovesADirectoryWithItsDots) {
  EXPECT_EQ(master_.Rename(d_, "sub", e_, "moved").error, Errc::kOk);
  EXPECT_EQ(master_.Find(sub_, ".."), e_);
  EXPECT_EQ(master_.Attributes(d_).links(), 2u);
  EXPECT_EQ(master_.Attributes(e_).links(), 3u);
  EXPECT_EQ(*master_.machine().PathOf(InodeId{deep_}), "/e/moved/deep");
}

TEST_F(RenameTest, ReplacesAFile) {
  Outcome outcome = master_.Rename(kRoot, "g", d_, "f");
  EXPECT_THAT(outcome.events.orphaned, testing::ElementsAre(InodeId{f_}));
  EXPECT_EQ(master_.Find(d_, "f"), g_);
  EXPECT_EQ(master_.Attributes(f_).links(), 0u);
  EXPECT_EQ(*master_.machine().PathOf(InodeId{g_}), "/d/f");
}

TEST_F(RenameTest, ReplacesAnEmptyDirectory) {
  EXPECT_EQ(master_.Rename(d_, "sub", kRoot, "e").error, Errc::kOk);
  EXPECT_EQ(master_.Find(kRoot, "e"), sub_);
  EXPECT_EQ(master_.Attributes(kRoot).links(), 5u);  // d, e, full
  EXPECT_EQ(master_.Attributes(d_).links(), 2u);
  EXPECT_EQ(master_.Attributes(e_).links(), 0u);
}

TEST_F(RenameTest, LeavesTwoNamesOfOneFileAlone) {
  master_.Link(g_, d_, "same");
  EXPECT_EQ(master_.Rename(kRoot, "g", d_, "same").error, Errc::kOk);
  EXPECT_EQ(master_.Find(kRoot, "g"), g_);
  EXPECT_EQ(master_.Find(d_, "same"), g_);
  EXPECT_EQ(master_.Attributes(g_).links(), 2u);
}

TEST_F(RenameTest, ExchangesAFileAndADirectory) {
  EXPECT_EQ(master_.Rename(kRoot, "g", d_, "sub", kExchange).error, Errc::kOk);
  EXPECT_EQ(master_.Find(kRoot, "g"), sub_);
  EXPECT_EQ(master_.Find(d_, "sub"), g_);
  EXPECT_EQ(master_.Find(sub_, ".."), kRoot);
  EXPECT_EQ(master_.Attributes(kRoot).links(), 6u);  // d, e, full, g
  EXPECT_EQ(master_.Attributes(d_).links(), 2u);
}

TEST_F(RenameTest, ChangesTheTimesOfBothDirectoriesAndTheFile) {
  master_.Rename(kRoot, "g", d_, "y");
  for (uint64_t directory : {kRoot, d_}) {
    EXPECT_EQ(master_.Attributes(directory).mtime_ns(), master_.now_ns());
    EXPECT_EQ(master_.Attributes(directory).ctime_ns(), master_.now_ns());
  }
  EXPECT_EQ(master_.Attributes(g_).ctime_ns(), master_.now_ns());
  EXPECT_LT(master_.Attributes(g_).mtime_ns(), master_.now_ns());
}

TEST_F(RenameTest, RefusesARemovedDirectory) {
  master_.RemoveDirectory(kRoot, "e");
  EXPECT_EQ(master_.Rename(kRoot, "g", e_, "y").error, Errc::kNotFound);
}

}  // namespace
}  // namespace ringfs::master
