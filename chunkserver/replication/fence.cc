#include "chunkserver/replication/fence.h"

#include <algorithm>
#include <string>

namespace ringfs::chunkserver {
namespace {

Failure Fenced(SessionId session) {
  return Fail(Errc::kFenced, "session " + std::to_string(Raw(session)) + " has expired");
}

}  // namespace

asio::awaitable<Result<void>> Fence::Admit(SessionId session) {
  if (live_.contains(session)) co_return Result<void>();
  if (fenced_.contains(session)) co_return Fenced(session);
  const uint64_t asked = generation_;
  const Result<bool> live = co_await master_.IsLive(session);
  if (!live) co_return Fail(live.error());
  if (!*live || fenced_.contains(session)) co_return Fenced(session);
  if (asked != generation_) co_return Fail(Errc::kUnavailable, "lost contact with the master");
  if (live_.size() >= kLiveKept) live_.clear();
  live_.insert(session);
  co_return Result<void>();
}

Result<void> Fence::CheckLive(SessionId session) const {
  if (live_.contains(session)) return {};
  if (fenced_.contains(session)) return Fenced(session);
  return Fail(Errc::kUnavailable, "lost contact with the master");
}

void Fence::Forbid(const std::vector<SessionId>& sessions) {
  for (const SessionId session : sessions) {
    live_.erase(session);
    Remember(session);
  }
}

asio::awaitable<void> Fence::Close(std::vector<SessionId> sessions) {
  Forbid(sessions);
  const auto unfinished = [this](SessionId session) { return unfinished_.contains(session); };
  while (std::any_of(sessions.begin(), sessions.end(), unfinished)) co_await changed_.Wait();
}

void Fence::End(SessionId session) {
  const auto found = unfinished_.find(session);
  if (--found->second > 0) return;
  unfinished_.erase(found);
  changed_.NotifyAll();
}

void Fence::Remember(SessionId fenced) {
  if (!fenced_.insert(fenced).second) return;
  fenced_order_.push_back(fenced);
  if (fenced_order_.size() <= kFencedKept) return;
  fenced_.erase(fenced_order_.front());
  fenced_order_.pop_front();
}

}  // namespace ringfs::chunkserver
