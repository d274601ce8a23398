#include "client/slots.h"

#include <algorithm>
#include <utility>

namespace ringfs::client {
namespace {

// One of four is kept for endings.
uint32_t EndingCount(uint32_t count) { return std::max(1u, count / 4); }

}  // namespace

Slots::Slots(asio::any_io_executor executor, uint32_t count)
    : ordinary_limit_(executor, count - EndingCount(count)),
      ending_limit_(executor, EndingCount(count)),
      sequences_(count) {
  for (uint32_t slot = count; slot-- > 0;) {
    (slot < count - EndingCount(count) ? ordinary_ : ending_).push_back(slot);
  }
}

asio::awaitable<std::optional<Slots::Lease>> Slots::Take(Use use, int64_t timeout_ms) {
  Limiter& limit = use == Use::kEnding ? ending_limit_ : ordinary_limit_;
  std::shared_ptr<Slots> self = shared_from_this();
  auto hold = co_await limit.Take(1, timeout_ms);
  if (!hold) co_return std::nullopt;
  std::vector<uint32_t>& free = FreeOf(use);
  const uint32_t slot = free.back();
  free.pop_back();
  co_return std::optional<Lease>(std::in_place, std::move(self), *std::move(hold), slot,
                                 ++sequences_[slot], use);
}

}  // namespace ringfs::client
