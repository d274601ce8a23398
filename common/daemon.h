#pragma once

#include <CLI/CLI.hpp>
#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

// What every program of ours does in the same way when it starts and ends.
namespace ringfs {

// Adds --log-level and --version to `app`, parses, and starts the log (to stderr) under the name of
// `app`. Returns the exit status when the program is to end now: 0 after --help and --version,
// 2 with one line on stderr when the flags are wrong.
std::optional<int> ParseFlags(CLI::App& app, int argc, char** argv);

// Of an option: its value is to be HOST:PORT.
CLI::Validator IsHostPort();

// One line on stderr that says why the program cannot do its work, "PROGRAM: DETAIL"; returns the
// exit status, 1.
int FailToStart(std::string_view program, const Error& error);

// The exit status of a program that the master has removed from the cluster for good: to start it
// again cannot help.
inline constexpr int kRemovedStatus = 3;

// The program listens on `address` and works: says so on stdout, "PROGRAM ready: HOST:PORT", and to
// systemd when that waits for it.
void AnnounceReady(std::string_view program, std::string_view address);

// The program is about to end by order: tells systemd.
void AnnounceStopping();

// Waits for SIGTERM or SIGINT and returns which it was. A second one ends the program at once.
// kCancelled: the executor's context is ending.
asio::awaitable<Result<int>> WaitForEndSignal();

// A message of a peer that did not come is an error, not a signal: call it first in main().
void IgnoreBrokenPipes();

}  // namespace ringfs
