#include "client/extend_queue.h"

#include <algorithm>
#include <utility>

namespace ringfs::client {

std::shared_ptr<ExtendQueue::Round> ExtendQueue::Join(const wire::Extend& wanted) {
  for (const std::shared_ptr<Round>& round : waiting_) {
    wire::Extend& extend = round->extend;
    if (extend.data() != wanted.data() || extend.generation() != wanted.generation()) continue;
    extend.set_end(std::max(extend.end(), wanted.end()));
    extend.set_kill_set_ids(extend.kill_set_ids() || wanted.kill_set_ids());
    return round;
  }
  auto round = std::make_shared<Round>();
  round->extend = wanted;
  waiting_.push_back(round);
  return round;
}

asio::awaitable<ExtendQueue::Answer> ExtendQueue::Run(wire::Extend wanted, Send send) {
  std::shared_ptr<Round> round = Join(wanted);
  while (running_ && !round->done) co_await changed_.Wait();
  if (round->done) co_return round->answer;
  running_ = true;
  std::erase(waiting_, round);
  round->answer = co_await send(round->extend);
  round->done = true;
  running_ = false;
  changed_.NotifyAll();
  co_return round->answer;
}

}  // namespace ringfs::client
