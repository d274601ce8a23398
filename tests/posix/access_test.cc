// Who may do what: modes, set-id bits, sticky directories, groups, ACLs.
#include <sys/xattr.h>

#include <array>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

class AccessTest : public PosixTest {
 protected:
  mode_t ModeOf(const std::string& name) const { return StatOf(In(name)).st_mode & 07777; }
  // What opening the file gives that person.
  int Opening(const Person& person, const std::string& name, int flags) const {
    const std::string path = In(name);
    return As(person, [&] { return ErrorOf(open(path.c_str(), flags)); });
  }
};

// An ACL in the form of the attribute system.posix_acl_access.
class AclBytes {
 public:
  AclBytes() { Put32(2); }
  AclBytes& Add(uint16_t tag, uint16_t permissions, uint32_t id = UINT32_MAX) {
    Put16(tag);
    Put16(permissions);
    Put32(id);
    return *this;
  }
  int SetOn(const std::string& path, const char* which) const {
    return ErrorOf(setxattr(path.c_str(), which, bytes_.data(), bytes_.size(), 0));
  }

 private:
  void Put16(uint16_t value) {
    bytes_ += static_cast<char>(value & 0xff);
    bytes_ += static_cast<char>(value >> 8);
  }
  void Put32(uint32_t value) {
    Put16(static_cast<uint16_t>(value & 0xffff));
    Put16(static_cast<uint16_t>(value >> 16));
  }

  std::string bytes_;
};

constexpr uint16_t kOwner = 1, kUser = 2, kOwningGroup = 4, kGroup = 8, kMask = 16, kOthers = 32;
constexpr const char* kAccess = "system.posix_acl_access";
constexpr const char* kDefault = "system.posix_acl_default";

TEST_F(AccessTest, ModesAreForOwnerGroupAndOthersInThisOrder) {
  Fill(In("f"), "x");
  ASSERT_EQ(chown(In("f").c_str(), 1000, 2000), 0);

  ASSERT_EQ(chmod(In("f").c_str(), 0077), 0);
  EXPECT_EQ(Opening({1000, 2000, {}}, "f", O_RDONLY), EACCES);  // the owner's own bits count alone
  EXPECT_EQ(Opening({1001, 2000, {}}, "f", O_RDWR), 0);
  ASSERT_EQ(chmod(In("f").c_str(), 0707), 0);
  EXPECT_EQ(Opening({1001, 2000, {}}, "f", O_RDONLY), EACCES);
  EXPECT_EQ(Opening({1001, 2001, {}}, "f", O_RDWR), 0);
}

TEST_F(AccessTest, SupplementaryGroupsCount) {
  Fill(In("f"), "x");
  ASSERT_EQ(chown(In("f").c_str(), 0, 3000), 0);
  ASSERT_EQ(chmod(In("f").c_str(), 0660), 0);

  EXPECT_EQ(Opening({1000, 1000, {2999, 3000}}, "f", O_RDWR), 0);
  EXPECT_EQ(Opening({1000, 1000, {2999}}, "f", O_RDWR), EACCES);
}

TEST_F(AccessTest, AnOwnerGivesAFileToAGroupOfTheirsOnly) {
  Fill(In("f"), "x");
  ASSERT_EQ(chown(In("f").c_str(), 1000, 1000), 0);
  const std::string path = In("f");
  const Person owner{1000, 1000, {3000}};

  EXPECT_EQ(As(owner, [&] { return ErrorOf(chown(path.c_str(), -1, 3000)); }), 0);
  EXPECT_EQ(StatOf(path).st_gid, 3000u);
  EXPECT_EQ(As(owner, [&] { return ErrorOf(chown(path.c_str(), -1, 4000)); }), EPERM);
  EXPECT_EQ(As(owner, [&] { return ErrorOf(chown(path.c_str(), 1001, -1)); }), EPERM);
  EXPECT_EQ(As({1001, 1000, {}}, [&] { return ErrorOf(chmod(path.c_str(), 0777)); }), EPERM);
}

TEST_F(AccessTest, SearchingADirectoryNeedsItsX) {
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  Fill(In("d/f"), "x");
  ASSERT_EQ(chmod(In("d").c_str(), 0744), 0);
  const std::string path = In("d/f");
  const std::string directory = In("d");

  EXPECT_EQ(Opening(Person(), "d/f", O_RDONLY), EACCES);
  EXPECT_EQ(Opening(Person(), "d", O_RDONLY), 0);
  ASSERT_EQ(chmod(directory.c_str(), 0711), 0);
  EXPECT_EQ(Opening(Person(), "d/f", O_RDONLY), 0);
  EXPECT_EQ(Opening(Person(), "d", O_RDONLY), EACCES);
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(unlink(path.c_str())); }), EACCES);
}

TEST_F(AccessTest, AWriteBySomebodyClearsSetIdBits) {
  Fill(In("f"), "x");
  const std::string path = In("f");
  for (const mode_t mode : {06777, 02777, 04777}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    EXPECT_EQ(As(Person(),
                 [&] {
                   const File file(open(path.c_str(), O_WRONLY));
                   return write(file.get(), "y", 1) == 1 ? 0 : errno;
                 }),
              0);
    EXPECT_EQ(ModeOf("f"), 0777u) << std::oct << mode;
  }
  // Without execution by the group, set-group-id means something else.
  ASSERT_EQ(chmod(path.c_str(), 06767 & ~010), 0);
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(truncate(path.c_str(), 0)); }), 0);
  EXPECT_EQ(ModeOf("f") & 04000, 0u);
}

TEST_F(AccessTest, RootMayWriteWithoutClearingThem) {
  Fill(In("f"), "x");
  ASSERT_EQ(chmod(In("f").c_str(), 06755), 0);
  const File file(open(In("f").c_str(), O_WRONLY));

  ASSERT_EQ(write(file.get(), "y", 1), 1);

  EXPECT_EQ(ModeOf("f"), 06755u);
}

TEST_F(AccessTest, AChangeOfOwnerClearsSetIdBits) {
  Fill(In("f"), "x");
  ASSERT_EQ(chmod(In("f").c_str(), 06755), 0);

  ASSERT_EQ(chown(In("f").c_str(), 1000, 1000), 0);

  EXPECT_EQ(ModeOf("f"), 0755u);
}

TEST_F(AccessTest, SetGroupIdIsOnlyForMembersToSet) {
  Fill(In("f"), "x");
  ASSERT_EQ(chown(In("f").c_str(), 1000, 2000), 0);
  const std::string path = In("f");

  EXPECT_EQ(As({1000, 1000, {}}, [&] { return ErrorOf(chmod(path.c_str(), 02755)); }), 0);
  EXPECT_EQ(ModeOf("f"), 0755u);
  EXPECT_EQ(As({1000, 1000, {2000}}, [&] { return ErrorOf(chmod(path.c_str(), 02755)); }), 0);
  EXPECT_EQ(ModeOf("f"), 02755u);
}

TEST_F(AccessTest, ADirectoryWithSetGroupIdPassesItsGroupOn) {
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  ASSERT_EQ(chown(In("d").c_str(), 0, 2000), 0);
  ASSERT_EQ(chmod(In("d").c_str(), 02777), 0);

  Fill(In("d/f"), "x");
  ASSERT_EQ(mkdir(In("d/sub").c_str(), 0755), 0);

  EXPECT_EQ(StatOf(In("d/f")).st_gid, 2000u);
  EXPECT_EQ(StatOf(In("d/sub")).st_gid, 2000u);
  EXPECT_EQ(ModeOf("d/sub"), 02755u);
}

TEST_F(AccessTest, InAStickyDirectoryOnlyOwnersRemove) {
  ASSERT_EQ(mkdir(In("d").c_str(), 0777), 0);
  ASSERT_EQ(chmod(In("d").c_str(), 01777), 0);
  Fill(In("d/f"), "x");
  ASSERT_EQ(chown(In("d/f").c_str(), 1000, 1000), 0);
  const std::string path = In("d/f");
  const std::string other = In("d/g");

  EXPECT_EQ(As({1001, 1000, {}}, [&] { return ErrorOf(unlink(path.c_str())); }), EPERM);
  EXPECT_EQ(As({1001, 1000, {}}, [&] { return ErrorOf(rename(path.c_str(), other.c_str())); }),
            EPERM);
  EXPECT_EQ(As({1000, 1000, {}}, [&] { return ErrorOf(rename(path.c_str(), other.c_str())); }), 0);
  EXPECT_EQ(As({1000, 1000, {}}, [&] { return ErrorOf(unlink(other.c_str())); }), 0);
}

TEST_F(AccessTest, TheUmaskApplies) {
  umask(027);
  Fill(In("f"), "x", 0666);
  ASSERT_EQ(mkdir(In("d").c_str(), 0777), 0);

  EXPECT_EQ(ModeOf("f"), 0640u);
  EXPECT_EQ(ModeOf("d"), 0750u);
}

TEST_F(AccessTest, AnAclNamesUsersAndGroups) {
  Fill(In("f"), "x");
  ASSERT_EQ(chmod(In("f").c_str(), 0600), 0);
  AclBytes acl;
  acl.Add(kOwner, 6).Add(kUser, 6, 1000).Add(kOwningGroup, 0).Add(kGroup, 4, 3000);
  acl.Add(kMask, 6).Add(kOthers, 0);

  ASSERT_EQ(acl.SetOn(In("f"), kAccess), 0);

  EXPECT_EQ(Opening({1000, 1000, {}}, "f", O_RDWR), 0);
  EXPECT_EQ(Opening({1001, 1000, {3000}}, "f", O_RDONLY), 0);
  EXPECT_EQ(Opening({1001, 1000, {3000}}, "f", O_RDWR), EACCES);
  EXPECT_EQ(Opening({1001, 1000, {}}, "f", O_RDONLY), EACCES);
  EXPECT_EQ(ModeOf("f"), 0660u);  // the group's bits show the mask
}

TEST_F(AccessTest, ChmodChangesTheMaskOfAnAcl) {
  Fill(In("f"), "x");
  AclBytes acl;
  acl.Add(kOwner, 6).Add(kUser, 6, 1000).Add(kOwningGroup, 6).Add(kMask, 6).Add(kOthers, 0);
  ASSERT_EQ(acl.SetOn(In("f"), kAccess), 0);

  ASSERT_EQ(chmod(In("f").c_str(), 0640), 0);

  EXPECT_EQ(Opening({1000, 1000, {}}, "f", O_RDONLY), 0);
  EXPECT_EQ(Opening({1000, 1000, {}}, "f", O_RDWR), EACCES);
}

TEST_F(AccessTest, ADefaultAclIsInheritedInsteadOfTheUmask) {
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  AclBytes acl;
  acl.Add(kOwner, 7).Add(kUser, 7, 1000).Add(kOwningGroup, 5).Add(kMask, 7).Add(kOthers, 0);
  ASSERT_EQ(acl.SetOn(In("d"), kDefault), 0);

  umask(077);
  Fill(In("d/f"), "x", 0666);
  ASSERT_EQ(mkdir(In("d/sub").c_str(), 0777), 0);

  EXPECT_EQ(ModeOf("d/f"), 0660u);
  EXPECT_EQ(ModeOf("d/sub"), 0770u);
  EXPECT_EQ(Opening({1000, 1000, {}}, "d/f", O_RDWR), 0);
  EXPECT_GT(getxattr(In("d/sub").c_str(), kDefault, nullptr, 0), 0);
  EXPECT_EQ(ErrorOf(getxattr(In("d/f").c_str(), kDefault, nullptr, 0)), ENODATA);
}

TEST_F(AccessTest, ExtendedAttributesAreKept) {
  Fill(In("f"), "x");
  const std::string path = In("f");
  const std::string value(1000, 'v');

  ASSERT_EQ(ErrorOf(setxattr(path.c_str(), "user.a", value.data(), value.size(), 0)), 0);
  EXPECT_EQ(ErrorOf(setxattr(path.c_str(), "user.a", "", 0, XATTR_CREATE)), EEXIST);
  EXPECT_EQ(ErrorOf(setxattr(path.c_str(), "user.b", "", 0, XATTR_REPLACE)), ENODATA);
  ASSERT_EQ(ErrorOf(setxattr(path.c_str(), "trusted.t", "1", 1, 0)), 0);

  std::array<char, 4096> bytes{};
  EXPECT_EQ(getxattr(Elsewhere("f").c_str(), "user.a", bytes.data(), bytes.size()), 1000);
  EXPECT_EQ(ErrorOf(getxattr(path.c_str(), "user.a", bytes.data(), 10)), ERANGE);
  const ssize_t listed = listxattr(path.c_str(), bytes.data(), bytes.size());
  const std::string names(bytes.data(), static_cast<size_t>(listed));
  EXPECT_THAT(names, testing::HasSubstr(std::string("user.a\0", 7)));
  EXPECT_THAT(names, testing::HasSubstr("trusted.t"));
  ASSERT_EQ(ErrorOf(removexattr(path.c_str(), "user.a")), 0);
  EXPECT_EQ(ErrorOf(getxattr(path.c_str(), "user.a", nullptr, 0)), ENODATA);
  EXPECT_EQ(ErrorOf(setxattr(path.c_str(), "nonsense.a", "", 0, 0)), EOPNOTSUPP);
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(setxattr(path.c_str(), "user.c", "", 0, 0)); }),
            EACCES);
}

}  // namespace
}  // namespace ringfs::posix
