#include "chunkserver/replication/waiting.h"

#include <asio/this_coro.hpp>
#include <utility>

#include "common/async.h"

namespace ringfs::chunkserver {

struct Group::State {
  explicit State(const asio::any_io_executor& executor) : event(executor) {}

  void CountDown() {
    if (--left == 0) event.NotifyAll();
  }
  static asio::awaitable<void> Run(asio::awaitable<void> job, std::shared_ptr<State> state) {
    co_await std::move(job);
    state->CountDown();
  }

  Event event;
  size_t left = 0;
};

Group::Group(asio::any_io_executor executor)
    : executor_(std::move(executor)), state_(std::make_shared<State>(executor_)) {}

void Group::Start(asio::awaitable<void> job) {
  ++state_->left;
  Spawn(executor_, State::Run(std::move(job), state_), "one of several jobs");
}

asio::awaitable<void> Group::Wait() {
  const std::shared_ptr<State> state = state_;
  while (state->left > 0) co_await state->event.Wait();
}

asio::awaitable<void> Pause(Timers& timers, int64_t ms) {
  auto event = std::make_shared<Event>(co_await asio::this_coro::executor);
  auto over = std::make_shared<bool>(false);
  timers.After(ms, [event, over] {
    *over = true;
    event->NotifyAll();
  });
  while (!*over) co_await event->Wait();
}

}  // namespace ringfs::chunkserver
