// What the master can do, measured through the client library without FUSE: operations a second by
// kind and by how many ask at once; and with --files, what so many files in one directory cost.
#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/bench_cluster.h"
#include "client/filesystem.h"
#include "common/async.h"
#include "common/daemon.h"

namespace ringfs::bench {
namespace {

using client::Caller;
using client::Filesystem;

constexpr uint32_t kPageEntries = 1000;
constexpr uint32_t kCrowd = 64;  // how many callers make and delete the million files

struct Settings {
  std::string folder;
  std::vector<uint32_t> callers{1, 4, 16, 64};
  double seconds = 2;
  uint64_t files = 0;
};

// Ends the benchmark: an operation that fails has no speed.
void Require(const Result<void>& result, const std::string& what) {
  if (result) return;
  std::fprintf(stderr, "names_bench: %s: %s\n", what.c_str(), result.error().ToString().c_str());
  std::exit(1);
}

template <typename Value>
Value Need(Result<Value> result, const std::string& what) {
  Require(result ? Result<void>() : Result<void>(Fail(result.error())), what);
  return *std::move(result);
}

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// One operation on the `number`-th name of the folder `parent`.
using Operation =
    std::function<asio::awaitable<void>(Filesystem&, InodeId parent, uint64_t number)>;

std::string NameOf(uint64_t number) { return "file-" + std::to_string(number); }

asio::awaitable<void> CreateFile(Filesystem& filesystem, InodeId parent, uint64_t number) {
  client::OpenMode mode;
  mode.write = true;
  auto opened = co_await filesystem.Create(parent, NameOf(number), 0644, true, mode, Caller());
  const client::Opened file = Need(std::move(opened), "create");
  auto released = co_await filesystem.Release(file.handle, std::nullopt);
  Require(released, "release");
}

asio::awaitable<void> StatFile(Filesystem& filesystem, InodeId parent, uint64_t number) {
  auto found = co_await filesystem.Lookup(parent, NameOf(number), Caller());
  Need(std::move(found), "lookup");
}

asio::awaitable<void> ChangeMode(Filesystem& filesystem, InodeId parent, uint64_t number) {
  auto looked = co_await filesystem.Lookup(parent, NameOf(number), Caller());
  const wire::Attributes found = Need(std::move(looked), "lookup");
  client::AttributeChange change;
  change.mode = 0600;
  const InodeId inode{found.inode()};
  auto changed = co_await filesystem.SetAttributes(inode, change, Caller());
  Need(std::move(changed), "chmod");
}

asio::awaitable<void> RenameFile(Filesystem& filesystem, InodeId parent, uint64_t number) {
  auto renamed = co_await filesystem.Rename(parent, NameOf(number), parent,
                                            "new-" + std::to_string(number), 0, Caller());
  Require(renamed, "rename");
}

asio::awaitable<void> UnlinkRenamed(Filesystem& filesystem, InodeId parent, uint64_t number) {
  auto unlinked = co_await filesystem.Unlink(parent, "new-" + std::to_string(number), Caller());
  Require(unlinked, "unlink");
}

asio::awaitable<void> UnlinkFile(Filesystem& filesystem, InodeId parent, uint64_t number) {
  auto unlinked = co_await filesystem.Unlink(parent, NameOf(number), Caller());
  Require(unlinked, "unlink");
}

asio::awaitable<void> MakeAndRemoveFolder(Filesystem& filesystem, InodeId parent, uint64_t number) {
  auto made = co_await filesystem.MakeNode(parent, NameOf(number), S_IFDIR | 0755, 0, Caller());
  Need(std::move(made), "mkdir");
  auto removed = co_await filesystem.RemoveDirectory(parent, NameOf(number), Caller());
  Require(removed, "rmdir");
}

// Work shared by callers: numbers from 0 up to `limit`, or for `seconds`.
struct Work {
  Work(Operation on_each, uint64_t up_to) : operation(std::move(on_each)), limit(up_to) {}

  Operation operation;
  uint64_t limit;
  double seconds = 1e9;
  uint64_t next = 0;
  uint32_t running = 0;
  Stopwatch since;
};

asio::awaitable<void> Toil(Filesystem& filesystem, InodeId parent, Work& work) {
  while (work.next < work.limit && work.since.Seconds() < work.seconds) {
    const uint64_t number = work.next++;
    co_await work.operation(filesystem, parent, number);
  }
  --work.running;
}

// A mount's client, driven from here: one session, one thread.
class Driver {
 public:
  explicit Driver(const std::string& address) {
    client::Options options;
    options.masters = {address};
    options.mountpoint = "names_bench";
    Run(Connect(std::move(options)));
  }
  ~Driver() { Run(filesystem_->Close()); }

  Filesystem& filesystem() { return *filesystem_; }

  void Run(asio::awaitable<void> work) {
    bool done = false;
    Spawn(io_.get_executor(), Note(std::move(work), done), "bench");
    while (!done) io_.run_one();
  }

  InodeId MakeFolder(const std::string& name) {
    InodeId made{0};
    Run(MakeFolder(name, made));
    return made;
  }

  // Lets so many callers work at once, each with one call in flight. Returns the seconds taken.
  double Together(uint32_t callers, InodeId parent, Work& work) {
    work.next = 0;
    work.since = Stopwatch();
    work.running = callers;
    for (uint32_t i = 0; i < callers; ++i) {
      Spawn(io_.get_executor(), Toil(*filesystem_, parent, work), "caller");
    }
    while (work.running > 0) io_.run_one();
    return work.since.Seconds();
  }

 private:
  static asio::awaitable<void> Note(asio::awaitable<void> work, bool& done) {
    co_await std::move(work);
    done = true;
  }
  asio::awaitable<void> Connect(client::Options options) {
    auto connected = co_await Filesystem::Connect(io_.get_executor(), std::move(options));
    filesystem_ = Need(std::move(connected), "connect");
  }
  asio::awaitable<void> MakeFolder(std::string name, InodeId& made) {
    auto node =
        co_await filesystem_->MakeNode(filesystem_->root(), name, S_IFDIR | 0755, 0, Caller());
    made = InodeId{Need(std::move(node), "mkdir").inode()};
  }

  asio::io_context io_{1};
  std::unique_ptr<Filesystem> filesystem_;
};

// --- operations a second

struct Kind {
  const char* name;
  Operation operation;
  bool makes;  // names of its own, as many as the time allows
};

void MeasureRates(const BenchCluster& cluster, const Settings& settings) {
  Driver driver(cluster.address());
  std::printf("operations a second, by how many callers ask at once\n%-16s", "");
  for (const uint32_t callers : settings.callers) std::printf(" %9u", callers);
  std::printf("\n");
  // The first one makes the names that the others work on.
  const std::vector<Kind> kinds = {
      {"create", CreateFile, true},          {"lookup", StatFile, false},
      {"lookup + chmod", ChangeMode, false}, {"rename", RenameFile, false},
      {"unlink", UnlinkRenamed, false},      {"mkdir + rmdir", MakeAndRemoveFolder, true},
  };
  std::vector<InodeId> folders;
  for (const uint32_t callers : settings.callers) {
    folders.push_back(driver.MakeFolder("by-" + std::to_string(callers)));
  }
  std::vector<uint64_t> made(settings.callers.size(), 0);
  for (const Kind& kind : kinds) {
    std::printf("%-16s", kind.name);
    for (size_t i = 0; i < settings.callers.size(); ++i) {
      Work work{kind.operation, kind.makes ? UINT64_MAX : made[i]};
      if (kind.makes) work.seconds = settings.seconds;
      const double seconds = driver.Together(settings.callers[i], folders[i], work);
      if (&kind == &kinds.front()) made[i] = work.next;
      std::printf(" %9.0f", static_cast<double>(work.next) / seconds);
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

// --- a directory of very many files

asio::awaitable<void> ListAll(Filesystem& filesystem, InodeId folder, bool attributes,
                              uint64_t& entries) {
  uint64_t cookie = 0;
  for (bool end = false; !end;) {
    auto listed = co_await filesystem.ReadDirectory(folder, cookie, kPageEntries, attributes);
    const wire::MetaReply page = Need(std::move(listed), "list");
    entries += static_cast<uint64_t>(page.entries_size());
    if (page.entries_size() > 0) cookie = page.entries(page.entries_size() - 1).cookie();
    end = page.end();
  }
}

uint64_t OwnPeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

void Report(const BenchCluster& cluster, const char* what, uint64_t count, double seconds) {
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::printf(
      "%-21s %8.0f a second %7.2f s  memory of the master %4.0f MiB (most %4.0f), of the "
      "client (most) %3.0f; disk %4.0f MiB\n",
      what, static_cast<double>(count) / seconds, seconds, mib(cluster.ResidentBytes()),
      mib(cluster.PeakResidentBytes()), mib(OwnPeakBytes()), mib(cluster.DiskBytes()));
  std::fflush(stdout);
}

void MeasureScale(BenchCluster& cluster, uint64_t files) {
  std::printf("%lu files in one directory, %u callers\n", files, kCrowd);
  Driver driver(cluster.address());
  const InodeId folder = driver.MakeFolder("many");
  const uint64_t disk_before = cluster.DiskBytes();
  const uint64_t memory_before = cluster.ResidentBytes();

  Work create{CreateFile, files};
  const double created_s = driver.Together(kCrowd, folder, create);
  Report(cluster, "create", files, created_s);
  const auto per_file = [&](uint64_t now, uint64_t before) {
    return (static_cast<double>(now) - static_cast<double>(before)) / static_cast<double>(files);
  };
  std::printf("an inode               %9.0f bytes of disk, %.0f of the master's memory\n",
              per_file(cluster.DiskBytes(), disk_before),
              per_file(cluster.ResidentBytes(), memory_before));

  const double ready_s = Need(cluster.RestartMaster(), "restart");
  const Stopwatch since_ready;
  uint64_t first = 0;
  Work lookup{StatFile, 1};
  driver.Together(1, folder, lookup);
  std::printf("start after kill -9    %9.2f s; to the first answer %.2f s\n", ready_s,
              ready_s + since_ready.Seconds());

  for (const bool attributes : {false, true}) {
    uint64_t entries = 0;
    const Stopwatch listing;
    driver.Run(ListAll(driver.filesystem(), folder, attributes, entries));
    Report(cluster, attributes ? "list with attributes" : "list", entries, listing.Seconds());
  }
  Work stat{StatFile, files};
  const double looked_s = driver.Together(kCrowd, folder, stat);
  Report(cluster, "lookup", files, looked_s);
  Work unlink{UnlinkFile, files};
  const double unlinked_s = driver.Together(kCrowd, folder, unlink);
  Report(cluster, "unlink", files, unlinked_s);
  const Stopwatch listing;
  driver.Run(ListAll(driver.filesystem(), folder, false, first));
  Report(cluster, "list, now empty", first, listing.Seconds());
}

int Main(int argc, char** argv) {
  CLI::App app("Measures the master through the client library.", "names_bench");
  Settings settings;
  app.add_option("--folder", settings.folder, "Empty directory for the cluster")->required();
  app.add_option("--callers", settings.callers, "How many ask at once")->delimiter(',');
  app.add_option("--seconds", settings.seconds, "How long each kind makes names");
  app.add_option("--files", settings.files, "Also: so many files in one directory");
  if (const std::optional<int> status = ParseFlags(app, argc, argv)) return *status;
  std::filesystem::create_directories(settings.folder);
  const auto programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  BenchCluster cluster(programs, std::filesystem::absolute(settings.folder));
  Require(cluster.Start(), "start");
  MeasureRates(cluster, settings);
  if (settings.files > 0) MeasureScale(cluster, settings.files);
  return 0;
}

}  // namespace
}  // namespace ringfs::bench

int main(int argc, char** argv) { return ringfs::bench::Main(argc, argv); }
