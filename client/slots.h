#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "client/limiter.h"

namespace ringfs::client {

// The places that a session has for changes in flight: a change has a slot and a sequence number
// of its own, by which the master knows a retry (proto/namespace.proto, MetaRequest).
//
// Some are kept for changes that others wait for (Use::kEnding): if all slots could be taken by
// requests that the master holds until a file is cut, the news that it is cut would find none.
//
// Threads: only from `executor`.
class Slots : public std::enable_shared_from_this<Slots> {
 public:
  enum class Use { kOrdinary, kEnding };

  // A slot taken, with the number of this use of it. Given back when destroyed.
  class Lease {
   public:
    Lease(std::shared_ptr<Slots> slots, Limiter::Hold hold, uint32_t slot, uint64_t sequence,
          Use use)
        : slots_(std::move(slots)),
          hold_(std::move(hold)),
          slot_(slot),
          sequence_(sequence),
          use_(use) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (slots_) slots_->FreeOf(use_).push_back(slot_);
    }

    uint32_t slot() const { return slot_; }
    uint64_t sequence() const { return sequence_; }

   private:
    std::shared_ptr<Slots> slots_;  // outlives hold_
    Limiter::Hold hold_;
    uint32_t slot_;
    uint64_t sequence_;
    Use use_;
  };

  // `count`: how many the master gives, at least 2.
  Slots(asio::any_io_executor executor, uint32_t count);

  // In the order of the calls; without suspending when one is free.
  asio::awaitable<std::optional<Lease>> Take(Use use, int64_t timeout_ms);

 private:
  std::vector<uint32_t>& FreeOf(Use use) { return use == Use::kEnding ? ending_ : ordinary_; }

  Limiter ordinary_limit_;
  Limiter ending_limit_;
  std::vector<uint32_t> ordinary_;  // free ones
  std::vector<uint32_t> ending_;
  std::vector<uint64_t> sequences_;  // last used, by slot
};

}  // namespace ringfs::client
