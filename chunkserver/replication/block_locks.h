#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

#include "common/async.h"
#include "common/ids.h"

namespace ringfs::chunkserver {

// One lock for each block that is in use: several readers or one writer, in the order in which they
// asked.
//
// Threads: one.
class BlockLocks {
 public:
  // Holds a lock until destroyed or released.
  class Guard {
   public:
    Guard() = default;
    Guard(BlockLocks& locks, const BlockKey& key, bool exclusive)
        : locks_(&locks), key_(key), exclusive_(exclusive) {}
    Guard(Guard&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)),
          key_(other.key_),
          exclusive_(other.exclusive_) {}
    Guard& operator=(Guard&& other) noexcept {
      Release();
      locks_ = std::exchange(other.locks_, nullptr);
      key_ = other.key_;
      exclusive_ = other.exclusive_;
      return *this;
    }
    ~Guard() { Release(); }
    void Release() {
      if (locks_ != nullptr) std::exchange(locks_, nullptr)->Unlock(key_, exclusive_);
    }

   private:
    BlockLocks* locks_ = nullptr;
    BlockKey key_;
    bool exclusive_ = false;
  };

  explicit BlockLocks(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  asio::awaitable<Guard> Shared(BlockKey key) { return Lock(key, false); }
  asio::awaitable<Guard> Exclusive(BlockKey key) { return Lock(key, true); }
  size_t size() const { return entries_.size(); }

 private:
  struct Waiter {
    Waiter(const asio::any_io_executor& executor, bool wants_exclusive)
        : exclusive(wants_exclusive), event(executor) {}
    bool exclusive;
    bool granted = false;
    Event event;
  };
  struct Entry {
    size_t readers = 0;
    bool writer = false;
    std::list<Waiter> waiters;
  };

  asio::awaitable<Guard> Lock(BlockKey key, bool exclusive);
  void Unlock(const BlockKey& key, bool exclusive);
  static void Grant(Entry& entry);

  asio::any_io_executor executor_;
  std::unordered_map<BlockKey, Entry> entries_;
};

}  // namespace ringfs::chunkserver
