#include "master/service/fences.h"

namespace ringfs::master {

void Fences::Start(SessionId session, const std::vector<ServerId>& servers) {
  waiting_.try_emplace(session, servers.begin(), servers.end());
}

void Fences::Confirm(ServerId server, SessionId session) {
  const auto found = waiting_.find(session);
  if (found != waiting_.end()) found->second.erase(server);
}

void Fences::ServerLost(ServerId server) {
  for (auto& [session, servers] : waiting_) servers.erase(server);
}

void Fences::ServerRegistered(ServerId server) {
  for (auto& [session, servers] : waiting_) servers.insert(server);
}

std::vector<SessionId> Fences::PendingOf(ServerId server) const {
  std::vector<SessionId> pending;
  for (const auto& [session, servers] : waiting_) {
    if (servers.contains(server)) pending.push_back(session);
  }
  return pending;
}

std::vector<SessionId> Fences::Complete() const {
  std::vector<SessionId> complete;
  for (const auto& [session, servers] : waiting_) {
    if (servers.empty()) complete.push_back(session);
  }
  return complete;
}

}  // namespace ringfs::master
