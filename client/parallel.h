#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/async.h"

namespace ringfs::client {

// A coroutine that runs beside the one that started it, which later awaits what it returned.
// The work must end by itself even when nobody takes its value.
template <typename T>
class Started {
 public:
  Started(const asio::any_io_executor& executor, asio::awaitable<T> work)
      : state_(std::make_shared<State>(executor)) {
    Spawn(executor, Run(state_, std::move(work)), "client");
  }

  asio::awaitable<T> Take() {
    std::shared_ptr<State> state = state_;
    while (!state->value) co_await state->done.Wait();
    co_return std::move(*state->value);
  }

 private:
  struct State {
    explicit State(const asio::any_io_executor& executor) : done(executor) {}
    Event done;
    std::optional<T> value;
  };

  static asio::awaitable<void> Run(std::shared_ptr<State> state, asio::awaitable<T> work) {
    T value = co_await std::move(work);
    state->value.emplace(std::move(value));
    state->done.NotifyAll();
  }

  std::shared_ptr<State> state_;
};

// Runs all of `works` at once and returns their values in order, when the last is done.
template <typename T>
asio::awaitable<std::vector<T>> Parallel(asio::any_io_executor executor,
                                         std::vector<asio::awaitable<T>> works) {
  std::vector<Started<T>> others;
  for (size_t i = 1; i < works.size(); ++i) others.emplace_back(executor, std::move(works[i]));
  std::vector<T> values;
  values.reserve(works.size());
  if (!works.empty()) {
    T first = co_await std::move(works[0]);
    values.push_back(std::move(first));
  }
  for (Started<T>& other : others) {
    T value = co_await other.Take();
    values.push_back(std::move(value));
  }
  co_return values;
}

}  // namespace ringfs::client
