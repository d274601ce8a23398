#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"

namespace ringfs::cli {
namespace {

std::string StateOf(const wire::SessionInfo& session) {
  if (session.fencing()) return "expired";  // its locks are given away once all servers know
  return session.connected() ? "connected" : "away";
}

std::string Describe(const wire::ListSessionsReply& reply) {
  using Align = Table::Align;
  Table table({{"SESSION", Align::kRight},
               {"HOST"},
               {"PID", Align::kRight},
               {"MOUNTPOINT"},
               {"STATE"},
               {"ADDRESS"},
               {"AGE", Align::kRight},
               {"EXPIRES IN", Align::kRight},
               {"OPEN FILES", Align::kRight},
               {"LOCKS", Align::kRight},
               {"VERSION"}});
  for (const wire::SessionInfo& session : reply.sessions()) {
    table.Add({std::to_string(session.session()), Shown(session.host()),
               std::to_string(session.pid()), Shown(session.mountpoint()), StateOf(session),
               session.address().empty() ? "-" : Shown(session.address()),
               Duration(session.age_ms()), Duration(session.expires_in_ms()),
               std::to_string(session.open_files()), std::to_string(session.locks()),
               Shown(session.version())});
  }
  return table.empty() ? "nobody has this filesystem mounted\n" : table.ToString();
}

}  // namespace

Result<std::string> ShowSessions(Master& master, Output output) {
  const auto reply =
      master.Ask<wire::ListSessionsReply>(wire::MASTER_LIST_SESSIONS, wire::ListSessionsRequest());
  if (!reply) return Fail(reply.error());
  return output == Output::kText ? Describe(*reply) : ToText(ToJson(*reply));
}

}  // namespace ringfs::cli
