#include "master/service/live_servers.h"

#include <utility>

namespace ringfs::master {

void LiveServers::AddLeased(ServerId id, int64_t lease_until_ns) {
  LiveServer& server = servers_[id];
  server.id = id;
  server.leased = true;
  server.lease_until_ns = lease_until_ns;
}

LiveServer& LiveServers::Register(ServerId id, uint64_t incarnation,
                                  std::shared_ptr<rpc::Peer> peer) {
  LiveServer& server = servers_[id];
  server.id = id;
  server.incarnation = incarnation;
  const std::shared_ptr<rpc::Peer> before = std::exchange(server.peer, std::move(peer));
  if (before && before != server.peer) before->Close();
  return server;
}

LiveServer* LiveServers::Find(ServerId id) {
  const auto found = servers_.find(id);
  return found == servers_.end() ? nullptr : &found->second;
}

const LiveServer* LiveServers::Find(ServerId id) const {
  const auto found = servers_.find(id);
  return found == servers_.end() ? nullptr : &found->second;
}

void LiveServers::Detach(ServerId id, const std::shared_ptr<rpc::Peer>& peer) {
  LiveServer* server = Find(id);
  if (server != nullptr && server->peer == peer) server->peer.reset();
}

void LiveServers::Renew(LiveServer& server, int64_t now_ns, int64_t lease_ns) {
  server.leased = true;
  server.lease_until_ns = now_ns + lease_ns;
  server.seen_ns = now_ns;
}

std::vector<ServerId> LiveServers::TakeExpired(int64_t now_ns) {
  std::vector<ServerId> expired;
  for (auto& [id, server] : servers_) {
    if (!server.leased || server.lease_until_ns > now_ns) continue;
    server.leased = false;
    expired.push_back(id);
  }
  return expired;
}

void LiveServers::Postpone(int64_t by_ns) {
  for (auto& [id, server] : servers_) server.lease_until_ns += by_ns;
}

std::vector<ServerId> LiveServers::Leased() const {
  std::vector<ServerId> leased;
  for (const auto& [id, server] : servers_) {
    if (server.leased) leased.push_back(id);
  }
  return leased;
}

void LiveServers::PushToAll(uint32_t method, const google::protobuf::MessageLite& message) const {
  for (const auto& [id, server] : servers_) {
    if (server.peer) server.peer->Push(method, message);
  }
}

}  // namespace ringfs::master
