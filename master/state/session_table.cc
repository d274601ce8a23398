#include "master/state/session_table.h"

#include "common/check.h"
#include "master/state/keys.h"
#include "master/state/record.h"

namespace ringfs::master {

Result<void> SessionTable::Load() {
  std::optional<Error> damage;
  auto session = [&](std::string_view, std::string_view value) {
    Result<wire::SessionRecord> record = ParseRecord<wire::SessionRecord>(value, "session");
    if (!record) {
      damage = record.error();
      return false;
    }
    SessionId id{record->session()};
    sessions_[id].record = std::move(*record);
    return true;
  };
  auto slot = [&](std::string_view key, std::string_view value) {
    Result<wire::SlotRecord> record = ParseRecord<wire::SlotRecord>(value, "slot");
    auto found = sessions_.find(SessionId{Number64(key, kSlotPrefix.size())});
    uint32_t number = Number32(key, kSlotPrefix.size() + sizeof(uint64_t));
    if (!record || found == sessions_.end() || number >= kSlots) {
      damage = Error{Errc::kCorrupted, "the database has a damaged slot"};
      return false;
    }
    found->second.slots[number].sequence = record->sequence();
    return true;
  };
  Result<void> scanned = overlay_.Scan(kSessionPrefix, kSessionPrefix, session);
  if (scanned && !damage) scanned = overlay_.Scan(kSlotPrefix, kSlotPrefix, slot);
  if (!scanned) return scanned;
  if (damage) return Fail(*damage);
  return {};
}

const wire::SessionRecord* SessionTable::Find(SessionId session) const {
  auto found = sessions_.find(session);
  return found != sessions_.end() ? &found->second.record : nullptr;
}

const wire::SessionRecord* SessionTable::FindClient(const std::string& client) const {
  for (const auto& [id, session] : sessions_) {
    if (session.record.client() == client && !session.record.fenced()) return &session.record;
  }
  return nullptr;
}

std::vector<const wire::SessionRecord*> SessionTable::All() const {
  std::vector<const wire::SessionRecord*> all;
  for (const auto& [id, session] : sessions_) all.push_back(&session.record);
  return all;
}

void SessionTable::Add(const wire::SessionRecord& record) {
  overlay_.Put(SessionKey(record.session()), record.SerializeAsString());
  sessions_[SessionId{record.session()}].record = record;
}

void SessionTable::Fence(SessionId session) {
  wire::SessionRecord& record = sessions_.at(session).record;
  record.set_fenced(true);
  overlay_.Put(SessionKey(Raw(session)), record.SerializeAsString());
}

void SessionTable::Remove(SessionId session) {
  auto found = sessions_.find(session);
  RINGFS_CHECK(found != sessions_.end());
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (found->second.slots[slot].sequence > 0) overlay_.Delete(SlotKey(Raw(session), slot));
  }
  overlay_.Delete(SessionKey(Raw(session)));
  sessions_.erase(found);
}

Result<std::optional<wire::SlotRecord>> SessionTable::Check(SessionId session, uint32_t slot,
                                                            uint64_t sequence) const {
  if (slot >= kSlots) return Fail(Errc::kProtocol, "there is no slot " + std::to_string(slot));
  uint64_t newest = sessions_.at(session).slots[slot].sequence;
  if (sequence > newest) return std::optional<wire::SlotRecord>();
  if (sequence < newest || sequence == 0) {
    return Fail(Errc::kProtocol, "the sequence of a slot goes back");
  }
  Result<std::optional<std::string>> bytes = overlay_.Get(SlotKey(Raw(session), slot));
  if (!bytes) return Fail(bytes.error());
  if (!*bytes) return Fail(Errc::kCorrupted, "the database has lost an answer");
  Result<wire::SlotRecord> answer = ParseRecord<wire::SlotRecord>(**bytes, "slot");
  if (!answer) return Fail(answer.error());
  return std::optional<wire::SlotRecord>(std::move(*answer));
}

uint64_t SessionTable::Newest(SessionId session, uint32_t slot) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() || slot >= kSlots ? 0 : found->second.slots[slot].sequence;
}

void SessionTable::Record(SessionId session, uint32_t slot, const wire::SlotRecord& answer) {
  overlay_.Put(SlotKey(Raw(session), slot), answer.SerializeAsString());
  sessions_.at(session).slots[slot] = Slot{answer.sequence(), false};
}

bool SessionTable::CountOnce(SessionId session, uint32_t slot) {
  return !std::exchange(sessions_.at(session).slots[slot].counted, true);
}

void SessionTable::ForgetCounts(SessionId session) {
  auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  for (Slot& slot : found->second.slots) slot.counted = false;
}

}  // namespace ringfs::master
