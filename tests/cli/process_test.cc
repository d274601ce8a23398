#include "cli/local/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace ringfs::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kPatienceMs = 10'000;

class ProcessTest : public ::testing::Test {
 protected:
  std::filesystem::path WritePid(const std::string& text) {
    const std::filesystem::path path = folder_.path() / "x.pid";
    std::ofstream(path) << text;
    return path;
  }
  // A shell that runs `script`; its name is "sh" for the ready line.
  Result<Child> StartShell(const std::string& script) {
    Launch launch;
    launch.program = "/bin/sh";
    launch.arguments = {"-c", script, "marker"};
    launch.log = folder_.path() / "log";
    return Child::Start(launch);
  }
  void Reap(const Child& child) {
    child.process().Signal(SIGKILL);
    waitpid(child.process().pid(), nullptr, 0);
  }

  TempDir folder_;
};

std::string OwnName() { return std::filesystem::read_symlink("/proc/self/exe").filename(); }
std::string OwnArgument() {
  std::ifstream in("/proc/self/cmdline");
  std::string first;
  std::getline(in, first, '\0');
  return first;
}

TEST_F(ProcessTest, IsFoundByItsPidFile) {
  const auto file = WritePid(std::to_string(getpid()) + "\n");

  const auto found = Process::Find(file, OwnName(), OwnArgument());

  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->pid(), getpid());
  EXPECT_FALSE(found->WaitForEnd(0));
}

TEST_F(ProcessTest, IsNotTakenForAnotherWithItsNumber) {
  const auto file = WritePid(std::to_string(getpid()));

  EXPECT_FALSE(Process::Find(file, "ringfs-master", OwnArgument()));
  EXPECT_FALSE(Process::Find(file, OwnName(), "/other/data"));
  EXPECT_FALSE(Process::Find(file, OwnName(), ""));
}

TEST_F(ProcessTest, IsNotFoundByABadPidFile) {
  for (const char* text : {"", "x", "-1", "0", "99999999999999999999", "2147483647"}) {
    SCOPED_TRACE(text);

    EXPECT_FALSE(Process::Find(WritePid(text), OwnName(), OwnArgument()));
  }
  EXPECT_FALSE(Process::Find(folder_.path() / "none", OwnName(), OwnArgument()));
}

TEST_F(ProcessTest, SaysWhenAChildIsReady) {
  auto child = StartShell("echo starting; echo 'sh ready: 127.0.0.1:77'; read never < /dev/zero");
  ASSERT_TRUE(child) << child.error().ToString();

  const auto ready = child->WaitReady(kPatienceMs);

  ASSERT_TRUE(ready) << ready.error().ToString();
  EXPECT_EQ(*ready, "127.0.0.1:77");
  Reap(*child);
}

TEST_F(ProcessTest, SaysWhyAChildIsNotReady) {
  std::ofstream(folder_.path() / "log") << "from an earlier run\n";
  auto child = StartShell("echo first >&2; echo 'the port is taken' >&2; exit 3");
  ASSERT_TRUE(child);

  const auto ready = child->WaitReady(kPatienceMs);

  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().detail, HasSubstr("sh ended with status 3: the port is taken"));
  EXPECT_EQ(child->exit_status(), 3);
  EXPECT_THAT(ready.error().detail, Not(HasSubstr("earlier")));
}

TEST_F(ProcessTest, DoesNotBlameAChildForOlderLines) {
  std::ofstream(folder_.path() / "log") << "from an earlier run\n";
  auto child = StartShell("kill -9 $$");
  ASSERT_TRUE(child);

  const auto ready = child->WaitReady(kPatienceMs);

  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().detail, HasSubstr("was ended by signal 9"));
  EXPECT_THAT(ready.error().detail, Not(HasSubstr("earlier")));
}

TEST_F(ProcessTest, WaitsOnlySoLongForAChild) {
  auto child = StartShell("read never < /dev/zero");
  ASSERT_TRUE(child);

  EXPECT_EQ(child->WaitReady(1).code(), Errc::kTimedOut);
  Reap(*child);
}

TEST_F(ProcessTest, StartsChildrenAwayFromOurTerminalAndFiles) {
  auto child = StartShell(
      "echo \"sh ready: $(ls /proc/self/fd | wc -l) $(readlink /proc/$$/fd/0) $(pwd) "
      "$(ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat)\"; read never < /dev/zero");
  ASSERT_TRUE(child);

  const auto ready = child->WaitReady(kPatienceMs);

  ASSERT_TRUE(ready) << ready.error().ToString();
  EXPECT_THAT(*ready, HasSubstr("/dev/null /"));
  EXPECT_EQ(getsid(child->process().pid()), child->process().pid());
  Reap(*child);
}

TEST_F(ProcessTest, EndsWhatDoesNotListen) {
  auto polite = StartShell("echo 'sh ready: 1'; read never < /dev/zero");
  auto deaf = StartShell("trap '' TERM; echo 'sh ready: 1'; read never < /dev/zero");
  ASSERT_TRUE(polite && deaf);
  ASSERT_TRUE(polite->WaitReady(kPatienceMs) && deaf->WaitReady(kPatienceMs));

  EXPECT_TRUE(polite->process().End(kPatienceMs));
  EXPECT_FALSE(deaf->process().End(50));
  EXPECT_TRUE(deaf->process().WaitForEnd(kPatienceMs));
  Reap(*polite);
  Reap(*deaf);
}

TEST_F(ProcessTest, SaysThatAProgramIsNotThere) {
  Launch launch;
  launch.program = "/nonexistent/ringfs-master";
  launch.log = folder_.path() / "log";

  const auto child = Child::Start(launch);

  ASSERT_FALSE(child);
  EXPECT_EQ(child.code(), Errc::kNotFound);
  EXPECT_THAT(child.error().detail, HasSubstr("/nonexistent/ringfs-master"));
}

}  // namespace
}  // namespace ringfs::cli
