// Attributes that are held back, against what they would be without holding back.
#include "client/write_back/held_attributes.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "common/set_ids.h"

namespace ringfs::client {
namespace {

// As the master does each at once.
void SetAtOnce(wire::Attributes& file, const AttributeChange& change, int64_t now) {
  if (change.mode) file.set_mode((file.mode() & S_IFMT) | *change.mode);
  if (change.uid) file.set_uid(*change.uid);
  if ((change.uid && !change.mode) || change.kill_set_ids) {
    file.set_mode(WithoutSetIds(file.mode()));
  }
  if (change.atime_now) file.set_atime_ns(now);
  if (change.mtime_ns) file.set_mtime_ns(*change.mtime_ns);
  file.set_ctime_ns(now);
}

void WriteAtOnce(wire::Attributes& file, bool kills, int64_t now) {
  if (kills) file.set_mode(WithoutSetIds(file.mode()));
  file.set_mtime_ns(now);
  file.set_ctime_ns(now);
}

// As master/state/ops/content.cc does with what is told later.
void Extend(wire::Attributes& file, const wire::Extend& told) {
  if (told.kill_set_ids()) file.set_mode(WithoutSetIds(file.mode()));
  if (told.has_mtime_ns()) file.set_mtime_ns(told.mtime_ns());
  file.set_ctime_ns(std::max(file.ctime_ns(), told.ctime_ns()));
  if (told.has_uid()) file.set_uid(told.uid());
  if (told.has_atime_ns()) file.set_atime_ns(told.atime_ns());
  if (told.has_mode()) file.set_mode(told.mode());
}

TEST(HeldAttributesTest, AreAsIfTheyHadBeenToldAtOnce) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    std::mt19937 random(seed);
    auto chance = [&] { return random() % 3 == 0; };
    wire::Attributes at_once;
    at_once.set_mode(S_IFREG | 06755);
    wire::Attributes master = at_once;
    HeldAttributes held;
    HeldAttributes failed;  // of a flush, older than `held`
    for (int64_t now = 1; now <= 12; ++now) {
      wire::Attributes shown = master;
      failed.Show(shown);
      held.Show(shown);
      if (chance()) {
        const bool kills = chance();
        held.Wrote(now, kills);
        WriteAtOnce(at_once, kills, now);
      } else {
        AttributeChange change;
        if (chance()) change.mode = random() % 010000;
        if (chance()) change.uid = random() % 4;
        if (chance()) change.mtime_ns = 1000 + now;
        change.atime_now = chance();
        change.kill_set_ids = !change.mode && chance();
        held.Set(change, shown, now);
        SetAtOnce(at_once, change, now);
      }
      shown = master;
      failed.Show(shown);
      held.Show(shown);
      ASSERT_EQ(shown.SerializeAsString(), at_once.SerializeAsString()) << "seed " << seed;

      if (chance()) {
        held.PutUnder(failed);
        failed = std::exchange(held, HeldAttributes());
        if (chance()) continue;  // the master was not reached
        wire::Extend told;
        failed.Fill(told);
        Extend(master, told);
        failed = HeldAttributes();
        ASSERT_EQ(master.SerializeAsString(), at_once.SerializeAsString()) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace ringfs::client
