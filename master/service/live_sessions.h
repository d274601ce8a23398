#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/rpc/server.h"

namespace ringfs::master {

// What the master knows of a session besides the state machine: its connection and its time.
struct LiveSession {
  SessionId id{0};
  int64_t ttl_ns = 0;
  int64_t expires_ns = 0;           // by the monotonic clock
  std::shared_ptr<rpc::Peer> peer;  // the newest connection; null: none
  bool returned = false;            // it has been seen since this master started
  bool fencing = false;             // expired; waits for the chunkservers
  bool given_up = false;            // the client knows that it has expired
  bool greeted = false;             // has the answer to its OpenSession on this connection
  uint32_t held = 0;                // requests of it that wait for something
  uint64_t answers_wait_for = 0;    // the change that an answer to it waits for to be on the disk
};

// The sessions of the state machine that have not ended, with their time to live.
//
// Invariant: a session that is fencing never becomes live again.
// Threads:   none of its own and no locks.
class LiveSessions {
 public:
  // A session that was just opened, or one found in the state when the master started.
  LiveSession& Add(SessionId id, int64_t ttl_ns, int64_t now_ns);
  void Remove(SessionId id) { sessions_.erase(id); }
  // Null when there is none.
  LiveSession* Find(SessionId id);

  // Makes `peer` the connection of `session` and ends the one before.
  void Attach(LiveSession& session, std::shared_ptr<rpc::Peer> peer, int64_t now_ns);
  // `peer` is gone; the session waits for another until it expires.
  void Detach(SessionId id, const std::shared_ptr<rpc::Peer>& peer);
  void Renew(LiveSession& session, int64_t now_ns) { session.expires_ns = now_ns + session.ttl_ns; }

  // Live sessions whose time has passed.
  std::vector<SessionId> Expired(int64_t now_ns) const;
  // Gives all sessions `by_ns` more: the master itself stood still for so long.
  void Postpone(int64_t by_ns);
  // Live sessions of an earlier run of the master that have neither returned nor expired yet.
  size_t Awaited() const;
  // Sends to every live session that is connected.
  void PushToAll(uint32_t method, const google::protobuf::MessageLite& message) const;

  const std::map<SessionId, LiveSession>& all() const { return sessions_; }

 private:
  std::map<SessionId, LiveSession> sessions_;
};

}  // namespace ringfs::master
