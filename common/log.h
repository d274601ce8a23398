#pragma once

#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

namespace ringfs {

// Sends the log to stderr, one line an event: time, level, program, text. `level` is one of trace,
// debug, info, warn, error. Returns false, and changes nothing, when it is none of them.
bool StartLog(std::string_view program, std::string_view level);

// `bytes` with everything that is not printable ASCII as \xNN: names of files are bytes, and a log
// line or a terminal must not be changed by them.
std::string Printable(std::string_view bytes);

}  // namespace ringfs
