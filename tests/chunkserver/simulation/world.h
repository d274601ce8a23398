#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "chunkserver/replication/seams.h"
#include "common/async.h"
#include "common/result.h"

namespace ringfs::chunkserver::simulation {

// Node 0 is the master, servers are 1..; clients are reached through no network of their own.
using NodeId = uint32_t;
inline constexpr NodeId kMaster = 0;
inline constexpr NodeId kClient = 1000;

// Time, chance and the network of one simulated run.
class World final : public Timers {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  int64_t NowMs() override { return now_ms_; }
  void After(int64_t ms, std::function<void()> then) override {
    queue_.push(Entry{now_ms_ + ms, next_++, std::move(then)});
  }
  asio::any_io_executor executor() { return io_.get_executor(); }

  // A number in [from, to].
  int64_t Pick(int64_t from, int64_t to) {
    return std::uniform_int_distribution<int64_t>(from, to)(random_);
  }
  bool Chance(double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }

  // Runs what is ready and then what is next in time. False: nothing is left.
  bool Step() {
    io_.restart();
    io_.poll();
    if (queue_.empty()) return false;
    const Entry next = queue_.top();
    queue_.pop();
    now_ms_ = std::max(now_ms_, next.at_ms);
    next.then();
    return true;
  }

  // Messages from `from` to `to` are lost.
  void Cut(NodeId from, NodeId to) { cut_.insert({from, to}); }
  void Mend(NodeId from, NodeId to) { cut_.erase({from, to}); }
  bool AnyCut() const { return !cut_.empty(); }
  void HealNetwork() { cut_.clear(), loss_ = 0, slow_ = 0; }
  void SetLoss(double loss, double slow) { loss_ = loss, slow_ = slow; }

  // A call over the network. `serve` runs at the callee when the message arrives.
  template <typename T>
  asio::awaitable<Result<T>> Call(NodeId from, NodeId to,
                                  std::function<asio::awaitable<Result<T>>()> serve,
                                  int64_t timeout_ms) {
    auto state = std::make_shared<CallState<T>>(executor());
    if (!Lost(from, to)) {
      After(Delay(), [this, from, to, serve = std::move(serve), state] {
        Spawn(executor(), Serve<T>(this, from, to, serve, state), "a simulated call");
      });
    }
    After(timeout_ms, [state] { state->Answer(Fail(Errc::kTimedOut)); });
    while (!state->answer) co_await state->event.Wait();
    co_return *state->answer;
  }

 private:
  struct Entry {
    int64_t at_ms;
    uint64_t order;
    std::function<void()> then;
    bool operator<(const Entry& other) const {
      return std::pair(at_ms, order) > std::pair(other.at_ms, other.order);
    }
  };
  template <typename T>
  struct CallState {
    explicit CallState(const asio::any_io_executor& executor) : event(executor) {}
    void Answer(Result<T> value) {
      if (answer) return;
      answer = std::move(value);
      event.NotifyAll();
    }
    Event event;
    std::optional<Result<T>> answer;
  };

  template <typename T>
  static asio::awaitable<void> Serve(World* world, NodeId from, NodeId to,
                                     std::function<asio::awaitable<Result<T>>()> serve,
                                     std::shared_ptr<CallState<T>> state) {
    Result<T> answer = co_await serve();
    if (world->Lost(to, from)) co_return;
    world->After(world->Delay(), [state, answer = std::move(answer)] { state->Answer(answer); });
  }

  bool Lost(NodeId from, NodeId to) { return cut_.contains({from, to}) || Chance(loss_); }
  int64_t Delay() { return Chance(slow_) ? Pick(1, 400) : Pick(0, 4); }

  std::mt19937_64 random_;
  asio::io_context io_;
  std::priority_queue<Entry> queue_;
  uint64_t next_ = 0;
  int64_t now_ms_ = 1000;
  std::set<std::pair<NodeId, NodeId>> cut_;
  double loss_ = 0;
  double slow_ = 0;
};

}  // namespace ringfs::chunkserver::simulation
