#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"

namespace ringfs::cli {
namespace {

std::string Describe(const google::protobuf::RepeatedPtrField<wire::Server>& servers) {
  using Align = Table::Align;
  Table table({{"ID", Align::kRight},
               {"ADDRESS"},
               {"STATE"},
               {"ZONE"},
               {"HOST"},
               {"WEIGHT", Align::kRight},
               {"USED", Align::kRight},
               {"CAPACITY", Align::kRight},
               {"FULL", Align::kRight},
               {"BLOCKS", Align::kRight},
               {"FAILED DISKS", Align::kRight},
               {"LAST SEEN", Align::kRight},
               {"VERSION"}});
  for (const wire::Server& server : servers) {
    if (server.state() == wire::SERVER_GONE) continue;
    table.Add({std::to_string(server.id()), Shown(server.address()), StateOf(server),
               server.zone().empty() ? "-" : Shown(server.zone()),
               server.host().empty() ? "-" : Shown(server.host()), std::to_string(server.weight()),
               Bytes(server.used_bytes()), Bytes(server.capacity_bytes()),
               Percent(server.used_bytes(), server.capacity_bytes()),
               std::to_string(server.blocks()), std::to_string(server.failed_stores()),
               server.last_seen_ms_ago() < 0 ? "never" : Duration(server.last_seen_ms_ago()),
               Shown(server.version())});
  }
  return table.empty() ? "no chunkserver has registered yet\n" : table.ToString();
}

std::string_view NameOf(wire::ServerOrder order) {
  switch (order) {
    case wire::SERVER_ORDER_DRAIN:
      return "drain";
    case wire::SERVER_ORDER_UNDRAIN:
      return "undrain";
    case wire::SERVER_ORDER_REMOVE:
      return "remove";
    default:
      return "weight";
  }
}

std::string DescribeAsJson(const wire::ServerOrderRequest& ordered) {
  Json json{{"server", ordered.server()}, {"order", NameOf(ordered.order())}};
  if (ordered.order() == wire::SERVER_ORDER_WEIGHT) json["weight"] = ordered.weight();
  return ToText(json);
}

}  // namespace

std::string StateOf(const wire::Server& server) {
  switch (server.state()) {
    case wire::SERVER_UP:
      return "up";
    case wire::SERVER_DOWN:
      return "down";
    case wire::SERVER_DRAINING:
      return "draining";
    case wire::SERVER_GONE:
      return "gone";
    default:
      return "unknown";
  }
}

bool IsUp(const wire::Server& server) {
  return server.state() == wire::SERVER_UP || server.state() == wire::SERVER_DRAINING;
}

Result<std::string> ShowServers(Master& master, Output output) {
  const auto status = master.Ask<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest());
  if (!status) return Fail(status.error());
  if (output == Output::kText) return Describe(status->servers());
  Json json;
  json["servers"] = ToJson(*status)["servers"];
  return ToText(json);
}

Result<std::string> OrderServer(Master& master, const std::string& server, wire::ServerOrder order,
                                uint32_t weight, Output output) {
  wire::ServerOrderRequest request;
  request.set_server(server);
  request.set_order(order);
  request.set_weight(weight);
  const auto reply = master.Ask<wire::ServerOrderReply>(wire::MASTER_SERVER_ORDER, request);
  if (!reply) return Fail(reply.error());
  if (output == Output::kJson) return DescribeAsJson(request);
  const std::string name = Shown(server);
  switch (order) {
    case wire::SERVER_ORDER_DRAIN:
      return fmt::format("server {} is being emptied; `ringfs ring` shows what it still holds\n",
                         name);
    case wire::SERVER_ORDER_UNDRAIN:
      return fmt::format("server {} takes part again\n", name);
    case wire::SERVER_ORDER_REMOVE:
      return fmt::format("server {} is removed for good\n", name);
    default:
      return fmt::format("server {} has the weight {}\n", name, weight);
  }
}

}  // namespace ringfs::cli
