#include "chunkserver/replication/buckets.h"

#include <algorithm>

namespace ringfs::chunkserver {

uint64_t BucketState::Begin(uint64_t bucket_version) {
  under_way_.emplace_hint(under_way_.end(), next_number_, bucket_version);
  return next_number_++;
}

void BucketState::End(uint64_t number) {
  under_way_.erase(number);
  changed_.NotifyAll();
}

asio::awaitable<void> BucketState::OlderChangesEnd(uint64_t bucket_version) {
  const auto older = [bucket_version](const auto& change) {
    return change.second < bucket_version;
  };
  while (std::any_of(under_way_.begin(), under_way_.end(), older)) co_await changed_.Wait();
}

asio::awaitable<void> BucketState::PresentChangesEnd() {
  const uint64_t next = next_number_;
  while (!under_way_.empty() && under_way_.begin()->first < next) co_await changed_.Wait();
}

BucketState& BucketStates::At(const BucketKey& key) {
  std::unique_ptr<BucketState>& state = states_[key];
  if (!state) state = std::make_unique<BucketState>(executor_);
  return *state;
}

void BucketStates::NotifyAll() {
  for (const auto& [key, state] : states_) state->changed().NotifyAll();
}

}  // namespace ringfs::chunkserver
