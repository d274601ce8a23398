#include "chunkserver/replication/block_locks.h"

#include "common/check.h"

namespace ringfs::chunkserver {
namespace {

bool Fits(size_t readers, bool writer, bool exclusive) {
  return !writer && (!exclusive || readers == 0);
}

}  // namespace

asio::awaitable<BlockLocks::Guard> BlockLocks::Lock(BlockKey key, bool exclusive) {
  Entry& entry = entries_[key];  // stays where it is while anyone holds or waits
  if (entry.waiters.empty() && Fits(entry.readers, entry.writer, exclusive)) {
    if (exclusive) {
      entry.writer = true;
    } else {
      ++entry.readers;
    }
    co_return Guard(*this, key, exclusive);
  }
  const auto waiter = entry.waiters.emplace(entry.waiters.end(), executor_, exclusive);
  while (!waiter->granted) co_await waiter->event.Wait();
  entry.waiters.erase(waiter);
  Grant(entry);  // readers behind a reader
  co_return Guard(*this, key, exclusive);
}

void BlockLocks::Unlock(const BlockKey& key, bool exclusive) {
  const auto found = entries_.find(key);
  RINGFS_CHECK(found != entries_.end());
  Entry& entry = found->second;
  if (exclusive) {
    entry.writer = false;
  } else {
    --entry.readers;
  }
  if (entry.waiters.empty() && entry.readers == 0 && !entry.writer) {
    entries_.erase(found);
    return;
  }
  Grant(entry);
}

// A granted waiter stays in the list until it runs, so that nobody overtakes it.
void BlockLocks::Grant(Entry& entry) {
  for (Waiter& waiter : entry.waiters) {
    if (waiter.granted) continue;
    if (!Fits(entry.readers, entry.writer, waiter.exclusive)) return;
    if (waiter.exclusive) {
      entry.writer = true;
    } else {
      ++entry.readers;
    }
    waiter.granted = true;
    waiter.event.NotifyAll();
  }
}

}  // namespace ringfs::chunkserver
