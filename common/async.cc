#include "common/async.h"

#include <asio/co_spawn.hpp>
#include <algorithm>
#include <chrono>
#include <exception>
#include <string>

#include "common/log.h"

namespace ringfs {

void Spawn(const asio::any_io_executor& executor, asio::awaitable<void> work,
           std::string_view name) {
  asio::co_spawn(executor, std::move(work),
                 [name = std::string(name)](const std::exception_ptr& error) {
                   if (!error) return;
                   try {
                     std::rethrow_exception(error);
                   } catch (const std::exception& e) {
                     spdlog::critical("{}: unexpected exception: {}", name, e.what());
                   }
                   std::abort();
                 });
}

asio::awaitable<bool> Event::WaitUntil(asio::steady_timer::time_point deadline) {
  asio::steady_timer timer(executor_, deadline);
  const auto place = waiters_.insert(waiters_.end(), &timer);
  co_await timer.async_wait(kNoThrow);
  // NotifyAll() takes the timer off the list; one that ran out is still on it.
  if (std::find(waiters_.begin(), waiters_.end(), &timer) == waiters_.end()) co_return true;
  waiters_.erase(place);
  co_return false;
}

asio::awaitable<void> Event::Wait() {
  co_await WaitUntil(asio::steady_timer::time_point::max());
}

asio::awaitable<bool> Event::WaitFor(int64_t timeout_ms) {
  co_return co_await WaitUntil(asio::steady_timer::clock_type::now() +
                               std::chrono::milliseconds(timeout_ms));
}

void Event::NotifyAll() {
  std::list<asio::steady_timer*> waiters = std::exchange(waiters_, {});
  for (asio::steady_timer* timer : waiters) timer->cancel();
}

asio::awaitable<void> SleepMs(int64_t ms) {
  asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(ms));
  co_await timer.async_wait(kNoThrow);
}

}  // namespace ringfs
