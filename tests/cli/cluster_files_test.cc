#include "cli/local/cluster_files.h"

#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "tests/support/temp_dir.h"

namespace ringfs::cli {
namespace {

ClusterState SomeState() {
  ClusterState state;
  state.replicas = 2;
  state.mountpoint = "/mnt/\"odd\" name";
  state.master = "127.0.0.1:4711";
  state.chunkservers = {{"127.0.0.1:4712"}, {"127.0.0.1:4713", true}, {""}, {"127.0.0.1:4714"}};
  return state;
}

TEST(ClusterStateTest, ComesBackAsItWasWritten) {
  const auto state = ParseClusterState(ToText(SomeState()));

  ASSERT_TRUE(state) << state.error().ToString();
  EXPECT_EQ(*state, SomeState());
  EXPECT_EQ(state->members(), 3u);
}

TEST(ClusterStateTest, IsReadAsItWasBeforeServersCouldBeRemoved) {
  const auto state = ParseClusterState(
      R"({"version":1,"replicas":2,"mountpoint":"/m","master":"","chunkservers":["h:1",""]})");

  ASSERT_TRUE(state) << state.error().ToString();
  EXPECT_EQ(state->members(), 2u);
  EXPECT_EQ(state->chunkservers[0].address, "h:1");
}

TEST(ClusterStateTest, RefusesWhatItDidNotWrite) {
  struct Case {
    const char* name;
    const char* text;
    Errc error;
  };
  const Case cases[] = {
      {"nothing", "", Errc::kCorrupted},
      {"cut", R"({"version": 1, "repl)", Errc::kCorrupted},
      {"a list", "[]", Errc::kCorrupted},
      {"no version", "{}", Errc::kCorrupted},
      {"a newer version", R"({"version": 2})", Errc::kVersion},
      {"no replicas", R"({"version": 1})", Errc::kCorrupted},
      {"replicas below 0", R"({"version": 1, "replicas": -1})", Errc::kCorrupted},
      {"no chunkservers",
       R"({"version":1,"replicas":2,"mountpoint":"/m","master":"","chunkservers":[]})",
       Errc::kCorrupted},
      {"a master that is a number",
       R"({"version":1,"replicas":2,"mountpoint":"/m","master":7,"chunkservers":[""]})",
       Errc::kCorrupted},
      {"a master without a port",
       R"({"version":1,"replicas":2,"mountpoint":"/m","master":"host","chunkservers":[""]})",
       Errc::kCorrupted},
      {"a chunkserver that is a number",
       R"({"version":1,"replicas":2,"mountpoint":"/m","master":"","chunkservers":[7]})",
       Errc::kCorrupted},
      {"a removed chunkserver that never was",
       R"({"version":1,"replicas":2,"mountpoint":"/m","master":"","chunkservers":[""],"removed":[2]})",
       Errc::kCorrupted},
      {"a removed chunkserver of number 0",
       R"({"version":1,"replicas":2,"mountpoint":"/m","master":"","chunkservers":[""],"removed":[0]})",
       Errc::kCorrupted}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);

    EXPECT_EQ(ParseClusterState(c.text).code(), c.error);
  }
}

TEST(ClusterStateTest, RefusesMoreServersThanItStarts) {
  ClusterState state = SomeState();
  state.chunkservers.resize(kChunkserversMax + 1);

  for (auto& server : state.chunkservers) server.removed = false;
  EXPECT_EQ(ParseClusterState(ToText(state)).code(), Errc::kCorrupted);
  state.chunkservers[0].removed = true;
  EXPECT_TRUE(ParseClusterState(ToText(state)));
}

TEST(ClusterFilesTest, SavesAndLoads) {
  const TempDir folder;
  const ClusterFiles files(folder.path() / "new" / "data");
  ASSERT_TRUE(files.Create());

  EXPECT_FALSE(files.Exists());
  EXPECT_EQ(files.Load().code(), Errc::kNotFound);
  ASSERT_TRUE(files.Save(SomeState()));
  EXPECT_TRUE(files.Exists());
  EXPECT_EQ(*files.Load(), SomeState());
  EXPECT_TRUE(std::filesystem::is_directory(files.PidOf("x").parent_path()));
  EXPECT_TRUE(std::filesystem::is_directory(files.LogOf("x").parent_path()));
}

TEST(ClusterFilesTest, LetsOneWorkAtATime) {
  const TempDir folder;
  const ClusterFiles files(folder.path());
  auto first = files.Lock([] { FAIL() << "nobody else has it"; });
  ASSERT_TRUE(first);
  std::promise<void> waits;

  auto second =
      std::async(std::launch::async, [&] { return files.Lock([&] { waits.set_value(); }).code(); });
  waits.get_future().wait();
  first->Close();

  EXPECT_EQ(second.get(), Errc::kOk);
}

TEST(ClusterFilesTest, NameTheDataAfterTheMountpoint) {
  EXPECT_EQ(DefaultData("/mnt/shared"), "/var/lib/ringfs/mnt-shared");
  EXPECT_EQ(DefaultData("/"), "/var/lib/ringfs/root");
}

TEST(ClusterFilesTest, KeepDataInFoldersOnly) {
  const TempDir folder;
  const std::filesystem::path file = folder.path() / "file";
  std::ofstream(file) << "text";

  EXPECT_EQ(*DataFolder("", "/mnt/a"), "/var/lib/ringfs/mnt-a");
  EXPECT_EQ(*DataFolder(folder.path() / "new", "/mnt/a"), folder.path() / "new");
  const auto refused = DataFolder(file, "/mnt/a");
  EXPECT_EQ(refused.code(), Errc::kNotDirectory);
  EXPECT_EQ(refused.error().detail, file.string() + " is not a directory");
}

}  // namespace
}  // namespace ringfs::cli
