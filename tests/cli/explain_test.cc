#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands/commands.h"
#include "cli/json.h"
#include "proto/explain.pb.h"

namespace ringfs::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

wire::ErrorStory StoryOf(uint64_t number) {
  wire::ErrorStory story;
  story.set_number(number);
  story.set_first_ns(1'500'000'000'000'000'000);
  story.set_last_ns(1'500'000'000'250'000'000);
  story.set_times(1);
  story.set_errno_name("EIO");
  story.set_operation("read");
  story.set_inode(12);
  story.set_path("/folder/file" + std::to_string(number));
  story.set_pid(77);
  story.set_cause("Io: the whole story");
  story.set_remedy("check the disks");
  return story;
}

TEST(ExplainTest, ReadsPageAfterPage) {
  std::vector<std::string> asked;
  auto read = [&](const std::string& name) -> Result<std::string> {
    asked.push_back(name);
    wire::ErrorPage page;
    *page.add_stories() = StoryOf(asked.size() == 1 ? 8 : 9);
    page.set_more(asked.size() == 1);
    page.set_forgotten(7);
    return page.SerializeAsString();
  };

  const auto text = Explain("/mnt/a", read, Output::kText);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_THAT(asked, ElementsAre("system.ringfs.errors.0", "system.ringfs.errors.8"));
  EXPECT_THAT(*text, HasSubstr("7 older errors forgotten"));
  EXPECT_THAT(*text, HasSubstr("EIO  read of /mnt/a/folder/file8 (inode 12)"));
  EXPECT_THAT(*text, HasSubstr("file9"));
  EXPECT_THAT(*text, HasSubstr("check the disks"));
  EXPECT_THAT(*text, HasSubstr("Io: the whole story"));
}

TEST(ExplainTest, TellsBlockAndServers) {
  auto read = [](const std::string&) -> Result<std::string> {
    wire::ErrorPage page;
    wire::ErrorStory& story = *page.add_stories() = StoryOf(1);
    story.mutable_block()->set_pool(1);
    story.mutable_block()->set_data_id(5);
    story.mutable_block()->set_index(3);
    wire::AskedServer& server = *story.add_asked();
    server.set_server("2 (10.0.0.2:4701)");
    server.set_said("Unavailable: refused");
    story.set_times(4);
    return page.SerializeAsString();
  };

  const auto text = Explain("/", read, Output::kText);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_THAT(*text, HasSubstr(" /folder/file1"));
  EXPECT_THAT(*text, HasSubstr("3 of data 5 in pool 1"));
  EXPECT_THAT(*text, HasSubstr("2 (10.0.0.2:4701): Unavailable: refused"));
  EXPECT_THAT(*text, HasSubstr("4, the first at "));
  EXPECT_THAT(*text, Not(HasSubstr("the whole story")));  // the servers have told it

  const auto json = Explain("/mnt/a", read, Output::kJson);

  ASSERT_TRUE(json) << json.error().ToString();
  const Json parsed = Json::parse(*json);
  EXPECT_EQ(parsed["mountpoint"], "/mnt/a");
  EXPECT_EQ(parsed["stories"][0]["asked"][0]["said"], "Unavailable: refused");
  EXPECT_EQ(parsed["stories"][0]["errno_name"], "EIO");
}

TEST(ExplainTest, SaysWhenThereIsNothing) {
  auto read = [](const std::string&) -> Result<std::string> { return std::string(); };

  const auto text = Explain("/mnt/a", read, Output::kText);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_THAT(*text, HasSubstr("no call has failed"));
}

TEST(ExplainTest, RefusesWhatIsNoPage) {
  auto read = [](const std::string&) -> Result<std::string> { return std::string("\xff\xff"); };

  EXPECT_EQ(Explain("/mnt/a", read, Output::kText).code(), Errc::kVersion);
}

}  // namespace
}  // namespace ringfs::cli
