#include <gtest/gtest.h>

#include <random>

#include "master/state/keys.h"
#include "master/state/overlay.h"

namespace ringfs::master {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs ScanAll(const Overlay& overlay, std::string_view prefix, std::string_view from) {
  Pairs pairs;
  auto visit = [&](std::string_view key, std::string_view value) {
    pairs.emplace_back(key, value);
    return true;
  };
  EXPECT_TRUE(overlay.Scan(prefix, from, visit));
  return pairs;
}

TEST(Overlay, ShowsWhatIsGatheredOnItsWayAndStored) {
  MemoryDisk disk;
  Overlay overlay(std::move(*disk.Open("overlay")));
  overlay.Put("a1", "stored");
  overlay.Put("a2", "stored");
  Overlay::Batch first = overlay.Take(1);
  ASSERT_TRUE(overlay.Commit(first));
  overlay.Committed();
  overlay.Put("a3", "on its way");
  overlay.Delete("a1");
  Overlay::Batch second = overlay.Take(2);
  overlay.Put("a2", "gathered");

  EXPECT_EQ(*overlay.Get("a1"), std::nullopt);
  EXPECT_EQ(*overlay.Get("a2"), "gathered");
  EXPECT_EQ(*overlay.Get("a3"), "on its way");
  Pairs expected{{"a2", "gathered"}, {"a3", "on its way"}};
  EXPECT_EQ(ScanAll(overlay, "a", ""), expected);
}

// Random puts, deletes, commands taken back and commits, against a plain map.
TEST(Overlay, AgreesWithAPlainMap) {
  constexpr uint32_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  MemoryDisk disk;
  Overlay overlay(std::move(*disk.Open("overlay")));
  std::map<std::string, std::string> model;
  std::deque<Overlay::Batch> taken;
  for (int step = 0; step < 3000; ++step) {
    std::map<std::string, std::string> before = model;
    overlay.Begin();
    for (uint32_t i = random() % 4; i > 0; --i) {
      std::string key{"xyz"[random() % 3], static_cast<char>(random() % 8 * 32)};
      if (random() % 3 == 0) {
        overlay.Delete(key);
        model.erase(key);
      } else {
        model[key] = std::to_string(step);
        overlay.Put(key, model[key]);
      }
    }
    if (random() % 4 == 0) {
      overlay.Rollback();
      model = before;
    } else {
      overlay.Accept();
    }
    if (random() % 5 == 0) taken.push_back(overlay.Take(0));
    if (!taken.empty() && random() % 3 == 0) {
      ASSERT_TRUE(overlay.Commit(taken.front()));
      ASSERT_EQ(ScanAll(overlay, "", ""), Pairs(model.begin(), model.end()));
      taken.pop_front();
      overlay.Committed();
    }
    std::string from{"y"};
    from.push_back(static_cast<char>(random() % 256));
    Pairs expected(model.lower_bound(from), model.lower_bound("z"));
    ASSERT_EQ(ScanAll(overlay, "y", from), expected) << "step " << step;
    for (const auto& [key, value] : model) ASSERT_EQ(**overlay.Get(key), value);
  }
}

TEST(Keys, SortByNumber) {
  EXPECT_LT(CookieKey(1, 255), CookieKey(1, 256));
  EXPECT_LT(CookieKey(1, uint64_t{1} << 62), CookieKey(2, 0));
  EXPECT_EQ(Number64(CookieKey(7, 1234567890123), 9), 1234567890123u);
  EXPECT_EQ(Number32(BucketKey(3, 70000), 5), 70000u);
}

}  // namespace
}  // namespace ringfs::master
