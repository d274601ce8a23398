#include "client/limiter.h"

#include <algorithm>
#include <chrono>

#include "common/async.h"

namespace ringfs::client {

asio::awaitable<std::optional<Limiter::Hold>> Limiter::Take(uint64_t amount, int64_t timeout_ms) {
  amount = std::min(amount, amount_);
  if (waiters_.empty() && free_ >= amount) {
    free_ -= amount;
    co_return std::optional<Hold>(std::in_place, *this, amount);
  }
  Waiter waiter{amount, asio::steady_timer(executor_, std::chrono::milliseconds(timeout_ms))};
  waiters_.push_back(&waiter);
  co_await waiter.timer.async_wait(kNoThrow);
  if (!waiter.served) {
    waiters_.remove(&waiter);
    Give(0);  // who stood behind this one may need less
    co_return std::nullopt;
  }
  co_return std::optional<Hold>(std::in_place, *this, amount);
}

void Limiter::Give(uint64_t amount) {
  free_ += amount;
  while (!waiters_.empty() && waiters_.front()->amount <= free_) {
    Waiter* first = waiters_.front();
    waiters_.pop_front();
    free_ -= first->amount;
    first->served = true;
    first->timer.cancel();
  }
}

}  // namespace ringfs::client
