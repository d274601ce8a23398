#include "master/service/append_turns.h"

#include <algorithm>

namespace ringfs::master {
namespace {

auto WaitOf(auto& waiting, SessionId session) {
  return std::find_if(waiting.begin(), waiting.end(),
                      [session](const auto& wait) { return wait.session == session; });
}

}  // namespace

std::vector<InodeId> AppendTurns::Open() {
  open_ = true;
  std::vector<InodeId> given;
  for (auto& [inode, queue] : queues_) {
    if (!queue.holder && PassOn(queue)) given.push_back(inode);
  }
  return given;
}

uint64_t AppendTurns::Begin(InodeId inode, SessionId session) {
  Queue& queue = queues_[inode];
  const uint64_t ticket = ++last_ticket_;
  if (queue.holder == session) return ticket;
  const auto wait = WaitOf(queue.waiting, session);
  if (wait != queue.waiting.end()) {
    wait->ticket = ticket;
    return ticket;
  }
  queue.waiting.push_back(Wait{session, ticket});
  if (!queue.holder) PassOn(queue);
  return ticket;
}

bool AppendTurns::Holds(InodeId inode, SessionId session) const {
  const auto found = queues_.find(inode);
  return found != queues_.end() && found->second.holder == session;
}

bool AppendTurns::End(InodeId inode, SessionId session) {
  const auto found = queues_.find(inode);
  if (found == queues_.end()) return false;
  Queue& queue = found->second;
  bool passed_on = false;
  if (queue.holder == session) {
    queue.holder.reset();
    passed_on = PassOn(queue);
  } else if (const auto wait = WaitOf(queue.waiting, session); wait != queue.waiting.end()) {
    queue.waiting.erase(wait);
  }
  if (!queue.holder && queue.waiting.empty()) queues_.erase(found);
  return passed_on;
}

void AppendTurns::Withdraw(InodeId inode, SessionId session, uint64_t ticket) {
  const auto found = queues_.find(inode);
  if (found == queues_.end()) return;
  Queue& queue = found->second;
  const auto wait = WaitOf(queue.waiting, session);
  if (wait == queue.waiting.end() || wait->ticket != ticket) return;
  queue.waiting.erase(wait);
  if (!queue.holder && queue.waiting.empty()) queues_.erase(found);
}

std::vector<InodeId> AppendTurns::Reassert(SessionId session, const std::set<InodeId>& held) {
  std::vector<InodeId> to_end;
  for (const auto& [inode, queue] : queues_) {
    const bool keeps = queue.holder == session && held.contains(inode);
    const bool waits = WaitOf(queue.waiting, session) != queue.waiting.end();
    if (!keeps && (queue.holder == session || waits)) to_end.push_back(inode);
  }
  std::vector<InodeId> passed_on;
  for (const InodeId inode : to_end) {
    if (End(inode, session)) passed_on.push_back(inode);
  }
  for (const InodeId inode : held) {
    // Another holder means that this session has not held it: its turn had passed on.
    Queue& queue = queues_[inode];
    if (!queue.holder) queue.holder = session;
  }
  return passed_on;
}

bool AppendTurns::PassOn(Queue& queue) {
  if (!open_ || queue.waiting.empty()) return false;
  queue.holder = queue.waiting.front().session;
  queue.waiting.pop_front();
  return true;
}

}  // namespace ringfs::master
