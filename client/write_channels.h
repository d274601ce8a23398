#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "client/limiter.h"

namespace ringfs::client {

// What names a write for its retries, together with the session: proto/chunk.proto, WriteRequest.
struct WriteTag {
  uint32_t channel = 0;
  uint64_t sequence = 0;
};

// The channels that a session's writes go through, one write in each at a time. Their number bounds
// what the chunkservers keep of a session.
//
// Threads: only from `executor`.
class WriteChannels {
 public:
  // A channel in use.
  class Lease {
   public:
    Lease(WriteChannels& channels, Limiter::Hold hold, WriteTag tag)
        : channels_(&channels), hold_(std::move(hold)), tag_(tag) {}
    Lease(Lease&& other) noexcept
        : channels_(std::exchange(other.channels_, nullptr)),
          hold_(std::move(other.hold_)),
          tag_(other.tag_),
          doubtful_(other.doubtful_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (channels_) channels_->Return(tag_, doubtful_);
    }

    const WriteTag& tag() const { return tag_; }
    // The write was given up and may still arrive: its channel is not used again.
    void MarkDoubtful() { doubtful_ = true; }

   private:
    WriteChannels* channels_;
    Limiter::Hold hold_;
    WriteTag tag_;
    bool doubtful_ = false;
  };

  WriteChannels(asio::any_io_executor executor, uint32_t count)
      : limit_(std::move(executor), count) {}

  asio::awaitable<std::optional<Lease>> Take(int64_t timeout_ms) {
    auto hold = co_await limit_.Take(1, timeout_ms);
    if (!hold) co_return std::nullopt;
    WriteTag tag{next_, 0};
    if (free_.empty()) {
      ++next_;
    } else {
      tag = free_.back();
      free_.pop_back();
    }
    ++tag.sequence;
    co_return std::optional<Lease>(std::in_place, *this, *std::move(hold), tag);
  }

 private:
  void Return(WriteTag tag, bool doubtful) {
    if (!doubtful) free_.push_back(tag);
  }

  Limiter limit_;
  std::vector<WriteTag> free_;  // with the sequence last used
  uint32_t next_ = 1;
};

}  // namespace ringfs::client
