#include "master/service/scrub_handler.h"

#include <algorithm>

#include "proto/session.pb.h"

namespace ringfs::master {
namespace {

bool KnowsOrder(const wire::ScrubReport& report, uint64_t order) {
  return (report.running() && report.now().order() == order) ||
         std::any_of(report.ended().begin(), report.ended().end(),
                     [&](const wire::ScrubPass& pass) { return pass.order() == order; });
}

}  // namespace

Result<wire::ScrubReply> OrderScrub(Context& context, const wire::ScrubRequest& request) {
  if (request.order() == 0) return Fail(Errc::kInvalid, "an order to scrub needs a number");
  wire::ScrubPush push;
  push.set_order(request.order());
  wire::ScrubReply reply;
  for (const auto& [id, server] : context.servers.all()) {
    if (!server.peer || !server.leased) continue;
    wire::ServerScrub& scrub = *reply.add_servers();
    scrub.set_server(Raw(id));
    const wire::ServerRecord* record = context.state.FindServer(id);
    if (record != nullptr) scrub.set_address(record->server().address());
    *scrub.mutable_report() = server.usage.scrub();
    if (!KnowsOrder(server.usage.scrub(), request.order())) {
      server.peer->Push(wire::MASTER_PUSH_SCRUB, push);
    }
  }
  return reply;
}

}  // namespace ringfs::master
