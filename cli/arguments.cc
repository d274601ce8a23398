#include "cli/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "cli/local/cluster_files.h"
#include "cli/local/local_cluster.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/ring/ring.h"

namespace ringfs::cli {
namespace {

CLI::Validator IsSession() {
  return CLI::Validator(
      [](std::string& value) {
        const bool digits = value.find_first_not_of("0123456789") == std::string::npos;
        return digits && value != "0" ? std::string()
                                      : "'" + Printable(value) + "' is not the number of a session";
      },
      "");
}

CLI::Validator IsBlockSize() {
  return CLI::Validator(
      [](std::string& value) {
        const uint64_t size = std::strtoull(value.c_str(), nullptr, 10);
        const bool good =
            std::has_single_bit(size) && size >= kMinBlockSize && size <= kMaxBlockSize;
        return good ? std::string() : value + " bytes is not a power of two from 64K to 64M";
      },
      "");
}

// 1 to `max`. As CLI::Range, but words are not called a number out of range.
CLI::Validator IsCount(uint32_t max) {
  return CLI::Validator(
      [max](std::string& value) {
        if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos) {
          return "'" + Printable(value) + "' is not a number";
        }
        uint32_t number = 0;
        const char* end = value.data() + value.size();
        const bool fits = std::from_chars(value.data(), end, number).ec == std::errc();
        if (fits && number >= 1 && number <= max) return std::string();
        return fmt::format("{} is not in 1 to {}", value, max);
      },
      "");
}

// The parser, and what it fills.
//
// Invariant: the parser refers to members; neither moves.
class CommandLine {
 public:
  CommandLine() {
    app_.set_version_flag("--version", "ringfs " RINGFS_VERSION);
    app_.require_subcommand(1);
    app_.footer(
        "--master may be left out where one ringfs is mounted, in a folder of a mount, or with\n"
        "RINGFS_MASTER=HOST:PORT[,HOST:PORT...] in the environment.\n"
        "ringfs COMMAND --help says more.");
    AddLocal();
    AddShows();
    AddServers();
    AddLocks();
    AddChecks();
  }
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  Result<Arguments> Parse(const std::vector<std::string>& words);

 private:
  CLI::App* Add(CLI::App* parent, const char* name, const char* text, Action action);
  CLI::App* AddQuery(CLI::App* parent, const char* name, const char* text, Action action);
  void AddLocal();
  void AddShows();
  void AddServers();
  void AddLocks();
  void AddChecks();

  CLI::App app_{"ringfs: starts, shows and administers a ringfs cluster", "ringfs"};
  Arguments arguments_;
  bool json_ = false;
  uint32_t chunkservers_ = 0;
  uint32_t replicas_ = 0;
};

CLI::App* CommandLine::Add(CLI::App* parent, const char* name, const char* text, Action action) {
  CLI::App* command = parent->add_subcommand(name, text);
  command->callback([this, command, action] {
    // Of a command within a command the inner one counts.
    if (command->get_subcommands().empty()) arguments_.action = action;
  });
  command->add_flag("--json", json_, "for programs");
  return command;
}

CLI::App* CommandLine::AddQuery(CLI::App* parent, const char* name, const char* text,
                                Action action) {
  CLI::App* command = Add(parent, name, text, action);
  command->add_option("--master", arguments_.master, "HOST:PORT[,HOST:PORT...] of the master");
  return command;
}

void CommandLine::AddLocal() {
  CLI::App* up = Add(&app_, "up", "Start a cluster on this machine and mount it", Action::kUp);
  up->add_option("MOUNTPOINT", arguments_.mountpoint, "where; made if it is not there")->required();
  up->add_option("--chunkservers", chunkservers_, "how many (3); more than before adds some")
      ->check(IsCount(kChunkserversMax));
  up->add_option("--replicas", replicas_, "copies of all data (2); only of a new cluster")
      ->check(IsCount(kMaxReplicas));
  up->add_option("--data", arguments_.data,
                 "folder for everything (/var/lib/ringfs/ and the mountpoint with - for /)");

  CLI::App* down =
      Add(&app_, "down", "Unmount and stop what `up` started; the data stays", Action::kDown);
  down->add_option("MOUNTPOINT", arguments_.mountpoint, "as for up")->required();
  down->add_option("--data", arguments_.data, "as for up");
}

void CommandLine::AddShows() {
  AddQuery(&app_, "status", "How the cluster is", Action::kStatus);
  AddQuery(&app_, "ring", "What each chunkserver has and should have of the data", Action::kRing);
  CLI::App* where =
      AddQuery(&app_, "where", "Which chunkservers have the blocks of a file", Action::kWhere);
  where->add_option("FILE", arguments_.file, "on a mount, or from the root of the filesystem")
      ->required();
  where->add_flag("--all", arguments_.all, "all blocks of a long file");
  CLI::App* policy = AddQuery(
      &app_, "policy", "How the files that are made in a directory are kept", Action::kPolicy);
  policy->add_option("DIR", arguments_.file, "on a mount, or from the root of the filesystem")
      ->required();
  policy->add_option("--replicas", arguments_.policy_replicas, "copies of what is made in it from now on")
      ->check(IsCount(kMaxReplicas));
  policy
      ->add_option("--block-size", arguments_.policy_block_size,
                   "of the same: a power of two from 64K to 64M")
      ->transform(CLI::AsSizeValue(false))
      ->check(IsBlockSize());
  AddQuery(&app_, "sessions", "Who has it mounted", Action::kSessions);
  AddQuery(&app_, "stats", "The figures of the master and of each chunkserver", Action::kStats);
  CLI::App* sync =
      AddQuery(&app_, "sync", "Flush everything that was written to all disks", Action::kSync);
  sync->add_option("MOUNTPOINT", arguments_.mountpoint, "a mount of the cluster, or a file on it");
  CLI::App* backup =
      AddQuery(&app_, "backup", "Copy the master's state into a file, while it serves", Action::kBackup);
  backup->add_option("FILE", arguments_.backup_file, "replaced when the copy is complete")->required();
  CLI::App* explain = Add(&app_, "explain", "What went wrong on a mount of this machine, and what to do",
                          Action::kExplain);
  explain->add_option("MOUNTPOINT", arguments_.mountpoint, "of a ringfs, or a file on it")->required();
}

void CommandLine::AddServers() {
  CLI::App* servers =
      AddQuery(&app_, "servers", "The chunkservers, and orders to them", Action::kServers);
  servers->require_subcommand(0, 1);
  auto add_order = [&](const char* name, const char* text, wire::ServerOrder order) {
    CLI::App* command = AddQuery(servers, name, text, Action::kOrderServer);
    command->add_option("SERVER", arguments_.server, "its number, address or uuid")->required();
    command->parse_complete_callback([this, order] { arguments_.order = order; });
    return command;
  };
  add_order("drain", "Empty a server", wire::SERVER_ORDER_DRAIN);
  add_order("undrain", "Let a drained server take part again", wire::SERVER_ORDER_UNDRAIN);
  CLI::App* remove = add_order("remove", "Forget a server for good, after drain",
                               wire::SERVER_ORDER_REMOVE);
  remove->footer(
      "Drain it first, with `ringfs servers drain SERVER`. It is safe when `ringfs ring` shows it as\n"
      "MEMBER of 0 buckets: before, a copy of its data is missing until it is made anew, and the\n"
      "master refuses when there is no other. It cannot come back with its data: a chunkserver that\n"
      "is started on that ends at once.");
  CLI::App* weight =
      add_order("weight", "Set a server's share (100 is ordinary)", wire::SERVER_ORDER_WEIGHT);
  weight->add_option("WEIGHT", arguments_.weight)->required()->check(IsCount(1u << 20));
}

void CommandLine::AddLocks() {
  CLI::App* locks = AddQuery(&app_, "locks", "Who holds and who waits for locks", Action::kLocks);
  locks->add_option("FILE", arguments_.file, "only of this file");
  locks->require_subcommand(0, 1);
  CLI::App* break_locks =
      AddQuery(locks, "break", "End a session, and so free its locks", Action::kBreakLocks);
  break_locks->add_option("SESSION", arguments_.session, "its number")
      ->required()
      ->check(IsSession());
}

void CommandLine::AddChecks() {
  AddQuery(&app_, "scrub", "Verify all blocks on all disks, and repair them", Action::kScrub);
  AddQuery(&app_, "fsck", "Compare the files with the blocks on all disks", Action::kFsck);
}

Result<Arguments> CommandLine::Parse(const std::vector<std::string>& words) {
  try {
    app_.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::Success& wanted) {
    std::ostringstream text;
    app_.exit(wanted, text, text);
    arguments_.action = Action::kHelp;
    arguments_.help = text.str();
    return arguments_;
  } catch (const CLI::ParseError& wrong) {
    if (app_.get_subcommands().empty() && !words.empty() && !words[0].starts_with('-')) {
      return Fail(Errc::kInvalid,
                  "unknown command '" + Printable(words[0]) + "' (--help lists them)");
    }
    if (app_.get_subcommands().empty() && !words.empty()) {
      return Fail(Errc::kInvalid, "unknown flag '" + Printable(words[0]) + "' (--help lists them)");
    }
    return Fail(Errc::kInvalid, Printable(wrong.what()) + " (--help says more)");
  }
  if (chunkservers_ > 0) arguments_.chunkservers = chunkservers_;
  if (replicas_ > 0) arguments_.replicas = replicas_;
  if (json_) arguments_.output = Output::kJson;
  return arguments_;
}

}  // namespace

Result<Arguments> ParseArguments(const std::vector<std::string>& words) {
  return CommandLine().Parse(words);
}

}  // namespace ringfs::cli
