#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "cli/commands/check.h"
#include "cli/format.h"
#include "cli/json.h"
#include "proto/scrub.pb.h"

namespace ringfs::cli {
namespace {

constexpr int64_t kAskEveryMs = 250;
constexpr int64_t kSayEveryAsks = 20;

uint64_t NewOrder() {
  std::random_device random;
  return (uint64_t{random()} << 32 | random()) | 1;
}

const wire::ScrubPass* EndedPass(const wire::ScrubReport& report, uint64_t order) {
  const auto found =
      std::find_if(report.ended().begin(), report.ended().end(),
                   [&](const wire::ScrubPass& pass) { return pass.order() == order; });
  return found == report.ended().end() ? nullptr : &*found;
}

std::string ProgressLine(const std::map<uint32_t, wire::ServerScrub>& servers, uint64_t order) {
  std::string line;
  for (const auto& [id, server] : servers) {
    const wire::ScrubPass* ended = EndedPass(server.report(), order);
    const bool mine = server.report().running() && server.report().now().order() == order;
    if (!line.empty()) line += ", ";
    if (ended != nullptr) {
      line += fmt::format("server {} done", id);
    } else if (mine) {
      line += fmt::format("server {} at {} of {}", id, server.report().now().blocks(),
                          Count(server.report().now().blocks_held(), "block"));
    } else {
      line += fmt::format("server {} waits", id);
    }
  }
  return line + "\n";
}

std::string Describe(const std::map<uint32_t, wire::ServerScrub>& servers, uint64_t order) {
  using Align = Table::Align;
  Table table({{"SERVER", Align::kRight},
               {"ADDRESS"},
               {"BLOCKS", Align::kRight},
               {"READ", Align::kRight},
               {"BAD", Align::kRight},
               {"REPAIRED", Align::kRight},
               {"TOOK", Align::kRight}});
  for (const auto& [id, server] : servers) {
    const wire::ScrubPass* pass = EndedPass(server.report(), order);
    if (pass == nullptr) continue;
    table.Add({std::to_string(id), Shown(server.address()), std::to_string(pass->blocks()),
               Bytes(pass->bytes()), std::to_string(pass->bad()),
               std::to_string(pass->repaired()), Duration(pass->took_ms())});
  }
  return table.ToString();
}

Json PassesOf(const std::map<uint32_t, wire::ServerScrub>& servers, uint64_t order) {
  Json json;
  json["servers"] = Json::array();
  for (const auto& [id, server] : servers) {
    const wire::ScrubPass* pass = EndedPass(server.report(), order);
    if (pass == nullptr) continue;
    Json entry = ToJson(*pass);
    entry.erase("order");
    entry["server"] = id;
    entry["address"] = server.address();
    json["servers"].push_back(std::move(entry));
  }
  return json;
}

Result<void> Judge(const std::map<uint32_t, wire::ServerScrub>& servers, uint64_t order) {
  uint64_t bad = 0;
  for (const auto& [id, server] : servers) {
    const wire::ScrubPass* pass = EndedPass(server.report(), order);
    if (pass == nullptr) {
      return Fail(Errc::kUnavailable,
                  fmt::format("server {} was lost before it had verified its blocks", id));
    }
    bad += pass->bad() - pass->repaired();
  }
  if (servers.empty()) return Fail(Errc::kUnavailable, "no chunkserver is in contact");
  if (bad == 0) return {};
  return Fail(Errc::kCorrupted,
              Count(bad, "copy") + " of blocks not whole, and not repaired: the logs of the "
                                   "chunkservers name them");
}

}  // namespace

Result<Finding> Scrub(Master& master, Output output,
                      const std::function<void(const std::string&)>& progress) {
  wire::ScrubRequest request;
  request.set_order(NewOrder());
  std::map<uint32_t, wire::ServerScrub> servers;
  for (int64_t asked = 1;; ++asked) {
    const auto reply = master.Ask<wire::ScrubReply>(wire::MASTER_SCRUB, request);
    if (!reply) return Fail(reply.error());
    bool all = true;
    for (const wire::ServerScrub& server : reply->servers()) {
      servers[server.server()] = server;
      all = all && EndedPass(server.report(), request.order()) != nullptr;
    }
    if (all) break;
    if (output == Output::kText && asked % kSayEveryAsks == 0) {
      progress(ProgressLine(servers, request.order()));
    }
    master.Pause(kAskEveryMs);
  }
  Finding finding;
  finding.text = output == Output::kJson ? ToText(PassesOf(servers, request.order()))
                                         : Describe(servers, request.order());
  finding.verdict = Judge(servers, request.order());
  return finding;
}

}  // namespace ringfs::cli
