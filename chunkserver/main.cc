#include <fmt/format.h>

#include <asio/io_context.hpp>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

#include "chunkserver/server.h"
#include "common/async.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/metrics_server.h"
#include "proto/chunk.pb.h"

namespace {

using ringfs::Result;
using ringfs::chunkserver::ChunkServer;
using ringfs::chunkserver::ServerOptions;

constexpr char kName[] = "ringfs-chunkserver";

void AddFlags(CLI::App& app, ServerOptions& options, std::string& metrics) {
  app.add_option("--data", options.directories, "directory for blocks; may be given several times")
      ->required()
      ->type_name("DIR");
  app.add_option("--listen", options.listen, "address to listen on; port 0 picks a free one")
      ->required()
      ->check(ringfs::IsHostPort())
      ->type_name("HOST:PORT");
  app.add_option("--master", options.masters, "where the master is")
      ->required()
      ->check(ringfs::IsHostPort())
      ->delimiter(',')
      ->type_name("HOST:PORT");
  app.add_option(
         "--advertise", options.advertise,
         "address that clients and other servers connect to; what it listens on if not given")
      ->check(ringfs::IsHostPort())
      ->type_name("HOST:PORT");
  app.add_option("--zone", options.zone, "failure domain above the host")->type_name("NAME");
  app.add_option("--weight", options.weight, "share of the data, 100 for an ordinary server")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--metrics", metrics, "where to tell figures to Prometheus, over HTTP")
      ->check(ringfs::IsHostPort())
      ->type_name("HOST:PORT");
  app.add_option("--scrub-rate", options.scrub_mib_per_s,
                 "MiB of blocks a second that are verified in the background; 0: none")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_flag("--new", options.accept_new, "take data directories that are not empty as new ones");
}

asio::awaitable<void> Start(ChunkServer& server, int& status) {
  const Result<std::string> address = co_await server.Start();
  if (address) {
    ringfs::AnnounceReady(kName, *address);
    co_return;
  }
  if (address.code() != ringfs::Errc::kCancelled) {
    status = ringfs::FailToStart(kName, address.error());
    if (server.removed()) status = ringfs::kRemovedStatus;
  }
  server.Stop();
  std::raise(SIGTERM);  // EndOnSignal() waits for it
}

asio::awaitable<void> EndOnSignal(ChunkServer& server, const int& status) {
  const Result<int> signal = co_await ringfs::WaitForEndSignal();
  if (signal && status == EXIT_SUCCESS) {
    spdlog::info("ending");
    ringfs::AnnounceStopping();
  }
  server.Stop();
}

}  // namespace

int main(int argc, char** argv) {
  ringfs::IgnoreBrokenPipes();
  ServerOptions options;
  CLI::App app("Stores blocks of a ringfs cluster.", kName);
  std::string metrics_address;
  AddFlags(app, options, metrics_address);
  app.footer(
      fmt::format("Ends with status {} when the master says that `ringfs servers remove` has "
                  "removed it.",
                  ringfs::kRemovedStatus));
  if (const auto end = ringfs::ParseFlags(app, argc, argv)) return *end;

  ringfs::Metrics metrics;
  ringfs::CallMetrics calls(
      metrics, ringfs::CallMetrics::KindsOf(*ringfs::wire::ChunkMethod_descriptor(), "CHUNK_"));
  options.metrics = &metrics;
  options.calls = &calls;
  std::unique_ptr<ringfs::MetricsServer> metrics_server;
  if (!metrics_address.empty()) {
    auto started = ringfs::MetricsServer::Start(metrics_address, metrics);
    if (!started) return ringfs::FailToStart(kName, started.error());
    metrics_server = *std::move(started);
  }

  ringfs::SystemClock clock;
  asio::io_context io(1);
  int status = EXIT_SUCCESS;
  {
    ChunkServer server(io.get_executor(), clock, std::move(options));
    ringfs::Spawn(io.get_executor(), EndOnSignal(server, status), "signals");
    ringfs::Spawn(io.get_executor(), Start(server, status), "start");
    io.run();
    if (!server.Flush() && status == EXIT_SUCCESS) status = EXIT_FAILURE;
  }
  return status;
}
