#include "master/service/inode_events.h"

namespace ringfs::master {

template <typename Key>
asio::awaitable<bool> EventsOf<Key>::WaitFor(Key key, int64_t timeout_ms) {
  std::shared_ptr<Event> event = events_[key].lock();
  if (!event) {
    event = std::make_shared<Event>(executor_);
    events_[key] = event;
  }
  const bool notified = co_await event->WaitFor(timeout_ms);
  event.reset();
  const auto found = events_.find(key);
  if (found != events_.end() && found->second.expired()) events_.erase(found);
  co_return notified;
}

template <typename Key>
void EventsOf<Key>::Notify(Key key) {
  const auto found = events_.find(key);
  if (found == events_.end()) return;
  if (const std::shared_ptr<Event> event = found->second.lock()) event->NotifyAll();
}

template <typename Key>
void EventsOf<Key>::NotifyAll() {
  for (const auto& [key, weak] : events_) {
    if (const std::shared_ptr<Event> event = weak.lock()) event->NotifyAll();
  }
}

template class EventsOf<InodeId>;
template class EventsOf<uint64_t>;

}  // namespace ringfs::master
