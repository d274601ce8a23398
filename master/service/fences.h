#pragma once

#include <map>
#include <set>
#include <vector>

#include "common/ids.h"

namespace ringfs::master {

// Which chunkservers have still to confirm that nothing of an expired session is under way there.
// A session may be ended, and its locks given away, when none is left.
//
// Threads: none of its own and no locks.
class Fences {
 public:
  // Starts the fence of `session`, to be confirmed by `servers`: all that may hold a lease.
  void Start(SessionId session, const std::vector<ServerId>& servers);
  // `server` has confirmed, or has lost its lease and serves nobody (ServerLost).
  void Confirm(ServerId server, SessionId session);
  void ServerLost(ServerId server);
  // A server that has just got a lease confirms every fence that stands.
  void ServerRegistered(ServerId server);

  // What `server` has not confirmed yet.
  std::vector<SessionId> PendingOf(ServerId server) const;
  // Sessions whose fence is in force everywhere; each is returned until Forget().
  std::vector<SessionId> Complete() const;
  void Forget(SessionId session) { waiting_.erase(session); }
  bool Stands(SessionId session) const { return waiting_.contains(session); }

 private:
  std::map<SessionId, std::set<ServerId>> waiting_;
};

}  // namespace ringfs::master
