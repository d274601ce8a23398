#include "master/service/inode_events.h"

namespace ringfs::master {

asio::awaitable<bool> InodeEvents::WaitFor(InodeId inode, int64_t timeout_ms) {
  std::shared_ptr<Event> event = events_[inode].lock();
  if (!event) {
    event = std::make_shared<Event>(executor_);
    events_[inode] = event;
  }
  const bool notified = co_await event->WaitFor(timeout_ms);
  event.reset();
  const auto found = events_.find(inode);
  if (found != events_.end() && found->second.expired()) events_.erase(found);
  co_return notified;
}

void InodeEvents::Notify(InodeId inode) {
  const auto found = events_.find(inode);
  if (found == events_.end()) return;
  if (const std::shared_ptr<Event> event = found->second.lock()) event->NotifyAll();
}

void InodeEvents::NotifyAll() {
  for (const auto& [inode, weak] : events_) {
    if (const std::shared_ptr<Event> event = weak.lock()) event->NotifyAll();
  }
}

}  // namespace ringfs::master
