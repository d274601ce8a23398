#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "chunkserver/replication/seams.h"
#include "common/async.h"
#include "common/ids.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// Which sessions may change blocks, and which changes of theirs are unfinished.
//
// Threads: one.
class Fence {
 public:
  // Counts one ordered change of a session.
  class Change {
   public:
    Change(Fence& fence, SessionId session) : fence_(&fence), session_(session) {
      ++fence.unfinished_[session];
    }
    Change(Change&& other) noexcept
        : fence_(std::exchange(other.fence_, nullptr)), session_(other.session_) {}
    Change& operator=(Change&&) = delete;
    ~Change() {
      if (fence_ != nullptr) fence_->End(session_);
    }

   private:
    Fence* fence_;
    SessionId session_;
  };

  Fence(asio::any_io_executor executor, MasterCalls& master)
      : master_(master), changed_(std::move(executor)) {}

  // Asks the master about a session that is not known. kFenced: it is not live. kUnavailable and
  // others: the master cannot be asked.
  asio::awaitable<Result<void>> Admit(SessionId session);
  // Whether Admit() would succeed without asking. To be looked at in the moment a change is
  // ordered. kFenced only for what is known to be fenced: that a session is not known any more, since
  // contact with the master was lost after Admit(), is kUnavailable, and it may ask again.
  Result<void> CheckLive(SessionId session) const;

  // From now on nothing of these sessions is ordered.
  void Forbid(const std::vector<SessionId>& sessions);
  // As Forbid(); returns when nothing of them is unfinished.
  asio::awaitable<void> Close(std::vector<SessionId> sessions);
  // Contact with the master was lost for so long that sessions may have been fenced without us.
  void ForgetLive() { ++generation_, live_.clear(); }

 private:
  static constexpr size_t kFencedKept = 65536;
  static constexpr size_t kLiveKept = 1 << 20;

  void End(SessionId session);
  void Remember(SessionId fenced);

  MasterCalls& master_;
  uint64_t generation_ = 0;
  std::unordered_set<SessionId> live_;
  // The newest that were fenced: an answer of the master may have been on its way meanwhile.
  std::unordered_set<SessionId> fenced_;
  std::deque<SessionId> fenced_order_;
  std::unordered_map<SessionId, size_t> unfinished_;
  Event changed_;
};

}  // namespace ringfs::chunkserver
