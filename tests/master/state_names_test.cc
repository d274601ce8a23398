#include <sys/stat.h>

#include "master/state/keys.h"
#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

TEST(Names, AreCreatedFoundAndRemoved) {
  TestMaster master;
  uint64_t directory = master.MakeDirectory(kRoot, "d");
  uint64_t file = master.MakeFile(directory, "f");

  EXPECT_EQ(master.Find(directory, "f"), file);
  EXPECT_EQ(master.Find(directory, "."), directory);
  EXPECT_EQ(master.Find(file, "."), file);
  EXPECT_EQ(master.Find(directory, ".."), kRoot);
  EXPECT_EQ(master.Find(kRoot, ".."), kRoot);
  EXPECT_EQ(*master.machine().PathOf(InodeId{file}), "/d/f");
  EXPECT_EQ(master.machine().Resolve("/d//f")->inode(), file);
  EXPECT_EQ(master.Unlink(directory, "f").error, Errc::kOk);
  EXPECT_EQ(master.Lookup(directory, "f"), Errc::kNotFound);
  EXPECT_EQ(master.RemoveDirectory(kRoot, "d").error, Errc::kOk);
  EXPECT_EQ(master.Lookup(kRoot, "d"), Errc::kNotFound);
}

TEST(Names, CountLinksOfDirectories) {
  TestMaster master;
  uint64_t a = master.MakeDirectory(kRoot, "a");
  master.MakeDirectory(a, "b");
  master.MakeFile(a, "f");
  EXPECT_EQ(master.Attributes(a).links(), 3u);
  EXPECT_EQ(master.Attributes(kRoot).links(), 3u);
  master.RemoveDirectory(a, "b");
  EXPECT_EQ(master.Attributes(a).links(), 2u);
}

TEST(Names, AreRefusedAsPosixSays) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  uint64_t directory = master.MakeDirectory(kRoot, "d");
  master.MakeFile(directory, "inner");
  std::string long_name(256, 'x');
  struct Case {
    const char* name;
    Outcome outcome;
    Errc error;
  };
  const Case cases[] = {
      {"long name", master.MakeNode(kRoot, long_name, S_IFREG), Errc::kNameTooLong},
      {"255 bytes", master.MakeNode(kRoot, long_name.substr(1), S_IFREG), Errc::kOk},
      {"name exists", master.MakeNode(kRoot, "f", S_IFREG), Errc::kExists},
      {"dot", master.MakeNode(kRoot, ".", S_IFDIR), Errc::kExists},
      {"slash", master.MakeNode(kRoot, "a/b", S_IFDIR), Errc::kInvalid},
      {"parent is a file", master.MakeNode(file, "x", S_IFREG), Errc::kNotDirectory},
      {"parent is gone", master.MakeNode(999, "x", S_IFREG), Errc::kStale},
      {"unknown type", master.MakeNode(kRoot, "x", 0030000), Errc::kInvalid},
      {"empty target", master.MakeNode(kRoot, "l", S_IFLNK), Errc::kNotFound},
      {"long target", master.MakeNode(kRoot, "l", S_IFLNK, std::string(4096, 't')),
       Errc::kNameTooLong},
      {"unlink of nothing", master.Unlink(kRoot, "none"), Errc::kNotFound},
      {"unlink of a directory", master.Unlink(kRoot, "d"), Errc::kIsDirectory},
      {"rmdir of a file", master.RemoveDirectory(kRoot, "f"), Errc::kNotDirectory},
      {"rmdir of a full directory", master.RemoveDirectory(kRoot, "d"), Errc::kNotEmpty},
      {"rmdir of .", master.RemoveDirectory(kRoot, "."), Errc::kInvalid},
      {"rmdir of ..", master.RemoveDirectory(directory, ".."), Errc::kNotEmpty},
      {"link to a directory", master.Link(directory, kRoot, "x"), Errc::kNotPermitted},
      {"link over a name", master.Link(directory, kRoot, "f"), Errc::kExists},
      {"link to nothing", master.Link(999, kRoot, "x"), Errc::kStale},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(c.outcome.error, c.error) << c.outcome.detail;
  }
}

TEST(Names, HoldSymbolicLinksAndNodes) {
  TestMaster master;
  Outcome link = master.MakeNode(kRoot, "l", S_IFLNK, "to/there");
  EXPECT_EQ(link.reply.attributes().mode(), uint32_t{S_IFLNK | 0777});
  EXPECT_EQ(link.reply.attributes().size(), 8u);
  wire::MetaRequest read;
  read.mutable_read_link()->set_inode(link.reply.attributes().inode());
  EXPECT_EQ(master.Ask(read)->value(), "to/there");
  read.mutable_read_link()->set_inode(kRoot);
  EXPECT_EQ(master.Ask(read).code(), Errc::kInvalid);

  wire::MetaRequest node;
  node.mutable_make_node()->set_parent(kRoot);
  node.mutable_make_node()->set_name("null");
  node.mutable_make_node()->set_mode(S_IFCHR | 0666);
  node.mutable_make_node()->set_device(0x103);
  EXPECT_EQ(master.Do(node).reply.attributes().device(), 0x103u);
}

TEST(Names, CanBeManyOfOneFile) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "a");
  int64_t before = master.Attributes(file).ctime_ns();
  EXPECT_EQ(master.Link(file, kRoot, "b").reply.attributes().links(), 2u);
  EXPECT_GT(master.Attributes(file).ctime_ns(), before);

  EXPECT_TRUE(master.Unlink(kRoot, "a").events.orphaned.empty());
  EXPECT_EQ(master.Attributes(file).links(), 1u);
  EXPECT_EQ(master.machine().PathOf(InodeId{file}).code(), Errc::kNotFound);
  EXPECT_THAT(master.Unlink(kRoot, "b").events.orphaned, testing::ElementsAre(InodeId{file}));
  EXPECT_EQ(master.Link(file, kRoot, "c").error, Errc::kNotFound);
}

TEST(Names, AreAtMost65000OfOneFile) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  wire::InodeRecord record;
  *record.mutable_attributes() = master.Attributes(file);
  record.mutable_attributes()->set_links(64999);
  master.Forge(InodeKey(file), record.SerializeAsString());
  EXPECT_EQ(master.Link(file, kRoot, "last").error, Errc::kOk);
  EXPECT_EQ(master.Link(file, kRoot, "more").error, Errc::kTooManyLinks);
}

TEST(Names, WithoutInodesKeepTheInodeUntilItIsCollected) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  master.Extend(file, 1000);
  uint64_t data = master.Attributes(file).data();
  master.Unlink(kRoot, "f");
  EXPECT_EQ(master.Attributes(file).links(), 0u);
  EXPECT_THAT(*master.machine().Orphans(InodeId{0}, 10), testing::ElementsAre(InodeId{file}));
  EXPECT_EQ(master.machine().statistics().files_bytes, 1000u);

  wire::Command collect;
  collect.mutable_collect_inodes()->add_inodes(file);
  collect.mutable_collect_inodes()->add_inodes(kRoot);
  collect.mutable_collect_inodes()->add_inodes(999);
  Outcome outcome = master.Apply(collect);

  EXPECT_TRUE(outcome.events.garbage_added);
  EXPECT_EQ(master.machine().Attributes(InodeId{file}).code(), Errc::kStale);
  EXPECT_EQ(master.machine().statistics().files_bytes, 0u);
  EXPECT_EQ(master.machine().statistics().inodes, 1u);
  std::vector<wire::GarbageItem> garbage = *master.machine().Garbage(0, 10);
  ASSERT_EQ(garbage.size(), 1u);
  EXPECT_EQ(garbage[0].data(), data);
  wire::Command removed;
  removed.mutable_garbage_removed()->add_entries(garbage[0].entry());
  removed.mutable_garbage_removed()->add_entries(77);
  master.Apply(removed);
  EXPECT_EQ(master.machine().statistics().garbage_entries, 0u);
  EXPECT_TRUE(master.machine().Orphans(InodeId{0}, 10)->empty());
}

TEST(Names, CannotBeMadeInARemovedDirectory) {
  TestMaster master;
  uint64_t directory = master.MakeDirectory(kRoot, "d");
  master.RemoveDirectory(kRoot, "d");
  EXPECT_EQ(master.MakeNode(directory, "x", S_IFREG).error, Errc::kNotFound);
  EXPECT_EQ(master.Find(directory, ".."), kRoot);
  EXPECT_TRUE(master.Names(directory).empty());
}

// What is there all along is listed exactly once, whatever else happens meanwhile.
TEST(Listing, SeesWhatStaysExactlyOnce) {
  TestMaster master;
  for (int i = 0; i < 20; ++i) master.MakeFile(kRoot, "stays" + std::to_string(i));
  std::map<std::string, int> seen;
  wire::MetaRequest request;
  wire::ReadDirectory& read = *request.mutable_read_directory();
  read.set_inode(kRoot);
  read.set_max_entries(3);
  read.set_attributes(true);
  for (bool end = false; !end;) {
    Result<wire::MetaReply> reply = master.Ask(request);
    ASSERT_TRUE(reply);
    for (const wire::Entry& entry : reply->entries()) {
      ++seen[entry.name()];
      EXPECT_EQ(entry.attributes().inode(), entry.inode());
      read.set_cookie(entry.cookie());
    }
    end = reply->end();
    std::string extra = "extra" + std::to_string(seen.size() % 4);
    if (master.MakeNode(kRoot, extra, S_IFREG).error == Errc::kExists) master.Unlink(kRoot, extra);
    // A name that is replaced stays where it was.
    master.MakeFile(kRoot, "new");
    master.Rename(kRoot, "new", kRoot, "stays3");
    master.Reopen();
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(seen["stays" + std::to_string(i)], 1) << i;
}

}  // namespace
}  // namespace ringfs::master
