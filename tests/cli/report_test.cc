#include <gtest/gtest.h>

#include "cli/local/local_cluster.h"

namespace ringfs::cli {
namespace {

TEST(ReportTest, TellsProgramsWhatIsUp) {
  UpReport report{"/mnt/a", "127.0.0.1:1", "/data", {}, true};
  report.chunkservers = {{"chunkserver-1", "127.0.0.1:2", 17}, {"chunkserver-3", "127.0.0.1:3"}};

  const Json json = ToJson(report);

  EXPECT_EQ(json["mountpoint"], "/mnt/a");
  EXPECT_EQ(json["master"], "127.0.0.1:1");
  EXPECT_EQ(json["data"], "/data");
  EXPECT_EQ(json["new"], true);
  ASSERT_EQ(json["chunkservers"].size(), 2u);
  EXPECT_EQ(json["chunkservers"][0]["pid"], 17);
  EXPECT_EQ(json["chunkservers"][1]["name"], "chunkserver-3");
  EXPECT_FALSE(json["chunkservers"][1].contains("pid"));
}

TEST(ReportTest, TellsProgramsWhatIsDown) {
  const DownReport report{true, "/data"};

  EXPECT_EQ(ToJson(report), (Json{{"stopped", true}, {"data", "/data"}}));
}

}  // namespace
}  // namespace ringfs::cli
