#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>

#include "chunkserver/replication/map.h"
#include "common/async.h"

namespace ringfs::chunkserver {

// What a server remembers of a bucket beside the map: only in memory, since a server that restarts
// comes back in a new bucket version.
//
// Threads: one.
class BucketState {
 public:
  // Counts one change of the bucket that is under way, from its admission to its end.
  class Change {
   public:
    Change(BucketState& state, uint64_t bucket_version)
        : state_(&state), number_(state.Begin(bucket_version)) {}
    Change(Change&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)), number_(other.number_) {}
    Change& operator=(Change&&) = delete;
    ~Change() {
      if (state_ != nullptr) state_->End(number_);
    }

   private:
    BucketState* state_;
    uint64_t number_;
  };

  explicit BucketState(const asio::any_io_executor& executor) : changed_(executor) {}

  // The newest version that a head has shown: changes of older ones are refused.
  uint64_t seen() const { return seen_; }
  void See(uint64_t bucket_version) { seen_ = std::max(seen_, bucket_version); }

  // Waits until no change that was admitted in a version before `bucket_version` is under way.
  asio::awaitable<void> OlderChangesEnd(uint64_t bucket_version);
  // Waits until no change is under way that is now.
  asio::awaitable<void> PresentChangesEnd();

  // The version that this server, as the head, has made all members equal in; 0: none.
  uint64_t active_version = 0;
  bool activating = false;
  // Syncing members whose answers count, in `compulsory_version`.
  std::set<ServerId> compulsory;
  uint64_t compulsory_version = 0;
  // A coroutine is copying the bucket to here, for this version.
  uint64_t copying_version = 0;
  Event& changed() { return changed_; }

 private:
  uint64_t Begin(uint64_t bucket_version);
  void End(uint64_t number);

  uint64_t seen_ = 0;
  uint64_t next_number_ = 0;
  std::map<uint64_t, uint64_t> under_way_;  // changes by number: the version of their admission
  Event changed_;
};

class BucketStates {
 public:
  explicit BucketStates(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  // Stays where it is for the life of this object.
  BucketState& At(const BucketKey& key);
  void NotifyAll();

 private:
  asio::any_io_executor executor_;
  std::unordered_map<BucketKey, std::unique_ptr<BucketState>, BucketKeyHash> states_;
};

}  // namespace ringfs::chunkserver
