#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>

namespace ringfs::client {

// So many of something at once; who finds none left waits, and is served in the order of coming.
// With an amount of 1 it is a lock.
//
// Threads: only from `executor`, which one thread runs.
class Limiter {
 public:
  // What was taken; given back when it is destroyed. The limiter must outlive it.
  class Hold {
   public:
    Hold(Limiter& limiter, uint64_t amount) : limiter_(&limiter), amount_(amount) {}
    Hold(Hold&& other) noexcept
        : limiter_(std::exchange(other.limiter_, nullptr)), amount_(other.amount_) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(limiter_, other.limiter_);
      std::swap(amount_, other.amount_);
      return *this;
    }
    ~Hold() {
      if (limiter_) limiter_->Give(amount_);
    }

   private:
    Limiter* limiter_;
    uint64_t amount_;
  };

  Limiter(asio::any_io_executor executor, uint64_t amount)
      : executor_(std::move(executor)), amount_(amount), free_(amount) {}

  // Does not suspend when there is enough and nobody waits. More than there ever is counts as all
  // of it. Nothing when `timeout_ms` passed first.
  asio::awaitable<std::optional<Hold>> Take(uint64_t amount, int64_t timeout_ms);

  bool idle() const { return free_ == amount_ && waiters_.empty(); }

 private:
  struct Waiter {
    uint64_t amount;
    asio::steady_timer timer;
    bool served = false;
  };

  void Give(uint64_t amount);

  asio::any_io_executor executor_;
  uint64_t amount_;
  uint64_t free_;
  std::list<Waiter*> waiters_;
};

}  // namespace ringfs::client
