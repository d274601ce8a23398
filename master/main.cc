// ringfs-master: names, locks, sessions and the cluster map.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>

#include "common/async.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/metrics_server.h"
#include "common/rpc/server.h"
#include "master/cluster/ring_membership.h"
#include "master/service/format.h"
#include "master/service/restore.h"
#include "master/service/service.h"
#include "master/state/database.h"
#include "master/state/state_machine.h"

namespace ringfs::master {
namespace {

constexpr const char* kProgram = "ringfs-master";

struct Flags {
  std::string data;
  std::string listen;
  std::string restore;
  std::string metrics;
  std::optional<uint32_t> replicas;
  std::optional<uint32_t> bucket_bits;
  uint32_t initial_servers = 1;
  double session_ttl_s = 10;
  uint64_t memory_mib = 256;
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--data", flags.data, "Directory of the database; made when it is missing")
      ->required()
      ->type_name("DIR");
  CLI::Option* listen =
      app.add_option("--listen", flags.listen, "Address to serve on; port 0 picks a free one")
          ->check(IsHostPort())
          ->type_name("HOST:PORT");
  app.add_option("--restore", flags.restore,
                 "Make the new data directory from a file of `ringfs backup`, and end")
      ->type_name("FILE")
      ->excludes(listen);
  app.add_option("--metrics", flags.metrics, "Where to tell figures to Prometheus, over HTTP")
      ->check(IsHostPort())
      ->type_name("HOST:PORT");
  app.add_option("--replicas", flags.replicas, "Copies of each block; for a new data directory [2]")
      ->check(CLI::Range(1, 16));
  app.add_option("--bucket-bits", flags.bucket_bits, "2^N buckets; for a new data directory [14]")
      ->check(CLI::Range(0, 20));
  app.add_option("--initial-servers", flags.initial_servers,
                 "Place data only when so many chunkservers have registered")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--session-ttl", flags.session_ttl_s,
                 "Seconds after which a mount that is not heard of loses its locks")
      ->check(CLI::Range(1.0, 3600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_option("--memory", flags.memory_mib,
                 "Memory that this program may use, however many files there are")
      ->check(CLI::Range(64, 1 << 20))
      ->type_name("MIB")
      ->capture_default_str();
}

Result<std::unique_ptr<StateMachine>> OpenState(const Flags& flags, const Clock& clock) {
  std::error_code error;
  std::filesystem::create_directories(flags.data, error);
  if (error) return Fail(ErrcFromErrno(error.value()), flags.data + ": " + error.message());
  Result<Database> database =
      OpenDatabase(flags.data, {}, DatabaseLimits::Within(flags.memory_mib << 20));
  if (!database) return Fail(database.error());
  Result<std::unique_ptr<StateMachine>> state = StateMachine::Open(*std::move(database));
  if (!state) return Fail(state.error());
  std::random_device random;
  FormatOptions format;
  format.replicas = flags.replicas;
  format.bucket_bits = flags.bucket_bits;
  for (int i = 0; i < 16; ++i) format.cluster_id += static_cast<char>(random());
  const Result<void> formatted = FormatIfNew(**state, clock, format);
  if (!formatted) return Fail(formatted.error().code, flags.data + ": " + formatted.error().detail);
  return state;
}

asio::awaitable<void> EndBySignal(asio::io_context& io, rpc::Server& server,
                                  MasterService& service) {
  const Result<int> signal = co_await WaitForEndSignal();
  if (!signal) co_return;
  spdlog::info("ends, by signal {}", *signal);
  AnnounceStopping();
  server.Stop();
  service.Stop();
  io.stop();
}

int Serve(const Flags& flags) {
  const SystemClock clock;
  const Result<std::unique_ptr<StateMachine>> state = OpenState(flags, clock);
  if (!state) return FailToStart(kProgram, state.error());

  Metrics metrics;
  CallMetrics calls(metrics, CallMetrics::KindsOf(*wire::MasterMethod_descriptor(), "MASTER_"));
  std::unique_ptr<MetricsServer> metrics_server;
  if (!flags.metrics.empty()) {
    auto started = MetricsServer::Start(flags.metrics, metrics);
    if (!started) return FailToStart(kProgram, started.error());
    metrics_server = *std::move(started);
  }

  asio::io_context io(1);
  ServiceOptions options;
  options.metrics = &metrics;
  options.session_ttl_ms = static_cast<int64_t>(flags.session_ttl_s * 1000);
  options.seed = std::random_device()();
  options.run = uint64_t{std::random_device()()} << 32 | std::random_device()();
  PlannerOptions planner;
  planner.initial_servers = flags.initial_servers;
  planner.lease_ms = options.lease_ms;
  RingMembership membership(planner);
  MasterService service(io.get_executor(), **state, clock, &membership, options);
  int status = 0;
  service.Start([&](const Error&) {
    status = 1;
    io.stop();
  });
  rpc::ServerOptions server_options;
  server_options.metrics = &calls;
  rpc::Server server(io.get_executor(), service, server_options);
  const Result<std::string> address = server.Listen(flags.listen);
  if (!address) return FailToStart(kProgram, address.error());
  Spawn(io.get_executor(), EndBySignal(io, server, service), "end by signal");
  // Signals are waited for by then.
  asio::post(io, [&] { AnnounceReady(kProgram, *address); });
  io.run();
  return status;
}

int RestoreFrom(const Flags& flags) {
  const Result<Restored> restored = Restore(flags.restore, flags.data, SystemClock());
  if (!restored) return FailToStart(kProgram, restored.error());
  fmt::print("{} restored: {} records of a backup of {:%Y-%m-%d %H:%M:%S} UTC\n", flags.data,
             restored->records,
             fmt::gmtime(static_cast<std::time_t>(restored->taken_ns / kNsPerSecond)));
  return 0;
}

int Main(int argc, char** argv) {
  IgnoreBrokenPipes();
  CLI::App app("Keeps the names, locks, sessions and the cluster map of a ringfs filesystem.",
               kProgram);
  Flags flags;
  AddFlags(app, flags);
  if (const std::optional<int> status = ParseFlags(app, argc, argv)) return *status;
  if (!flags.restore.empty()) return RestoreFrom(flags);
  if (flags.listen.empty()) {
    FailToStart(kProgram, Error{Errc::kInvalid, "--listen is required (--help says more)"});
    return 2;
  }
  return Serve(flags);
}

}  // namespace
}  // namespace ringfs::master

int main(int argc, char** argv) { return ringfs::master::Main(argc, argv); }
