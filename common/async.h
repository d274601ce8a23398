#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdint>
#include <list>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ringfs {

// Completion token: `auto [error, ...] = co_await socket.async_x(..., kNoThrow);`
inline constexpr auto kNoThrow = asio::experimental::as_tuple(asio::use_awaitable);

// Starts `work` on `executor`. It ends by itself; an exception out of it is a bug, is logged with
// `name` and ends the program.
void Spawn(const asio::any_io_executor& executor, asio::awaitable<void> work,
           std::string_view name);

// Runs `job` on `pool` and resumes the caller on its own executor with what it returned. Name the
// job before awaiting it (g++ 12 destroys captured temporaries of an await expression twice):
//   auto job = [&] { return store.Read(...); };
//   auto result = co_await RunOn(pool, std::move(job));
template <typename Job>
asio::awaitable<std::invoke_result_t<Job&>> RunOn(asio::thread_pool& pool, Job job) {
  using Value = std::invoke_result_t<Job&>;
  auto start = [&pool, &job](auto handler) {
    asio::post(pool, [&job, handler = std::move(handler)]() mutable {
      if constexpr (std::is_void_v<Value>) {
        job();
        auto executor = asio::get_associated_executor(handler);
        asio::post(executor, [handler = std::move(handler)]() mutable { handler(); });
      } else {
        auto value = std::make_unique<Value>(job());
        auto executor = asio::get_associated_executor(handler);
        asio::post(executor, [handler = std::move(handler), value = std::move(value)]() mutable {
          handler(std::move(*value));
        });
      }
    });
  };
  if constexpr (std::is_void_v<Value>) {
    co_await asio::async_initiate<decltype(asio::use_awaitable), void()>(start,
                                                                         asio::use_awaitable);
  } else {
    co_return co_await asio::async_initiate<decltype(asio::use_awaitable), void(Value)>(
        start, asio::use_awaitable);
  }
}

// Something that many coroutines of one executor wait for. Not for several threads.
class Event {
 public:
  explicit Event(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // Returns at the next NotifyAll(); what was notified before does not count.
  asio::awaitable<void> Wait();
  // As Wait(), but for at most `timeout_ms`; false when that passed first.
  asio::awaitable<bool> WaitFor(int64_t timeout_ms);
  void NotifyAll();

 private:
  asio::awaitable<bool> WaitUntil(asio::steady_timer::time_point deadline);

  asio::any_io_executor executor_;
  std::list<asio::steady_timer*> waiters_;
};

// Returns after `ms` milliseconds.
asio::awaitable<void> SleepMs(int64_t ms);

}  // namespace ringfs
