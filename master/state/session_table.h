#pragma once

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "master/state/overlay.h"
#include "master/state/state_machine.h"
#include "proto/record.pb.h"

namespace ringfs::master {

// The sessions, and the answers kept for their retries. The records are in the overlay; what is
// asked for with each command is in memory as well.
//
// Threads: the caller's.
class SessionTable {
 public:
  // Borrows `overlay`.
  explicit SessionTable(Overlay& overlay) : overlay_(overlay) {}

  Result<void> Load();

  const wire::SessionRecord* Find(SessionId session) const;
  // The live session of this run of a client, if there is one.
  const wire::SessionRecord* FindClient(const std::string& client) const;
  std::vector<const wire::SessionRecord*> All() const;

  void Add(const wire::SessionRecord& record);
  // The session must be there.
  void Fence(SessionId session);
  void Remove(SessionId session);

  // What a command in this slot is: new, a retry of the one answered last (then with that answer),
  // or kProtocol: older, or not of a slot that there is. The session must be there.
  Result<std::optional<wire::SlotRecord>> Check(SessionId session, uint32_t slot,
                                                uint64_t sequence) const;
  // The sequence of the newest command of the slot; 0: there was none, or no such slot or session.
  uint64_t Newest(SessionId session, uint32_t slot) const;
  // The answer to the newest command of the slot.
  void Record(SessionId session, uint32_t slot, const wire::SlotRecord& answer);

  // True the first time that it is called for the newest command of the slot since the start, or
  // since Forget(): whether its effect on the table of open files is still to be counted.
  bool CountOnce(SessionId session, uint32_t slot);
  void ForgetCounts(SessionId session);

 private:
  struct Slot {
    uint64_t sequence = 0;
    bool counted = false;
  };
  struct Session {
    wire::SessionRecord record;
    std::array<Slot, kSlots> slots{};
  };

  Overlay& overlay_;
  std::map<SessionId, Session> sessions_;
};

}  // namespace ringfs::master
