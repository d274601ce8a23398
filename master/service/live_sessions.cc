#include "master/service/live_sessions.h"

#include <algorithm>
#include <utility>

namespace ringfs::master {

LiveSession& LiveSessions::Add(SessionId id, int64_t ttl_ns, int64_t now_ns) {
  LiveSession& session = sessions_[id];
  session.id = id;
  session.ttl_ns = ttl_ns;
  session.expires_ns = now_ns + ttl_ns;
  return session;
}

LiveSession* LiveSessions::Find(SessionId id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : &found->second;
}

void LiveSessions::Attach(LiveSession& session, std::shared_ptr<rpc::Peer> peer, int64_t now_ns) {
  const std::shared_ptr<rpc::Peer> before = std::exchange(session.peer, std::move(peer));
  if (before && before != session.peer) before->Close();
  session.returned = true;
  session.greeted = false;
  Renew(session, now_ns);
}

void LiveSessions::Detach(SessionId id, const std::shared_ptr<rpc::Peer>& peer) {
  LiveSession* session = Find(id);
  if (session != nullptr && session->peer == peer) session->peer.reset();
}

std::vector<SessionId> LiveSessions::Expired(int64_t now_ns) const {
  std::vector<SessionId> expired;
  for (const auto& [id, session] : sessions_) {
    if (!session.fencing && session.expires_ns <= now_ns) expired.push_back(id);
  }
  return expired;
}

void LiveSessions::Postpone(int64_t by_ns) {
  for (auto& [id, session] : sessions_) session.expires_ns += by_ns;
}

size_t LiveSessions::Awaited() const {
  return static_cast<size_t>(std::count_if(sessions_.begin(), sessions_.end(), [](const auto& s) {
    return !s.second.returned && !s.second.fencing;
  }));
}

void LiveSessions::PushToAll(uint32_t method, const google::protobuf::MessageLite& message) const {
  for (const auto& [id, session] : sessions_) {
    if (session.peer && !session.fencing) session.peer->Push(method, message);
  }
}

}  // namespace ringfs::master
