#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringfs::cli {
namespace {

using ::testing::HasSubstr;

TEST(ArgumentsTest, NameTheirCommand) {
  struct Case {
    std::vector<std::string> words;
    Action action;
  };
  const Case cases[] = {
      {{"up", "/mnt/a"}, Action::kUp},
      {{"down", "/mnt/a"}, Action::kDown},
      {{"status"}, Action::kStatus},
      {{"servers"}, Action::kServers},
      {{"servers", "drain", "3"}, Action::kOrderServer},
      {{"ring"}, Action::kRing},
      {{"where", "file"}, Action::kWhere},
      {{"where", "status"}, Action::kWhere},  // a file may be called like a command
      {{"locks"}, Action::kLocks},
      {{"locks", "file"}, Action::kLocks},
      {{"locks", "break", "12"}, Action::kBreakLocks},
      {{"sessions"}, Action::kSessions},
      {{"sync"}, Action::kSync},
      {{"scrub", "--json"}, Action::kScrub},
      {{"fsck"}, Action::kFsck},
      {{"sync", "/mnt/a"}, Action::kSync},
      {{"explain", "/mnt/a"}, Action::kExplain},
      {{"backup", "file"}, Action::kBackup},
      {{"stats"}, Action::kStats},
      {{"--help"}, Action::kHelp},
      {{"--version"}, Action::kHelp},
      {{"up", "--help"}, Action::kHelp},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(::testing::PrintToString(c.words));

    const auto arguments = ParseArguments(c.words);

    ASSERT_TRUE(arguments) << arguments.error().ToString();
    EXPECT_EQ(arguments->action, c.action);
    EXPECT_EQ(arguments->help.empty(), c.action != Action::kHelp);
  }
}

TEST(ArgumentsTest, AreRefusedWithOneLine) {
  const std::vector<std::string> cases[] = {
      {},
      {"unknown"},
      {"status", "more"},
      {"status", "--wrong"},
      {"up"},
      {"up", "/mnt/a", "/mnt/b"},
      {"up", "/mnt/a", "--chunkservers", "0"},
      {"up", "/mnt/a", "--chunkservers", "many"},
      {"up", "/mnt/a", "--replicas", "17"},
      {"where"},
      {"explain"},
      {"backup"},
      {"explain", "/mnt/a", "/mnt/b"},
      {"locks", "break"},
      {"locks", "break", "-1"},
      {"servers", "drain"},
      {"servers", "weight", "1"},
      {"servers", "weight", "1", "0"},
      {"status", "servers"},
      {"policy"},
      {"policy", "/mnt/a", "--replicas", "17"},
      {"policy", "/mnt/a", "--block-size", "100000"},
      {"policy", "/mnt/a", "--block-size", "128M"},
  };
  for (const std::vector<std::string>& words : cases) {
    SCOPED_TRACE(::testing::PrintToString(words));

    const auto arguments = ParseArguments(words);

    ASSERT_FALSE(arguments);
    EXPECT_EQ(arguments.code(), Errc::kInvalid);
    EXPECT_FALSE(arguments.error().detail.empty());
    EXPECT_EQ(arguments.error().detail.find('\n'), std::string::npos) << arguments.error().detail;
  }
}

TEST(ArgumentsTest, NameTheCommandThatIsNotKnown) {
  const auto arguments = ParseArguments({"upp", "/mnt"});

  ASSERT_FALSE(arguments);
  EXPECT_THAT(arguments.error().detail, HasSubstr("unknown command 'upp'"));
}

TEST(ArgumentsTest, TellNoNumberFromAWrongOne) {
  const auto word = ParseArguments({"up", "/mnt", "--chunkservers", "x"});
  const auto many = ParseArguments({"up", "/mnt", "--chunkservers", "99999999999"});
  const auto none = ParseArguments({"up", "/mnt", "--replicas", "0"});

  ASSERT_FALSE(word || many || none);
  EXPECT_THAT(word.error().detail, HasSubstr("--chunkservers: 'x' is not a number"));
  EXPECT_THAT(many.error().detail, HasSubstr("99999999999 is not in 1 to 64"));
  EXPECT_THAT(none.error().detail, HasSubstr("--replicas: 0 is not in 1 to "));
}

TEST(ArgumentsTest, SayWhatComesBeforeARemoval) {
  const auto help = ParseArguments({"servers", "remove", "--help"});

  ASSERT_TRUE(help);
  EXPECT_THAT(help->help, HasSubstr("Drain it first"));
}

TEST(ArgumentsTest, KeepWhatWasNotGivenApartFromDefaults) {
  const auto plain = ParseArguments({"up", "/mnt/a"});
  const auto full =
      ParseArguments({"up", "--data", "/d", "--chunkservers", "5", "/mnt/a", "--replicas", "3"});

  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->mountpoint, "/mnt/a");
  EXPECT_FALSE(plain->chunkservers || plain->replicas);
  ASSERT_TRUE(full);
  EXPECT_EQ(full->mountpoint, "/mnt/a");
  EXPECT_EQ(full->data, "/d");
  EXPECT_EQ(full->chunkservers, 5u);
  EXPECT_EQ(full->replicas, 3u);
}

TEST(ArgumentsTest, CarryOrders) {
  const auto weight = ParseArguments({"servers", "weight", "2", "50", "--master", "h:1"});
  const auto remove = ParseArguments({"servers", "remove", "10.0.0.1:4711"});
  const auto broken = ParseArguments({"locks", "break", "77"});

  ASSERT_TRUE(weight && remove && broken);
  EXPECT_EQ(weight->order, wire::SERVER_ORDER_WEIGHT);
  EXPECT_EQ(weight->server, "2");
  EXPECT_EQ(weight->weight, 50u);
  EXPECT_EQ(weight->master, "h:1");
  EXPECT_EQ(remove->order, wire::SERVER_ORDER_REMOVE);
  EXPECT_EQ(remove->server, "10.0.0.1:4711");
  EXPECT_EQ(broken->session, 77u);
}

TEST(ArgumentsTest, OfferJsonWithEveryCommand) {
  const std::vector<std::string> cases[] = {
      {"up", "/mnt/a"},
      {"down", "/mnt/a"},
      {"status"},
      {"servers"},
      {"servers", "drain", "3"},
      {"servers", "weight", "3", "50"},
      {"ring"},
      {"where", "file"},
      {"locks"},
      {"sessions"},
      {"locks", "break", "12"},
      {"sync"},
      {"scrub"},
      {"fsck"},
      {"explain", "/mnt/a"},
      {"backup", "file"},
      {"stats"},
  };
  for (std::vector<std::string> words : cases) {
    SCOPED_TRACE(::testing::PrintToString(words));
    words.push_back("--json");

    const auto arguments = ParseArguments(words);

    ASSERT_TRUE(arguments) << arguments.error().ToString();
    EXPECT_EQ(arguments->output, Output::kJson);
  }
}

TEST(ArgumentsTest, ChooseTheOutput) {
  const auto text = ParseArguments({"status"});
  const auto json = ParseArguments({"where", "/a", "--json", "--all"});

  ASSERT_TRUE(text && json);
  EXPECT_EQ(text->output, Output::kText);
  EXPECT_EQ(json->output, Output::kJson);
  EXPECT_TRUE(json->all);
}

}  // namespace
}  // namespace ringfs::cli
