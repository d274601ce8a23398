#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "master/cluster/bucket_step.h"
#include "tests/master/cluster_support.h"

namespace ringfs::master {
namespace {

// Servers in short, all others are up: "1d 2r 3g 4l 5n" are 1 down, 2 just restarted, 3 gone, 4
// gone with a lease that still runs, 5 not yet heard of by this master.
FactsOf ParseFacts(const std::string& text) {
  std::map<ServerId, ServerFacts> known;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    ServerFacts facts{.up = true, .heard = true, .may_serve = true};
    const char letter = word.back();
    if (letter == 'r') facts.restarted = true;
    if (letter == 'n') facts.heard = false;
    if (letter == 'd' || letter == 'g') facts = ServerFacts{.heard = true};
    if (letter == 'l') facts = ServerFacts{.heard = true, .may_serve = true};
    facts.gone = letter == 'g' || letter == 'l';
    known[ServerId{static_cast<uint32_t>(std::stoul(word))}] = facts;
  }
  return [known](ServerId server) -> const ServerFacts& {
    static const ServerFacts kUp{.up = true, .heard = true, .may_serve = true};
    const auto found = known.find(server);
    return found == known.end() ? kUp : found->second;
  };
}

TEST(SettleBucket, DoesWhatServersMakeNecessary) {
  struct Case {
    const char* name;
    const char* before;
    const char* facts;
    const char* after;
    bool new_version;
  };
  const Case cases[] = {
      {"all is well", "1S 2S", "", "1S 2S", false},
      {"one is down", "1S 2S", "1d", "1O 2S", true},
      {"one is down already", "1O 2S", "1d", "1O 2S", false},
      {"the last is down", "1S 2O", "1d", "1S 2O", false},
      {"all are down", "1S 2S", "1d 2d", "1S 2S", false},
      {"of those that were down one is back", "1S 2S", "1d", "1O 2S", true},
      {"one is down that was syncing", "1S 2Y", "2d", "1S 2O", true},
      {"two of three are down", "1S 2S 3S", "1d 3d", "1O 2S 3O", true},
      {"the other may be down too", "1S 2S", "1d 2n", "1S 2S", false},
      {"one has restarted", "1S 2S", "1r", "1O 2S", true},
      {"the last has restarted", "1S 2O", "1r", "1S 2O", true},
      {"all have restarted", "1S 2S", "1r 2r", "1S 2S", true},
      {"one has restarted and the other is down", "1S 2S", "1r 2d", "1S? 2S", true},
      {"one has restarted and the other is not heard of", "1S 2S", "1r 2n", "1S? 2S", true},
      {"what is in doubt replaces nobody", "1S? 2S", "2d", "1S? 2S", false},
      {"all that are in doubt are there", "1S? 2S", "", "1S 2S", false},
      {"one has restarted that was syncing", "1S 2Y", "2r", "1S 2Y", true},
      {"one has restarted that was offline", "1S 2O", "2r", "1S 2O", false},
      {"one is gone", "1S 2S", "1g", "2S", true},
      {"one is gone, but may serve still", "1S 2S", "1l", "1S 2S", false},
      {"one is gone that was offline", "1O 2S", "1g", "2S", true},
      {"one is gone that was syncing", "1Y 2S", "1l", "2S", true},
      {"the last is gone", "1S 2O", "1g", "1S 2O", false},
      {"one is gone and the other in doubt", "1S 2S?", "1g", "2S", true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Members members = ParseMembers(c.before);

    const bool new_version = SettleBucket(members, ParseFacts(c.facts));

    EXPECT_EQ(ToText(members), c.after);
    EXPECT_EQ(new_version, c.new_version);
  }
}

TEST(AdvanceBucket, GoesOneStepTowardsTheWish) {
  struct Case {
    const char* name;
    uint32_t replicas;
    std::vector<uint32_t> wanted;
    const char* before;
    const char* facts;
    std::vector<uint32_t> synced;
    const char* after;
  };
  const Case cases[] = {
      {"nothing to do", 2, {1, 2}, "1S 2S", "", {}, "1S 2S"},
      {"another order alone moves nothing", 2, {2, 1}, "1S 2S", "", {}, "1S 2S"},
      {"one returns", 2, {1, 2}, "1O 2S", "", {}, "1Y 2S"},
      {"one is away", 2, {1, 2}, "1O 2S", "1d", {}, "1O 2S"},
      {"nobody to copy from", 2, {1, 2}, "1O 2S", "2d", {}, "1O 2S"},
      {"one has caught up and is the head again", 2, {1, 2}, "2S 1Y", "", {1}, "1S 2S"},
      {"a member comes", 2, {3, 1}, "1S 2S", "", {}, "1S 2S 3Y"},
      {"a member goes", 2, {3, 1}, "1S 2S 3Y", "", {3}, "3S 1S"},
      {"two members, one at a time", 2, {3, 4}, "1S 2S", "", {}, "1S 2S 3Y"},
      {"the second follows the first", 2, {3, 4}, "1S 2S 3Y", "", {3}, "3S 4Y 1S"},
      {"copies that lack are made at once", 3, {1, 2, 3}, "1S", "", {}, "1S 2Y 3Y"},
      {"a wish for one that is away waits", 2, {3, 1}, "1S 2S", "3d", {}, "1S 2S"},
      {"one is replaced that is lost", 2, {2, 3}, "1O 2S", "1d", {}, "1O 2S 3Y"},
      {"and forgotten then", 2, {2, 3}, "1O 2S 3Y", "1d", {3}, "2S 3S"},
      {"too few servers: who is away keeps its place", 2, {2}, "1O 2S", "1d", {}, "1O 2S"},
      {"too few servers: nothing is emptied", 2, {2}, "1S 2S", "", {}, "1S 2S"},
      {"one to be emptied helps out", 2, {2, 3}, "1O 2S", "3d", {}, "1Y 2S"},
      {"one to be emptied helps out meanwhile", 2, {2, 3}, "1O 2S 3Y", "", {}, "1O 2S 3Y"},
      {"a copy that is not wanted any more ends", 2, {1, 2}, "1S 2S 3Y", "", {}, "1S 2S"},
      {"unless copies lack", 2, {1, 2}, "1O 2S 3Y", "1d", {}, "1O 2S 3Y"},
      {"both are made; the first will do", 2, {1, 2}, "1O 2S 3Y", "", {}, "1Y 2S 3Y"},
      {"nobody goes while one that serves is away", 2, {1, 2}, "1S 2S 3S", "1d", {}, "1S 2S 3S"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<ServerId> wanted;
    for (const uint32_t server : c.wanted) wanted.push_back(ServerId{server});
    std::vector<ServerId> synced;
    for (const uint32_t server : c.synced) synced.push_back(ServerId{server});
    Members members = ParseMembers(c.before);

    const bool changed = AdvanceBucket(members, ParseFacts(c.facts), BucketWish{wanted, c.replicas},
                                       synced, [](ServerId) { return true; });

    EXPECT_EQ(ToText(members), c.after);
    EXPECT_EQ(changed, std::string(c.before) != c.after);
  }
}

TEST(AdvanceBucket, WaitsForAFreeSlot) {
  const std::vector<ServerId> wanted = {ServerId{3}, ServerId{4}, ServerId{1}};
  Members members = ParseMembers("1S 2S");

  const bool changed = AdvanceBucket(members, ParseFacts(""), BucketWish{wanted, 3}, {},
                                     [](ServerId server) { return server != ServerId{3}; });

  EXPECT_TRUE(changed);
  EXPECT_EQ(ToText(members), "1S 2S 4Y");
}

}  // namespace
}  // namespace ringfs::master
