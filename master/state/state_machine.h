#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "master/state/open_table.h"
#include "master/state/overlay.h"
#include "master/state/tree.h"
#include "proto/cluster.pb.h"
#include "proto/record.pb.h"

namespace ringfs {
class LockTable;
struct LockChanges;
}  // namespace ringfs

namespace ringfs::master {

class ClusterTable;
class SessionTable;
struct Change;

// Changes that a session may have in flight at once: slots 0 to kSlots - 1.
inline constexpr uint32_t kSlots = 64;
inline constexpr uint32_t kMaxEntriesListed = 4096;

// What others are to be told once the command is durable.
struct Events {
  std::vector<wire::GrantPush> grants;  // waits that ended, in order
  std::vector<InodeId> orphaned;  // lost their last name: CollectInodes when nobody has them open
  std::vector<InodeId> cuts_settled;  // a pending cut is done or up for ClaimCut: look again at
                                      // requests held for it
  bool map_changed = false;           // the epoch grew
  bool garbage_added = false;
};

// The answer to a command.
struct Outcome {
  Errc error = Errc::kOk;
  std::string detail;
  wire::MetaReply reply;  // of `meta`
  bool replayed = false;  // the answer of an earlier Apply to a retry; nothing changed, no events
  bool held = false;  // nothing was applied or recorded: another session cuts the file. Apply the
                      // same command again when Events::cuts_settled names `held_for`
  InodeId held_for{0};
  SessionId session{0};           // of `open_session`
  InodeId root{0};                // of `open_session`
  ServerId server{0};             // of `register_server`
  bool server_restarted = false;  // of `register_server`: known, and its incarnation is another
  std::vector<InodeId> touched;   // inodes whose attributes, names or entries changed
  bool moved_directory = false;   // what lies below what is another than before
  bool tell_now = false;  // by CommandLog: the answer need not wait for the disk
  Events events;
};

struct Statistics {
  uint64_t inodes = 0;
  uint64_t files_bytes = 0;
  uint64_t garbage_entries = 0;
};

// The master's state: namespace, sessions, locks, cluster map, and the answers kept for retries.
// The same commands in the same order give the same database on every master.
// Format: docs/formats/master.md.
//
// Owns:    the database.
// Threads: one thread calls everything, but for Commit(), which another may run at the same time.
class StateMachine {
 public:
  // Loads what is kept in memory: sessions, locks, servers, bucket tables.
  static Result<std::unique_ptr<StateMachine>> Open(Database database);
  ~StateMachine();

  // Applies a command. A command that fails changes nothing, but that the answer of a `meta` is
  // recorded. An error of the disk (kIo, kCorrupted) is answered like any other.
  Outcome Apply(const wire::Command& command);

  // Whether the slot has answered this change, or one after it.
  bool WasApplied(const wire::MetaRequest& request) const;

  // Answers what changes nothing: lookup, get_attributes, read_link, read_directory, get_xattr,
  // list_xattrs, stat_fs (files only; the caller adds the capacity), test_lock, lock_status.
  // kInvalid for any other. Does not look at the session.
  Result<wire::MetaReply> Query(const wire::MetaRequest& request) const;

  // Whether Query() answers it.
  static bool IsQuery(const wire::MetaRequest& request);

  // An Open without truncate and a Close that frees no lock: they change only opens(). Create, Open
  // with truncate, and Close with locks come through Apply(), which keeps opens() too. BeginAppend
  // and AbortAppend are the service's alone.
  Result<wire::MetaReply> OpenInMemory(SessionId session, const wire::Open& open);
  void CloseInMemory(SessionId session, const wire::Close& close);
  // Whether a Close must be a command, since locks were taken through its handle.
  bool ClosesLocks(SessionId session, const wire::Close& close) const;
  // Handles of an inode that the session had opened without saying so. An inode that is not there is
  // passed over.
  void OpenUnsaid(SessionId session, InodeId inode, uint32_t readers, uint32_t writers);
  // The return of a session: what it has open, instead of what was known.
  void Reassert(SessionId session, const google::protobuf::RepeatedPtrField<wire::OpenInode>& open);

  // Group commit. applied() is the index of the newest command; a reply computed at index i leaves
  // when a batch with an index >= i is committed, but to whom CommandLog tells it at once. Every Apply
  // that is not held or replayed raises it.
  uint64_t applied() const { return counters_.applied_index(); }
  bool NeedsCommit() const { return !overlay_.Empty(); }
  Overlay::Batch TakeBatch();
  Result<void> Commit(Overlay::Batch& batch) { return overlay_.Commit(batch); }
  void Committed() { overlay_.Committed(); }
  // For a backup. It must not outlive this.
  std::unique_ptr<Snapshot> TakeSnapshot() { return overlay_.TakeSnapshot(); }

  // Reading the state. Pointers are good until the next Apply.
  // Empty until FormatCluster, which has to be the first command.
  const std::string& cluster_id() const;
  uint64_t epoch() const { return counters_.epoch(); }
  // The newest time given to a change; no later time will be smaller.
  int64_t time_ns() const { return counters_.time_ns(); }
  Statistics statistics() const;
  const OpenTable& opens() const { return opens_; }
  const LockTable& locks() const { return *locks_; }

  const wire::SessionRecord* FindSession(SessionId session) const;
  std::vector<const wire::SessionRecord*> Sessions() const;

  const wire::ServerRecord* FindServer(ServerId server) const;
  std::vector<const wire::ServerRecord*> Servers() const;
  const std::vector<wire::Pool>& Pools() const;
  // The bucket table of a pool, indexed by bucket; empty when there is no such pool.
  const std::vector<wire::BucketRecord>& Buckets(PoolId pool) const;
  // The map, or what changed after the epoch `since`.
  wire::ClusterMap Map(uint64_t since) const;

  Result<wire::Attributes> Attributes(InodeId inode) const;
  // From the root of the filesystem, symbolic links are not followed. kNotFound, kNotDirectory.
  Result<wire::Attributes> Resolve(std::string_view path) const;
  // One path of the inode from the root: "/a/b". kNotFound: its last known name is gone.
  Result<std::string> PathOf(InodeId inode) const;

  // Entries of the garbage queue after `after`, at most `limit`.
  Result<std::vector<wire::GarbageItem>> Garbage(uint64_t after, size_t limit) const;
  // Inodes after `after` with content, out of at most `limit` of all kinds; `last` is where the next
  // page begins.
  Result<wire::ListFilesReply> Files(InodeId after, size_t limit) const;
  // All data ids that were ever given out are smaller.
  DataId next_data() const { return DataId{counters_.next_data()}; }
  // Inodes without a name after `after`, at most `limit`.
  Result<std::vector<InodeId>> Orphans(InodeId after, size_t limit) const;

 private:
  explicit StateMachine(Database database);

  Result<void> Load();
  Result<void> LoadLocks();

  // Each command lies between these; `ok` false takes back what it put.
  int64_t Begin(const wire::Command& command);
  void End(bool ok);

  Outcome ApplyMeta(const wire::Command& command);
  // Of a change that is said again: it gets the numbers and the time that it had.
  Result<void> Expect(const wire::MetaRequest& request);
  Outcome Replay(const wire::MetaRequest& request, wire::SlotRecord answer);
  Result<wire::MetaReply> ApplyOperation(Change& change, const wire::MetaRequest& request);
  Result<wire::MetaReply> ApplyLock(Change& change, const wire::SetLock& ask);
  Result<wire::MetaReply> ApplyLock(Change& change, const wire::CancelLock& ask);
  Result<wire::MetaReply> ApplyLock(Change& change, const wire::ReleaseLocks& ask);
  Result<wire::MetaReply> ApplyLock(Change& change, const wire::Close& ask);
  // Puts the records and tells the grants.
  void Persist(LockChanges& changes, Events& events);
  void CountOpens(const wire::MetaRequest& request, const wire::MetaReply& reply);

  Result<void> ApplyCommand(const wire::Command& command, Change& change, Outcome& outcome);
  Result<void> OpenSession(Change& change, const wire::OpenSessionRequest& ask, Outcome& outcome);
  Result<void> EndSession(Change& change, const wire::EndSession& ask);
  Result<void> FormatCluster(Change& change, const wire::FormatCluster& ask);
  Result<void> SetPolicy(const wire::SetPolicy& ask);
  Result<void> RemoveGarbage(const wire::GarbageRemoved& ask);

  Overlay overlay_;
  wire::CountersRecord counters_;
  wire::CountersRecord counters_before_;  // of the command that is being applied
  Tree tree_;
  OpenTable opens_;
  std::unique_ptr<SessionTable> sessions_;
  std::unique_ptr<ClusterTable> cluster_;
  std::unique_ptr<LockTable> locks_;
};

}  // namespace ringfs::master
