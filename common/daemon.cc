#include "common/daemon.h"

#include <systemd/sd-daemon.h>

#include <asio/signal_set.hpp>
#include <asio/this_coro.hpp>
#include <csignal>
#include <cstdio>

#include "common/async.h"
#include "common/log.h"
#include "common/rpc/address.h"

namespace ringfs {

std::optional<int> ParseFlags(CLI::App& app, int argc, char** argv) {
  std::string level = "info";
  app.set_version_flag("--version", app.get_name() + " " RINGFS_VERSION);
  app.add_option("--log-level", level, "trace, debug, info, warn or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {
    return app.exit(wanted);
  } catch (const CLI::ParseError& wrong) {
    std::fprintf(stderr, "%s: %s (--help lists the flags)\n", app.get_name().c_str(), wrong.what());
    return 2;
  }
  RINGFS_CHECK(StartLog(app.get_name(), level));
  return std::nullopt;
}

CLI::Validator IsHostPort() {
  return CLI::Validator(
      [](std::string& value) {
        const Result<rpc::HostPort> parsed = rpc::ParseHostPort(value);
        return parsed ? std::string() : parsed.error().detail;
      },
      "");
}

int FailToStart(std::string_view program, const Error& error) {
  const std::string& text = error.detail.empty() ? error.ToString() : error.detail;
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(program.size()), program.data(),
               text.c_str());
  return 1;
}

void AnnounceReady(std::string_view program, std::string_view address) {
  std::printf("%.*s ready: %.*s\n", static_cast<int>(program.size()), program.data(),
              static_cast<int>(address.size()), address.data());
  std::fflush(stdout);
  sd_notify(0, "READY=1");
}

void AnnounceStopping() { sd_notify(0, "STOPPING=1"); }

asio::awaitable<Result<int>> WaitForEndSignal() {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT);
  const auto [error, number] = co_await signals.async_wait(kNoThrow);
  // With the set gone, the next signal has its default effect.
  if (error) co_return Fail(Errc::kCancelled, error.message());
  co_return number;
}

void IgnoreBrokenPipes() { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace ringfs
