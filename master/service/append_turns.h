#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "common/ids.h"

namespace ringfs::master {

// Who may append to a file: one session at a time, in the order in which they asked. Lives in
// memory only: a session says again after a reconnect which turns it holds. So after a restart of
// the master no turn is given until Open(): somebody who has not come back yet may hold it.
//
// Threads: none of its own and no locks.
class AppendTurns {
 public:
  // Everybody who may hold a turn has said so. Returns the inodes whose turn was given thereby.
  std::vector<InodeId> Open();
  // Queues `session` for the turn of `inode`, unless it waits or holds it already; then it keeps
  // its place. Returns the ticket of this wait; an older one of the same session is void.
  uint64_t Begin(InodeId inode, SessionId session);
  bool Holds(InodeId inode, SessionId session) const;
  // Gives back the turn, or the place in the queue. True when the turn has passed on.
  bool End(InodeId inode, SessionId session);
  // Gives up the wait with this ticket, unless it has become the turn.
  void Withdraw(InodeId inode, SessionId session, uint64_t ticket);
  // The session has a new connection: it holds the turns of `held` and wants no other. Returns the
  // inodes whose turn has passed on.
  std::vector<InodeId> Reassert(SessionId session, const std::set<InodeId>& held);
  std::vector<InodeId> EndSession(SessionId session) { return Reassert(session, {}); }

  // Inodes that somebody holds or waits for.
  size_t size() const { return queues_.size(); }

 private:
  struct Wait {
    SessionId session;
    uint64_t ticket;
  };
  struct Queue {
    std::optional<SessionId> holder;
    std::deque<Wait> waiting;
  };

  bool PassOn(Queue& queue);

  bool open_ = false;
  std::unordered_map<InodeId, Queue> queues_;  // none that is empty
  uint64_t last_ticket_ = 0;
};

}  // namespace ringfs::master
