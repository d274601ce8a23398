#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

wire::Command SetPolicy(uint64_t directory, uint32_t replicas, uint32_t block_size) {
  wire::Command command;
  wire::SetPolicy& set = *command.mutable_set_policy();
  set.set_inode(directory);
  set.set_replicas(replicas);
  set.set_block_size(block_size);
  return command;
}

TEST(Policies, AreOfWhatIsMadeInADirectoryFromThenOn) {
  TestMaster master;
  const wire::Pool first = master.machine().Pools().front();
  const uint32_t replicas = first.replicas() + 1;
  const uint64_t directory = master.MakeDirectory(kRoot, "d");
  const uint64_t below_before = master.MakeDirectory(directory, "before");
  const uint64_t file_before = master.MakeFile(directory, "f");

  const Outcome set = master.Apply(SetPolicy(directory, replicas, 64 << 10));

  EXPECT_EQ(set.error, Errc::kOk);
  EXPECT_TRUE(set.events.map_changed);
  ASSERT_EQ(master.machine().Pools().size(), 2u);
  EXPECT_EQ(master.machine().Pools()[1].replicas(), replicas);
  const uint64_t below = master.MakeDirectory(directory, "below");
  for (const uint64_t file : {master.MakeFile(directory, "g"), master.MakeFile(below, "h")}) {
    EXPECT_EQ(master.Attributes(file).pool(), 2u);
    EXPECT_EQ(master.Attributes(file).block_size(), 64u << 10);
  }
  for (const uint64_t file :
       {file_before, master.MakeFile(below_before, "i"), master.MakeFile(kRoot, "j")}) {
    EXPECT_EQ(master.Attributes(file).pool(), 1u);
    EXPECT_EQ(master.Attributes(file).block_size(), kDefaultBlockSize);
  }
  EXPECT_FALSE(master.Apply(SetPolicy(kRoot, replicas, 0)).events.map_changed) << "there is one";
  EXPECT_EQ(master.Attributes(master.MakeFile(kRoot, "k")).pool(), 2u);
  EXPECT_EQ(master.Apply(SetPolicy(kRoot, first.replicas(), 0)).error, Errc::kOk);
  EXPECT_EQ(master.Attributes(master.MakeFile(kRoot, "l")).pool(), 1u);

  master.Reopen();
  ASSERT_EQ(master.machine().Pools().size(), 2u);
  EXPECT_EQ(master.machine().Buckets(PoolId{2}).size(), size_t{1} << first.bucket_bits());
  EXPECT_EQ(master.Attributes(master.MakeFile(directory, "m")).pool(), 2u);
}

TEST(Policies, AreRefusedWhereTheyMakeNoSense) {
  TestMaster master;
  const uint64_t file = master.MakeFile(kRoot, "f");
  EXPECT_EQ(master.Apply(SetPolicy(file, 2, 0)).error, Errc::kNotDirectory);
  EXPECT_EQ(master.Apply(SetPolicy(4711, 2, 0)).error, Errc::kStale);
  EXPECT_EQ(master.Apply(SetPolicy(kRoot, 17, 0)).error, Errc::kInvalid);
  EXPECT_EQ(master.Apply(SetPolicy(kRoot, 3, 100'000)).error, Errc::kInvalid);
  EXPECT_EQ(master.Apply(SetPolicy(kRoot, 3, 128 << 20)).error, Errc::kInvalid);
  EXPECT_EQ(master.machine().Pools().size(), 1u);
}

}  // namespace
}  // namespace ringfs::master
