#include <sys/stat.h>

#include "master/state/acl.h"
#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

wire::MetaRequest Change(uint64_t inode) {
  wire::MetaRequest request;
  request.mutable_set_attributes()->set_inode(inode);
  return request;
}

TEST(Attributes, OfANewInodeAreItsMakers) {
  TestMaster master;
  master.who().set_uid(1000);
  master.who().set_gid(100);
  master.who().set_umask(027);
  Outcome outcome = master.MakeNode(kRoot, "f", S_IFREG | 0666);
  const wire::Attributes& made = outcome.reply.attributes();
  EXPECT_EQ(made.mode(), uint32_t{S_IFREG | 0640});
  EXPECT_EQ(made.uid(), 1000u);
  EXPECT_EQ(made.gid(), 100u);
  EXPECT_EQ(made.links(), 1u);
  for (int64_t time : {made.atime_ns(), made.mtime_ns(), made.ctime_ns(), made.btime_ns(),
                       master.Attributes(kRoot).mtime_ns(), master.Attributes(kRoot).ctime_ns()}) {
    EXPECT_EQ(time, master.now_ns());
  }
}

TEST(Attributes, InheritTheGroupOfASetGidDirectory) {
  TestMaster master;
  wire::MetaRequest request = Change(kRoot);
  request.mutable_set_attributes()->set_mode(02755);
  request.mutable_set_attributes()->set_gid(55);
  master.Do(request);
  master.who().set_gid(7);
  uint64_t directory = master.MakeDirectory(kRoot, "d");
  uint64_t file = master.MakeFile(directory, "f");
  EXPECT_EQ(master.Attributes(directory).mode(), uint32_t{S_IFDIR | 02755});
  EXPECT_EQ(master.Attributes(file).mode(), uint32_t{S_IFREG | 0644});
  EXPECT_EQ(master.Attributes(file).gid(), 55u);
}

TEST(Attributes, LoseSetIdsWithTheOwner) {
  struct Case {
    uint32_t mode;
    bool directory;
    uint32_t left;
  };
  const Case cases[] = {{06755, false, 0755}, {06745, false, 02745}, {06755, true, 06755}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.mode);
    TestMaster master;
    uint64_t inode = c.directory ? master.MakeDirectory(kRoot, "x") : master.MakeFile(kRoot, "x");
    wire::MetaRequest request = Change(inode);
    request.mutable_set_attributes()->set_mode(c.mode);
    master.Do(request);
    request = Change(inode);
    request.mutable_set_attributes()->set_uid(3);
    EXPECT_EQ(master.Do(request).reply.attributes().mode() & 07777, c.left);
  }
}

TEST(Attributes, LoseSetIdsAndCapabilitiesWithAWrite) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  wire::MetaRequest request = Change(file);
  request.mutable_set_attributes()->set_mode(06755);
  master.Do(request);
  master.SetXattr(file, "security.capability", "caps");
  request = Change(file);
  request.mutable_set_attributes()->set_kill_set_ids(true);
  EXPECT_EQ(master.Do(request).reply.attributes().mode() & 07777, 0755u);
  wire::MetaRequest get;
  get.mutable_get_xattr()->set_inode(file);
  get.mutable_get_xattr()->set_name("security.capability");
  EXPECT_EQ(master.Ask(get).code(), Errc::kNoAttribute);
}

TEST(Attributes, TakeTimesAsGivenOrNow) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  wire::MetaRequest request = Change(file);
  request.mutable_set_attributes()->set_atime_ns(-5);
  request.mutable_set_attributes()->set_mtime_now(true);
  const wire::Attributes changed = master.Do(request).reply.attributes();
  EXPECT_EQ(changed.atime_ns(), -5);
  EXPECT_EQ(changed.mtime_ns(), master.now_ns());
  EXPECT_EQ(changed.ctime_ns(), master.now_ns());
}

TEST(Attributes, KeepTheChangeTimeWhenContentWasRead) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  const int64_t made = master.Attributes(file).ctime_ns();
  wire::MetaRequest request = Change(file);
  request.mutable_set_attributes()->set_atime_now(true);
  request.mutable_set_attributes()->set_was_read(true);
  const wire::Attributes changed = master.Do(request).reply.attributes();
  EXPECT_EQ(changed.atime_ns(), master.now_ns());
  EXPECT_EQ(changed.ctime_ns(), made);
}

// The clock of a master may go back; times of the filesystem do not.
TEST(Attributes, GetLaterTimesWithEachChange) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  int64_t before = master.Attributes(file).mtime_ns();
  wire::Command command;
  command.set_time_ns(5);
  wire::MetaRequest& request = *command.mutable_meta();
  request.set_session(master.session());
  request.set_slot(1);
  request.set_sequence(1);
  request.mutable_set_attributes()->set_inode(file);
  request.mutable_set_attributes()->set_mtime_now(true);
  Outcome outcome = master.machine().Apply(command);
  EXPECT_EQ(outcome.reply.attributes().mtime_ns(), before + 1);
}

std::string AclBytes(std::initializer_list<std::array<uint32_t, 3>> entries) {
  std::string bytes("\2\0\0\0", 4);
  for (const auto& [tag, permissions, id] : entries) {
    for (uint32_t half : {tag, permissions}) {
      bytes.push_back(static_cast<char>(half));
      bytes.push_back(0);
    }
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(id >> shift));
  }
  return bytes;
}

constexpr uint32_t kNone = 0xffffffff;

// user::rwx user:5:rwx group::r-x mask::rwx other::r-x
std::string Extended() {
  return AclBytes({{1, 7, kNone}, {2, 7, 5}, {4, 5, kNone}, {0x10, 7, kNone}, {0x20, 5, kNone}});
}

std::string ValueOf(const TestMaster& master, uint64_t inode, std::string_view name) {
  wire::MetaRequest get;
  get.mutable_get_xattr()->set_inode(inode);
  get.mutable_get_xattr()->set_name(name.data(), name.size());
  Result<wire::MetaReply> reply = master.Ask(get);
  return reply ? reply->value() : std::string(Name(reply.code()));
}

TEST(Acls, SetTheModeAndFollowIt) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  const wire::Attributes set = master.SetXattr(file, kAccessAcl, Extended()).reply.attributes();
  EXPECT_EQ(set.mode() & 07777, 0775u);
  EXPECT_TRUE(set.has_acl());

  wire::MetaRequest request = Change(file);
  request.mutable_set_attributes()->set_mode(0640);
  master.Do(request);
  EXPECT_EQ(
      ValueOf(master, file, kAccessAcl),
      AclBytes({{1, 6, kNone}, {2, 7, 5}, {4, 5, kNone}, {0x10, 4, kNone}, {0x20, 0, kNone}}));
}

TEST(Acls, ThatSayNoMoreThanTheModeAreNotKept) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  master.SetXattr(file, kAccessAcl, Extended());
  std::string minimal = AclBytes({{1, 6, kNone}, {4, 4, kNone}, {0x20, 0, kNone}});
  const wire::Attributes set = master.SetXattr(file, kAccessAcl, minimal).reply.attributes();
  EXPECT_EQ(set.mode() & 07777, 0640u);
  EXPECT_FALSE(set.has_acl());
  EXPECT_EQ(ValueOf(master, file, kAccessAcl), "NoAttribute");
}

TEST(Acls, AreInheritedInsteadOfTheUmask) {
  TestMaster master;
  master.who().set_umask(077);
  uint64_t directory = master.MakeDirectory(kRoot, "d");
  ASSERT_EQ(master.SetXattr(directory, kDefaultAcl, Extended()).error, Errc::kOk);

  uint64_t file = master.MakeFile(directory, "f");
  uint64_t below = master.MakeDirectory(directory, "below");

  EXPECT_EQ(master.Attributes(file).mode() & 07777, 0644u);
  EXPECT_EQ(
      ValueOf(master, file, kAccessAcl),
      AclBytes({{1, 6, kNone}, {2, 7, 5}, {4, 5, kNone}, {0x10, 4, kNone}, {0x20, 4, kNone}}));
  EXPECT_EQ(ValueOf(master, file, kDefaultAcl), "NoAttribute");
  EXPECT_EQ(ValueOf(master, below, kDefaultAcl), Extended());
  EXPECT_EQ(master.Attributes(below).mode() & 07777, 0755u);
  EXPECT_TRUE(master.Attributes(below).has_acl());
}

TEST(Acls, AreRefusedWhenTheyMakeNoSense) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  struct Case {
    const char* name;
    std::string value;
    Errc error;
  };
  const Case cases[] = {
      {"empty", "", Errc::kInvalid},
      {"half an entry", Extended() + "x", Errc::kInvalid},
      {"another version", std::string("\3\0\0\0", 4), Errc::kNotSupported},
      {"no entries", std::string("\2\0\0\0", 4), Errc::kInvalid},
      {"no mask", AclBytes({{1, 7, kNone}, {2, 7, 5}, {4, 5, kNone}, {0x20, 5, kNone}}),
       Errc::kInvalid},
      {"no other", AclBytes({{1, 7, kNone}, {4, 5, kNone}}), Errc::kInvalid},
      {"wrong order", AclBytes({{4, 5, kNone}, {1, 7, kNone}, {0x20, 5, kNone}}), Errc::kInvalid},
      {"unknown tag", AclBytes({{1, 7, kNone}, {3, 7, 0}, {4, 5, kNone}, {0x20, 5, kNone}}),
       Errc::kInvalid},
      {"too many bits", AclBytes({{1, 9, kNone}, {4, 5, kNone}, {0x20, 5, kNone}}), Errc::kInvalid},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(master.SetXattr(file, kAccessAcl, c.value).error, c.error);
  }
  EXPECT_EQ(master.SetXattr(file, kDefaultAcl, Extended()).error, Errc::kAccess);
}

TEST(Acls, AllowAsAcl5Says) {
  Acl acl = *Acl::Parse(AclBytes(
      {{1, 6, kNone}, {2, 7, 5}, {4, 4, kNone}, {8, 6, 30}, {0x10, 6, kNone}, {0x20, 1, kNone}}));
  struct Case {
    uint32_t uid, gid, want;
    bool allowed;
  };
  const Case cases[] = {
      {1, 1, 6, true},  {1, 1, 1, false},   // the owner
      {5, 1, 6, true},  {5, 1, 1, false},   // a named user, masked
      {9, 2, 4, true},  {9, 2, 2, false},   // the group
      {9, 30, 2, true}, {9, 30, 1, false},  // a named group; others do not count then
      {9, 9, 1, true},  {9, 9, 4, false},   // others
  };
  for (const Case& c : cases) {
    wire::Credentials who;
    who.set_uid(c.uid);
    who.set_gid(c.gid);
    EXPECT_EQ(acl.Allows(who, 1, 2, c.want), c.allowed) << c.uid << " " << c.gid << " " << c.want;
  }
}

TEST(Xattrs, AreSetReplacedListedAndRemoved) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  EXPECT_EQ(master.SetXattr(file, "user.a", "1").error, Errc::kOk);
  EXPECT_EQ(master.SetXattr(file, "user.b", "").error, Errc::kOk);
  EXPECT_EQ(master.SetXattr(file, "user.a", "22", 2).error, Errc::kOk);
  EXPECT_EQ(ValueOf(master, file, "user.a"), "22");
  wire::MetaRequest list;
  list.mutable_list_xattrs()->set_inode(file);
  EXPECT_THAT(master.Ask(list)->names(), testing::ElementsAre("user.a", "user.b"));

  wire::MetaRequest remove;
  remove.mutable_remove_xattr()->set_inode(file);
  remove.mutable_remove_xattr()->set_name("user.a");
  EXPECT_EQ(master.Do(remove).error, Errc::kOk);
  EXPECT_EQ(master.Do(remove).error, Errc::kNoAttribute);
  EXPECT_EQ(ValueOf(master, file, "user.a"), "NoAttribute");
  EXPECT_EQ(ValueOf(master, file, "user.b"), "");
}

TEST(Xattrs, AreRefusedAsLinuxSays) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  master.SetXattr(file, "user.there", "v");
  std::string big(64 << 10, 'v');
  struct Case {
    const char* name;
    Outcome outcome;
    Errc error;
  };
  const Case cases[] = {
      {"create what exists", master.SetXattr(file, "user.there", "v", 1), Errc::kExists},
      {"replace what does not", master.SetXattr(file, "user.none", "v", 2), Errc::kNoAttribute},
      {"unknown flag", master.SetXattr(file, "user.x", "v", 8), Errc::kInvalid},
      {"empty name", master.SetXattr(file, "", "v"), Errc::kRange},
      {"long name", master.SetXattr(file, "user." + std::string(251, 'n'), "v"), Errc::kRange},
      {"only a prefix", master.SetXattr(file, "user.", "v"), Errc::kInvalid},
      {"unknown kind", master.SetXattr(file, "system.other", "v"), Errc::kNotSupported},
      {"long value", master.SetXattr(file, "user.x", big + "v"), Errc::kTooBig},
      {"no inode", master.SetXattr(99, "user.x", "v"), Errc::kStale},
      {"64 KiB", master.SetXattr(file, "user.x", big), Errc::kOk},
      {"too much in total", master.SetXattr(file, "user.y", big), Errc::kNoSpace},
      {"replaced by as much", master.SetXattr(file, "user.x", big), Errc::kOk},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(c.outcome.error, c.error) << c.outcome.detail;
  }
}

}  // namespace
}  // namespace ringfs::master
