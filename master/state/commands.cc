// The commands that are not of a session's making, and locks.

#include <bit>

#include "common/locks/lock_table.h"
#include "master/state/cluster_table.h"
#include "master/state/keys.h"
#include "master/state/ops/ops.h"
#include "master/state/session_table.h"
#include "master/state/state_machine.h"

namespace ringfs::master {
namespace {

constexpr size_t kClientBytes = 16;
constexpr size_t kMaxSessionTextBytes = 4096;
constexpr int64_t kDefaultTtlMs = 10'000;

Result<void> CheckSession(const wire::OpenSessionRequest& ask, const std::string& cluster_id) {
  if (cluster_id.empty()) return Fail(Errc::kUnavailable, "the cluster has not been formatted");
  if (!ask.cluster_id().empty() && ask.cluster_id() != cluster_id) {
    return Fail(Errc::kWrongCluster, "the client is of another cluster");
  }
  if (ask.session() != 0) return Fail(Errc::kInvalid, "only a new session enters the log");
  if (ask.client().size() != kClientBytes) {
    return Fail(Errc::kInvalid, "the identity of a client must have 16 bytes");
  }
  for (const std::string* text :
       {&ask.host(), &ask.mountpoint(), &ask.version(), &ask.subdirectory()}) {
    if (text->size() > kMaxSessionTextBytes) return Fail(Errc::kInvalid, "a text is too long");
  }
  if (ask.ttl_ms() < 0) return Fail(Errc::kInvalid, "a negative time to live");
  return {};
}

}  // namespace

Result<void> StateMachine::ApplyCommand(const wire::Command& command, Change& change,
                                        Outcome& outcome) {
  switch (command.change_case()) {
    case wire::Command::kOpenSession:
      return OpenSession(change, command.open_session(), outcome);
    case wire::Command::kEndSession:
      return EndSession(change, command.end_session());
    case wire::Command::kFenceSession: {
      SessionId session{command.fence_session().session()};
      const wire::SessionRecord* known = sessions_->Find(session);
      if (known != nullptr && !known->fenced()) sessions_->Fence(session);
      return {};
    }
    case wire::Command::kRegisterServer: {
      Result<ClusterTable::Registered> registered = cluster_->Register(command.register_server());
      if (!registered) return Fail(registered.error());
      outcome.server = registered->server;
      outcome.server_restarted = registered->restarted;
      return {};
    }
    case wire::Command::kChangeMembers:
      return cluster_->ChangeMembers(command.change_members());
    case wire::Command::kChangeServer:
      return cluster_->ChangeServer(command.change_server());
    case wire::Command::kGarbageRemoved:
      return RemoveGarbage(command.garbage_removed());
    case wire::Command::kAddGarbage:
      for (const wire::ContentId& content : command.add_garbage().contents()) {
        tree_.AddGarbage(PoolId{content.pool()}, DataId{content.data()});
      }
      return {};
    case wire::Command::kCollectInodes:
      return Collect(change, command.collect_inodes());
    case wire::Command::kFormatCluster:
      return FormatCluster(change, command.format_cluster());
    case wire::Command::kSkipNumbers: {
      const uint64_t count = command.skip_numbers().count();
      counters_.set_next_inode(counters_.next_inode() + count);
      counters_.set_next_data(counters_.next_data() + count);
      overlay_.Put(kCountersKey, counters_.SerializeAsString());
      return {};
    }
    case wire::Command::kSetPolicy:
      return SetPolicy(command.set_policy());
    default:
      return Fail(Errc::kInvalid, "an unknown command");
  }
}

Result<void> StateMachine::OpenSession(Change& change, const wire::OpenSessionRequest& ask,
                                       Outcome& outcome) {
  Result<void> checked = CheckSession(ask, cluster_id());
  if (!checked) return checked;
  if (const wire::SessionRecord* known = sessions_->FindClient(ask.client())) {
    // The answer to the first try was lost.
    outcome.session = SessionId{known->session()};
    outcome.root = InodeId{known->root()};
    return {};
  }
  Result<wire::Attributes> root = Resolve(ask.subdirectory());
  if (!root) return Fail(root.error());
  if (!IsDirectory(root->mode())) return Fail(Errc::kNotDirectory, "the root of the mount");
  wire::SessionRecord record;
  record.set_session(counters_.next_session());
  counters_.set_next_session(counters_.next_session() + 1);
  record.set_client(ask.client());
  record.set_host(ask.host());
  record.set_pid(ask.pid());
  record.set_mountpoint(ask.mountpoint());
  record.set_version(ask.version());
  record.set_ttl_ms(ask.ttl_ms() == 0 ? kDefaultTtlMs : ask.ttl_ms());
  record.set_subdirectory(ask.subdirectory());
  record.set_root(root->inode());
  record.set_opened_ns(change.now_ns);
  record.set_caching(ask.caching());
  sessions_->Add(record);
  outcome.session = SessionId{record.session()};
  outcome.root = InodeId{record.root()};
  return {};
}

Result<void> StateMachine::EndSession(Change& change, const wire::EndSession& ask) {
  SessionId session{ask.session()};
  if (sessions_->Find(session) == nullptr) return {};
  Result<void> released = ReleaseCuts(change, ask);
  if (!released) return released;
  LockChanges changes;
  locks_->EndSession(session, change.now_ns, changes);
  Persist(changes, change.events);
  sessions_->Remove(session);
  opens_.End(session);
  return {};
}

Result<void> StateMachine::FormatCluster(Change& change, const wire::FormatCluster& ask) {
  Result<void> formatted = cluster_->Format(ask);
  if (formatted) MakeRoot(tree_, change.now_ns);
  return formatted;
}

Result<void> StateMachine::RemoveGarbage(const wire::GarbageRemoved& ask) {
  for (uint64_t entry : ask.entries()) {
    std::string key = GarbageKey(entry);
    Result<std::optional<std::string>> known = overlay_.Get(key);
    if (!known) return Fail(known.error());
    if (!*known) continue;
    overlay_.Delete(key);
    counters_.set_garbage_entries(counters_.garbage_entries() - 1);
  }
  return {};
}

Result<void> StateMachine::SetPolicy(const wire::SetPolicy& ask) {
  Result<wire::InodeRecord> record = tree_.GetLiveDirectory(ask.inode());
  if (!record) return Fail(record.error());
  const uint32_t size = ask.block_size();
  if (size != 0 && (!std::has_single_bit(size) || size < kMinBlockSize || size > kMaxBlockSize)) {
    return Fail(Errc::kInvalid, "a block is a power of two from 64 KiB to 64 MiB");
  }
  if (ask.replicas() != 0) {
    const Result<PoolId> pool = cluster_->PoolOf(ask.replicas());
    if (!pool) return Fail(pool.error());
    record->mutable_attributes()->set_pool(Raw(*pool));
  }
  if (size != 0) record->mutable_attributes()->set_block_size(size);
  tree_.Put(*record);
  return {};
}

void StateMachine::Persist(LockChanges& changes, Events& events) {
  for (const LockRecordChange& change : changes.records) {
    std::string key = LockKey(Raw(change.inode), change.id);
    if (change.record) {
      overlay_.Put(key, change.record->SerializeAsString());
    } else {
      overlay_.Delete(key);
    }
  }
  counters_.set_lock_counter(locks_->counter());
  std::ranges::move(changes.granted, std::back_inserter(events.grants));
}

Result<wire::MetaReply> StateMachine::ApplyLock(Change& change, const wire::SetLock& ask) {
  if (ask.type() != wire::LOCK_UNLOCK) {
    Result<wire::InodeRecord> record = tree_.Get(ask.inode());
    if (!record) return Fail(record.error());
  }
  LockChanges changes;
  SetLockAnswer answer = locks_->Set(change.session, ask, change.now_ns, changes);
  Persist(changes, change.events);
  if (answer.error != Errc::kOk) {
    change.keep_changes = true;
    return Fail(answer.error, "the lock is not granted");
  }
  wire::MetaReply reply;
  reply.mutable_set_lock()->set_queued(answer.queued);
  reply.mutable_set_lock()->set_grant(answer.grant);
  return reply;
}

Result<wire::MetaReply> StateMachine::ApplyLock(Change& change, const wire::CancelLock& ask) {
  LockChanges changes;
  bool withdrawn =
      locks_->Cancel(change.session, InodeId{ask.inode()}, ask.waiter(), change.now_ns, changes);
  Persist(changes, change.events);
  wire::MetaReply reply;
  reply.mutable_cancel_lock()->set_granted(!withdrawn);
  return reply;
}

Result<wire::MetaReply> StateMachine::ApplyLock(Change& change, const wire::ReleaseLocks& ask) {
  LockChanges changes;
  locks_->Release(change.session, ask, change.now_ns, changes);
  Persist(changes, change.events);
  return wire::MetaReply();
}

Result<wire::MetaReply> StateMachine::ApplyLock(Change& change, const wire::Close& ask) {
  if (ask.handle() == 0) return wire::MetaReply();
  wire::ReleaseLocks release;
  release.set_inode(ask.inode());
  release.set_handle(ask.handle());
  return ApplyLock(change, release);
}

}  // namespace ringfs::master
