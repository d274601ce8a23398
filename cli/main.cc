// ringfs: starts, shows and administers a cluster.
#include <cstdio>
#include <string>
#include <vector>

#include "cli/run.h"
#include "common/daemon.h"
#include "common/log.h"

int main(int argc, char** argv) {
  using namespace ringfs;
  constexpr const char* kProgram = "ringfs";
  IgnoreBrokenPipes();
  StartLog(kProgram, "error");
  const auto arguments = cli::ParseArguments(std::vector<std::string>(argv + 1, argv + argc));
  if (!arguments) {
    FailToStart(kProgram, arguments.error());
    return 2;
  }
  const auto print = [](const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  };
  const auto print_aside = [](const std::string& text) { std::fputs(text.c_str(), stderr); };
  const Result<void> done = cli::Run(*arguments, print, print_aside);
  if (!done) return FailToStart(kProgram, done.error());
  return std::ferror(stdout) != 0 ? 1 : 0;
}
