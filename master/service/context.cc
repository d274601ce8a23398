#include "master/service/context.h"

#include <string>

namespace ringfs::master {

Result<LiveSession*> SessionOf(Context& context, const rpc::Peer& peer, SessionId id) {
  if (id == SessionId{0} || RoleOf(peer).session != id) {
    return Fail(Errc::kNotPermitted,
                "session " + std::to_string(Raw(id)) + " was not opened on this connection");
  }
  LiveSession* session = context.sessions.Find(id);
  if (session == nullptr || session->fencing) {
    return Fail(Errc::kFenced, "session " + std::to_string(Raw(id)) + " has expired");
  }
  if (session->peer.get() != &peer) {
    return Fail(Errc::kUnavailable,
                "session " + std::to_string(Raw(id)) + " has a newer connection");
  }
  return session;
}

}  // namespace ringfs::master
