#include "fuse/options.h"

#include <gtest/gtest.h>

namespace ringfs::fuse {
namespace {

using Arguments = std::vector<std::string>;

MountOptions Parsed(const Arguments& arguments, bool as_helper = false) {
  auto options = ParseMountOptions(arguments, as_helper);
  EXPECT_TRUE(options) << options.error().ToString();
  return options ? *options : MountOptions();
}

TEST(MountOptionsTest, TakesSeveralMastersAndASubdirectory) {
  const MountOptions options = Parsed({"a:1,b:2:/home/x/", "/mnt"});

  EXPECT_EQ(options.masters, (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_EQ(options.subdirectory, "home/x");
  EXPECT_EQ(options.mountpoint, "/mnt");
}

TEST(MountOptionsTest, MakesTheMountpointAbsolute) {
  EXPECT_TRUE(Parsed({"a:1", "here"}).mountpoint.ends_with("/here"));
  EXPECT_EQ(Parsed({"a:1", "/mnt/./x/"}).mountpoint, "/mnt/x");
}

TEST(MountOptionsTest, ReadsWhatMountPasses) {
  const MountOptions options = Parsed({"a:1:/", "/mnt", "-n", "-s", "-o",
                                       "rw,noexec,nosuid,nodev,_netdev,nofail,x-systemd.automount"},
                                      true);

  EXPECT_FALSE(options.read_only);
  EXPECT_EQ(options.kernel, (std::vector<std::string>{"noexec", "nosuid", "nodev"}));
  EXPECT_EQ(options.subdirectory, "");
}

TEST(MountOptionsTest, TakesTheMinusFOfMountForFake) {
  EXPECT_TRUE(Parsed({"a:1", "/mnt", "-f"}, true).fake);
  EXPECT_TRUE(Parsed({"a:1", "/mnt", "-f"}, false).foreground);
}

TEST(MountOptionsTest, ReadsOurOwn) {
  const MountOptions options =
      Parsed({"a:1", "/mnt", "-o", "ro,timeout=5", "-onoatime,session_ttl=3,log=/l,metrics=h:9"});

  EXPECT_TRUE(options.read_only);
  EXPECT_EQ(options.timeout_ms, 5000);
  EXPECT_EQ(options.session_ttl_ms, 3000);
  EXPECT_EQ(options.atime, Atime::kNoatime);
  EXPECT_EQ(options.log_file, "/l");
  EXPECT_EQ(options.metrics, "h:9");
}

TEST(MountOptionsTest, RefusesWhatItDoesNotKnow) {
  const Arguments wrong[] = {{"a:1"},
                             {"a:1", "/mnt", "/more"},
                             {"a", "/mnt"},
                             {"a:0", "/mnt"},
                             {"a:99999", "/mnt"},
                             {"a:1,b", "/mnt"},
                             {":1", "/mnt"},
                             {"", "/mnt"},
                             {"a:1", "/mnt", "-o"},
                             {"a:1", "/mnt", "-o", "fast"},
                             {"a:1", "/mnt", "-o", "timeout=0"},
                             {"a:1", "/mnt", "-o", "timeout=x"},
                             {"a:1", "/mnt", "-o", "timeout="},
                             {"a:1", "/mnt", "-o", "cache=all"},
                             {"a:1", "/mnt", "-o", "dirty=0"},
                             {"a:1", "/mnt", "-o", "dirty=1G"},
                             {"a:1", "/mnt", "--fast"}};
  for (const Arguments& arguments : wrong) {
    auto options = ParseMountOptions(arguments, false);

    ASSERT_FALSE(options) << testing::PrintToString(arguments);
    EXPECT_EQ(options.code(), Errc::kInvalid);
    EXPECT_FALSE(options.error().detail.empty());
  }
}

TEST(MountOptionsTest, ListsEveryOptionInTheHelp) {
  const std::string help = MountHelp();
  for (const char* option : {"ro", "noatime", "relatime", "suid", "dev", "allow_other",
                             "subdir=", "timeout=", "session_ttl=", "cache=lease",
                             "cache=none", "dirty=", "sync_on_close", "log="}) {
    EXPECT_NE(help.find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace ringfs::fuse
