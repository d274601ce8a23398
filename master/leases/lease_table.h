#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "proto/lease.pb.h"

namespace ringfs::master {

// What a request needs of an inode.
enum class LeaseNeed {
  kReturned,  // everybody has returned after a restart, and has said its changes again
  kRead,    // nobody else holds changes back: their write leases become read leases
  kChange,  // nobody else has anything cached: they have no lease
};
struct LeaseWant {
  InodeId inode{0};
  LeaseNeed need = LeaseNeed::kRead;
};

// What one request needs: a rename, of two directories and two inodes, needs most.
class LeaseWants {
 public:
  // An inode that is there already gets the stronger need.
  void Add(InodeId inode, LeaseNeed need);
  const LeaseWant* begin() const { return wants_.data(); }
  const LeaseWant* end() const { return wants_.data() + size_; }

 private:
  std::array<LeaseWant, 4> wants_;
  size_t size_ = 0;
};

struct LeaseLimits {
  size_t max_per_session = 100'000;  // at more, the oldest are recalled
  int64_t quiet_ns = kNsPerSecond;   // see LeaseTable
};

// A recall to be pushed.
struct LeaseRecall {
  SessionId session{0};
  InodeId inode{0};
  uint64_t number = 0;
  wire::LeaseKind keep = wire::LEASE_NONE;
};

// Which session may cache what of which inode, who waits until others may not any more, and what is
// being recalled from whom.
//
// A request that others are in the way of waits, and holds nothing meanwhile; so two that wait
// crosswise both go on. While it waits, others are granted nothing that would be in its way: it
// waits for the answers to what it has recalled, or for the end of a session that does not answer.
//
// Whoever is recalled from because of another does not get it back at once. For `quiet_ns` after
// such a recall nobody gets a write lease of the inode, and after two of them in so short a time no
// lease at all, but for pages: sessions that keep changing one inode then write through, and ask.
//
// After a restart, sessions of the former run stand in the way of everything until they have
// returned, and of changes until they have dropped all that they had; but not of who has kept its
// write lease, since nobody else had any then.
//
// Owns:      nothing outside its memory.
// Threads:   none of its own and no locks; reads no clock.
// Invariant: a session with a write lease of an inode is the only one with a lease of it; a session
//            has at most one recall of an inode; nobody is granted what a wait of another session
//            stands against.
class LeaseTable {
 public:
  struct Statistics {
    uint64_t leases = 0;  // now
    uint64_t grants = 0;
    uint64_t recalls = 0;
    uint64_t timed_out = 0;
  };

  explicit LeaseTable(LeaseLimits limits = {}) : limits_(limits) {}

  // The session may be granted leases from now on; it has `ttl_ns` for each answer to a recall.
  void AddSession(SessionId session, int64_t ttl_ns);
  // It may still have leases of a former run of the master.
  void AddFormer(SessionId session, int64_t ttl_ns);
  // Frees all that it has. Its waits stay until EndWait().
  void EndSession(SessionId session);
  bool Caches(SessionId session) const { return sessions_.contains(session); }

  // A session of the former run is back, with write leases of `writing` and nothing else that it
  // holds changes back for. Nothing when it was back already.
  void Return(SessionId session, const std::vector<InodeId>& writing, int64_t now_ns);
  // It has nothing any more of the former run.
  void DropFormer(SessionId session);
  // Sessions that may still have leases of the former run.
  size_t former() const { return former_; }

  // Nobody but `session` can be in the way of anything.
  bool IsFree(SessionId session) const;
  // Nobody is in the way of `wants`.
  bool IsFree(SessionId session, const LeaseWants& wants) const;

  // A request waits from here on: what is in its way is recalled. Returns its ticket.
  uint64_t Wait(SessionId session, const LeaseWants& wants, int64_t now_ns);
  // A request waits to read `inode` behind all that wait now to change it, which stand against a
  // lease.
  uint64_t WaitBehind(SessionId session, InodeId inode, int64_t now_ns);
  // The request needs something else now; it keeps its place.
  void WaitAgain(uint64_t ticket, const LeaseWants& wants, int64_t now_ns);
  // Nothing is in its way (now).
  bool IsReady(uint64_t ticket) const;
  // The request has done what it waited for, or has given up.
  void EndWait(uint64_t ticket);

  // Gives the session a lease of `kind`, or a lesser one when only that is possible, unless it has
  // such a one already. Returns what it holds; nothing when that is nothing, or is being recalled.
  // `for_pages`: a read lease also after recalls in short succession, since pages without a lease
  // would be there for a moment all the same, and be right for nobody.
  std::optional<wire::LeaseGrant> Grant(SessionId session, InodeId inode, wire::LeaseKind kind,
                                        int64_t now_ns, bool for_pages = false);
  // A write lease would be granted now, or is there.
  bool MayWrite(SessionId session, InodeId inode, int64_t now_ns) const {
    return Allowed(session, inode, now_ns, false) == wire::LEASE_WRITE;
  }
  // What the session holds, and is not being recalled.
  std::optional<wire::LeaseGrant> Find(SessionId session, InodeId inode) const;
  bool IsLeased(InodeId inode) const;
  // The write leases of the session, those being recalled as well.
  std::vector<wire::LeaseGrant> Writing(SessionId session) const;

  // What the session says that it keeps of its lease with this number; one that it does not have is
  // passed over. More than a recall wants it to keep: it needs more time, and gets it.
  void Answer(SessionId session, InodeId inode, uint64_t number, wire::LeaseKind kept,
              int64_t now_ns);
  // Wants all leases of the inode back, for nobody's sake.
  void RecallAll(InodeId inode, int64_t now_ns);
  // The session is doing what the recall of this lease needs: it gets new time.
  void Progress(SessionId session, InodeId inode, int64_t now_ns);
  // Recalls of the session that are not answered, to be pushed again: it has new time for them.
  std::vector<LeaseRecall> RecallAgain(SessionId session, int64_t now_ns);
  // Sessions that have not answered in time, or not dropped what they had of the former run; each
  // once for each recall.
  std::vector<SessionId> TakeOverdue(int64_t now_ns);
  // All get so much more time.
  void Postpone(int64_t by_ns);

  // What the calls since the last of these have brought about.
  std::vector<LeaseRecall> TakeRecalls() { return std::exchange(recalls_made_, {}); }
  std::vector<uint64_t> TakeReady() { return std::exchange(became_ready_, {}); }

  Statistics statistics() const;

 private:
  struct Holder {
    SessionId session{0};
    wire::LeaseKind kind = wire::LEASE_NONE;
    uint64_t number = 0;
    bool recalled = false;
    wire::LeaseKind keep = wire::LEASE_NONE;  // while recalled
    int64_t deadline_ns = 0;                  // while recalled
    std::list<InodeId>::iterator age;
  };
  struct Entry {
    std::vector<Holder> holders;
    std::vector<uint64_t> waits;  // tickets, by age
  };
  struct Request {
    SessionId session{0};
    LeaseWants wants;
    bool behind = false;
    bool told = false;  // that it is ready
  };
  enum class Former { kNo, kAway, kBack };
  struct Session {
    int64_t ttl_ns = 0;
    Former former = Former::kNo;
    int64_t drop_by_ns = INT64_MAX;  // while back, until it has dropped what it had
    std::list<InodeId> by_age;  // oldest first; those being recalled last
  };
  struct Conflict {
    int64_t newest_ns = 0;
    uint32_t count = 0;  // in short succession
  };
  using Inodes = std::unordered_map<InodeId, Entry>;

  static wire::LeaseGrant Describe(InodeId inode, const Holder& holder);
  static Holder* HolderIn(Entry& entry, SessionId session);
  Holder* FindHolder(SessionId session, InodeId inode);
  const Holder* FindHolder(SessionId session, InodeId inode) const;
  bool FormerInTheWay(SessionId session, const LeaseWants& wants) const;
  bool IsReady(uint64_t ticket, const Request& request) const;
  bool IsBehindChange(uint64_t ticket, const Request& request) const;

  wire::LeaseKind Allowed(SessionId session, InodeId inode, int64_t now_ns, bool for_pages) const;
  wire::LeaseKind AllowedByConflicts(InodeId inode, int64_t now_ns) const;
  Holder& Add(Session& owner, SessionId session, InodeId inode, wire::LeaseKind kind);
  void RecallFor(SessionId session, const LeaseWants& wants, int64_t now_ns);
  void Recall(InodeId inode, Holder& holder, wire::LeaseKind keep, int64_t now_ns);
  void RecallOldest(Session& owner, SessionId session, int64_t now_ns);
  void NoteConflict(InodeId inode, int64_t now_ns);

  void Remove(Inodes::iterator place, SessionId session);
  void Enqueue(uint64_t ticket, const Request& request);
  void Dequeue(uint64_t ticket, const Request& request);
  void LookAt(InodeId inode);
  void LookAtAll();
  void LookAtRequest(uint64_t ticket);

  const LeaseLimits limits_;
  Inodes inodes_;  // with holders or waits
  std::unordered_map<SessionId, Session> sessions_;
  std::map<uint64_t, Request> requests_;  // by ticket
  std::set<std::pair<InodeId, SessionId>> recalled_;
  std::unordered_map<InodeId, Conflict> conflicts_;
  std::deque<std::pair<int64_t, InodeId>> conflicts_by_age_;
  size_t former_ = 0;
  uint64_t leases_ = 0;
  uint64_t last_number_ = 0;
  uint64_t last_ticket_ = 0;
  uint64_t recalls_ = 0;
  uint64_t timed_out_ = 0;
  std::vector<LeaseRecall> recalls_made_;
  std::vector<uint64_t> became_ready_;
};

}  // namespace ringfs::master
