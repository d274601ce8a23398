#include "common/rpc/call_table.h"

#include <algorithm>

namespace ringfs::rpc {

uint64_t CallTable::Add(std::unique_ptr<Waiter> waiter, Time deadline) {
  const uint64_t id = ++last_id_;
  calls_.emplace(id, Entry{std::move(waiter), deadline});
  deadlines_.emplace(deadline, id);
  return id;
}

void CallTable::MarkSent(uint64_t id) {
  if (auto found = calls_.find(id); found != calls_.end()) found->second.sent = true;
}

std::unique_ptr<Waiter> CallTable::Take(uint64_t id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return nullptr;
  std::unique_ptr<Waiter> waiter = std::move(found->second.waiter);
  deadlines_.erase({found->second.deadline, id});
  calls_.erase(found);
  return waiter;
}

std::vector<CallTable::Expired> CallTable::TakeExpired(Time now) {
  std::vector<Expired> expired;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const uint64_t id = deadlines_.begin()->second;
    const bool sent = calls_.at(id).sent;
    expired.push_back({Take(id), id, sent});
  }
  return expired;
}

std::vector<std::unique_ptr<Waiter>> CallTable::TakeThose(bool unsent_too) {
  std::vector<uint64_t> ids;
  for (const auto& [id, entry] : calls_) {
    if (entry.sent || unsent_too) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  std::vector<std::unique_ptr<Waiter>> waiters;
  waiters.reserve(ids.size());
  for (const uint64_t id : ids) waiters.push_back(Take(id));
  return waiters;
}

std::vector<std::unique_ptr<Waiter>> CallTable::TakeSent() { return TakeThose(false); }
std::vector<std::unique_ptr<Waiter>> CallTable::TakeAll() { return TakeThose(true); }

std::optional<CallTable::Time> CallTable::earliest() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

}  // namespace ringfs::rpc
