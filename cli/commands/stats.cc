#include <fmt/format.h>

#include <cmath>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "common/log.h"
#include "proto/chunk.pb.h"
#include "proto/stats.pb.h"

namespace ringfs::cli {
namespace {

constexpr std::string_view kCallPrefix = "ringfs_call";

// The figures of one program, or why there are none.
struct ProgramStats {
  std::string name;  // "master", "chunkserver 3"
  std::string address;
  Result<wire::StatsReply> stats = wire::StatsReply();
};

std::string ShortTime(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.1f} s", seconds);
}

// The bound below which 99 of 100 lie.
std::string Quantile99(const wire::Metric& histogram) {
  if (histogram.count() == 0) return "-";
  const double rank = 0.99 * static_cast<double>(histogram.count());
  const int known = std::min(histogram.bounds_size(), histogram.counts_size());
  for (int i = 0; i < known; ++i) {
    if (static_cast<double>(histogram.counts(i)) >= rank) {
      return "< " + ShortTime(histogram.bounds(i));
    }
  }
  return "longer";
}

std::string Mean(const wire::Metric& histogram) {
  if (histogram.count() == 0) return "-";
  return ShortTime(histogram.sum() / static_cast<double>(histogram.count()));
}

// The value of a counter by the kind of the calls.
uint64_t OfKind(const wire::StatsReply& stats, std::string_view name, const std::string& kind) {
  for (const wire::Metric& metric : stats.metrics()) {
    if (metric.name() == name && metric.label_value() == kind) {
      return static_cast<uint64_t>(metric.value());
    }
  }
  return 0;
}

std::string DescribeCalls(const wire::StatsReply& stats) {
  using Align = Table::Align;
  Table table({{"  CALL"},
               {"CALLS", Align::kRight},
               {"ERRORS", Align::kRight},
               {"RECEIVED", Align::kRight},
               {"SENT", Align::kRight},
               {"MEAN", Align::kRight},
               {"99 %", Align::kRight}});
  for (const wire::Metric& metric : stats.metrics()) {
    if (metric.name() != "ringfs_call_seconds" || metric.count() == 0) continue;
    const std::string& kind = metric.label_value();
    table.Add({"  " + Shown(kind), std::to_string(metric.count()),
               std::to_string(OfKind(stats, "ringfs_call_errors_total", kind)),
               Bytes(OfKind(stats, "ringfs_call_received_bytes_total", kind)),
               Bytes(OfKind(stats, "ringfs_call_sent_bytes_total", kind)), Mean(metric),
               Quantile99(metric)});
  }
  return table.empty() ? "" : table.ToString();
}

std::string DescribeValue(const wire::Metric& metric) {
  if (metric.kind() == wire::METRIC_HISTOGRAM) {
    return fmt::format("{}, mean {}, 99 % {}", metric.count(), Mean(metric), Quantile99(metric));
  }
  if (metric.name().find("bytes") != std::string::npos) {
    return Bytes(static_cast<uint64_t>(std::max(0.0, metric.value())));
  }
  if (metric.name().find("seconds") != std::string::npos) return ShortTime(metric.value());
  return fmt::format("{:.0f}", metric.value());
}

std::string Describe(const ProgramStats& program) {
  std::string text = fmt::format("{} at {}\n", program.name, Shown(program.address));
  if (!program.stats) return text + "  " + Printable(program.stats.error().detail) + "\n";
  text += DescribeCalls(*program.stats);
  std::vector<std::pair<std::string, std::string>> lines;
  for (const wire::Metric& metric : program.stats->metrics()) {
    const bool of_a_kind = metric.name().starts_with(kCallPrefix) && !metric.label().empty();
    if (of_a_kind) continue;
    std::string name = metric.name();
    if (!metric.label().empty()) name += " " + metric.label_value();
    lines.emplace_back("  " + Shown(name), DescribeValue(metric));
  }
  return text + Labelled(lines);
}

Json JsonOf(const ProgramStats& program) {
  Json json;
  json["program"] = program.name;
  json["address"] = program.address;
  if (program.stats) {
    json["metrics"] = ToJson(*program.stats)["metrics"];
  } else {
    json["error"] = program.stats.error().ToString();
  }
  return json;
}

std::vector<ProgramStats> AskAll(Master& master, const wire::StatusReply& status) {
  std::vector<ProgramStats> programs;
  ProgramStats own{"master", master.name()};
  own.stats = master.Ask<wire::StatsReply>(wire::MASTER_STATS, wire::StatsRequest());
  programs.push_back(std::move(own));
  for (const wire::Server& server : status.servers()) {
    if (server.state() == wire::SERVER_GONE) continue;
    ProgramStats one{fmt::format("chunkserver {}", server.id()), server.address()};
    if (IsUp(server)) {
      Master asked({server.address()});
      one.stats = asked.Ask<wire::StatsReply>(wire::CHUNK_STATS, wire::StatsRequest());
    } else {
      one.stats = Fail(Errc::kUnavailable, "is down");
    }
    programs.push_back(std::move(one));
  }
  return programs;
}

}  // namespace

Result<std::string> ShowStats(Master& master, Output output) {
  const auto status = master.Ask<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  if (!status) return Fail(status.error());
  const std::vector<ProgramStats> programs = AskAll(master, *status);
  std::string text;
  Json json = Json::array();
  for (const ProgramStats& program : programs) {
    text += (text.empty() ? "" : "\n") + Describe(program);
    json.push_back(JsonOf(program));
  }
  return output == Output::kText ? text : ToText(json);
}

}  // namespace ringfs::cli
