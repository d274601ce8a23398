#include "master/state/state_machine.h"

#include <algorithm>

#include "common/locks/lock_table.h"
#include "master/state/cluster_table.h"
#include "master/state/keys.h"
#include "master/state/ops/ops.h"
#include "master/state/record.h"
#include "master/state/session_table.h"

namespace ringfs::master {

StateMachine::StateMachine(Database database)
    : overlay_(std::move(database)),
      tree_(overlay_, counters_),
      sessions_(std::make_unique<SessionTable>(overlay_)),
      cluster_(std::make_unique<ClusterTable>(overlay_, counters_)),
      locks_(std::make_unique<LockTable>()) {}

StateMachine::~StateMachine() = default;

Result<std::unique_ptr<StateMachine>> StateMachine::Open(Database database) {
  std::unique_ptr<StateMachine> machine(new StateMachine(std::move(database)));
  Result<void> loaded = machine->Load();
  if (!loaded) return Fail(loaded.error());
  return machine;
}

Result<void> StateMachine::Load() {
  Result<std::optional<std::string>> bytes = overlay_.Get(kCountersKey);
  if (!bytes) return Fail(bytes.error());
  if (*bytes) {
    Result<wire::CountersRecord> counters = ParseRecord<wire::CountersRecord>(**bytes, "counter");
    if (!counters) return Fail(counters.error());
    counters_ = std::move(*counters);
  } else {
    counters_.set_next_inode(Raw(kRootInode));
    counters_.set_next_data(1);
    counters_.set_next_session(1);
    counters_.set_next_server(1);
    counters_.set_next_garbage(1);
  }
  Result<void> loaded = cluster_->Load();
  if (loaded) loaded = sessions_->Load();
  if (loaded) loaded = LoadLocks();
  if (!loaded) return loaded;
  if (*bytes && cluster_->cluster_id().empty()) {
    return Fail(Errc::kCorrupted, "the database has lost its format record");
  }
  return {};
}

Result<void> StateMachine::LoadLocks() {
  std::optional<Error> damage;
  auto visit = [&](std::string_view, std::string_view value) {
    Result<wire::LockRecord> record = ParseRecord<wire::LockRecord>(value, "lock");
    Result<void> loaded;
    if (record) loaded = locks_->Load(*record);
    if (!record) damage = record.error();
    if (!loaded) damage = loaded.error();
    return !damage.has_value();
  };
  Result<void> scanned = overlay_.Scan(kLockPrefix, kLockPrefix, visit);
  if (!scanned) return scanned;
  if (damage) return Fail(*damage);
  locks_->RaiseCounter(counters_.lock_counter());
  return {};
}

int64_t StateMachine::Begin(const wire::Command& command) {
  overlay_.Begin();
  counters_before_ = counters_;
  if (const int64_t made_ns = command.meta().again().time_ns(); made_ns != 0) {
    counters_.set_time_ns(std::max(made_ns, counters_.time_ns()));
    return made_ns;
  }
  // Each change has a later time than the one before, whatever the clock does.
  counters_.set_time_ns(std::max(command.time_ns(), counters_.time_ns() + 1));
  return counters_.time_ns();
}

void StateMachine::End(bool ok) {
  bool changed = false;
  if (ok) {
    changed = overlay_.Accept();
  } else {
    overlay_.Rollback();
  }
  if (!changed) counters_ = counters_before_;
  if (changed) counters_.set_applied_index(counters_.applied_index() + 1);
}

Overlay::Batch StateMachine::TakeBatch() {
  overlay_.Put(kCountersKey, counters_.SerializeAsString());
  return overlay_.Take(counters_.applied_index());
}

Outcome StateMachine::Apply(const wire::Command& command) {
  if (command.has_meta()) return ApplyMeta(command);
  Outcome outcome;
  uint64_t epoch = counters_.epoch();
  int64_t now_ns = Begin(command);
  Change change{tree_, wire::Credentials::default_instance(), SessionId{0}, now_ns, outcome.events};
  Result<void> applied = ApplyCommand(command, change, outcome);
  End(bool{applied});
  outcome.touched = tree_.TakeTouched();
  if (!applied) {
    outcome.touched.clear();
    outcome.events = {};
    outcome.error = applied.error().code;
    outcome.detail = applied.error().detail;
    return outcome;
  }
  outcome.events.garbage_added = tree_.TookGarbage();
  outcome.events.map_changed = counters_.epoch() != epoch;
  return outcome;
}

Outcome StateMachine::ApplyMeta(const wire::Command& command) {
  const wire::MetaRequest& request = command.meta();
  Outcome outcome;
  SessionId session{request.session()};
  const wire::SessionRecord* known = sessions_->Find(session);
  if (known == nullptr || known->fenced()) {
    outcome.error = Errc::kFenced;
    outcome.detail = "session " + std::to_string(request.session()) + " has ended";
    return outcome;
  }
  Result<std::optional<wire::SlotRecord>> earlier =
      sessions_->Check(session, request.slot(), request.sequence());
  if (!earlier) {
    outcome.error = earlier.code();
    outcome.detail = earlier.error().detail;
    return outcome;
  }
  if (*earlier) return Replay(request, std::move(**earlier));

  int64_t now_ns = Begin(command);
  Change change{tree_, request.who(), session, now_ns, outcome.events};
  const Result<void> expected = Expect(request);
  Result<wire::MetaReply> reply =
      expected ? ApplyOperation(change, request) : Fail(expected.error());
  tree_.Expect(0, 0);
  outcome.moved_directory = change.moved_directory;
  if (!reply) {
    // Its changes go; the answer is put in a command of its own.
    End(change.keep_changes);
    tree_.TookGarbage();
    tree_.TakeTouched();
    if (!change.keep_changes) outcome.events = {};
    if (change.held_for) {
      outcome.held = true;
      outcome.held_for = *change.held_for;
      return outcome;
    }
    outcome.error = reply.code();
    outcome.detail = reply.error().detail;
    Begin(command);
  } else {
    outcome.reply = std::move(*reply);
    outcome.events.garbage_added = tree_.TookGarbage();
    outcome.touched = tree_.TakeTouched();
    for (InodeId inode : outcome.touched) {
      if (known->caching()) outcome.reply.add_touched(Raw(inode));
    }
  }
  wire::SlotRecord answer;
  answer.set_sequence(request.sequence());
  answer.set_error(static_cast<int>(outcome.error));
  answer.set_detail(outcome.detail);
  *answer.mutable_reply() = outcome.reply;
  sessions_->Record(session, request.slot(), answer);
  End(true);
  if (outcome.error == Errc::kOk) CountOpens(request, outcome.reply);
  return outcome;
}

bool StateMachine::WasApplied(const wire::MetaRequest& request) const {
  return sessions_->Newest(SessionId{request.session()}, request.slot()) >= request.sequence();
}

// The numbers were given once, so they are below the next ones (SkipNumbers), and nobody else's.
Result<void> StateMachine::Expect(const wire::MetaRequest& request) {
  const wire::Again& again = request.again();
  if (again.inode() >= counters_.next_inode() || again.data() >= counters_.next_data()) {
    return Fail(Errc::kProtocol, "a change said again has numbers that were never given");
  }
  if (again.inode() != 0 && tree_.Get(again.inode()).code() != Errc::kStale) {
    return Fail(Errc::kProtocol, "a change said again has the number of an inode that is there");
  }
  tree_.Expect(again.inode(), again.data());
  return {};
}

Outcome StateMachine::Replay(const wire::MetaRequest& request, wire::SlotRecord answer) {
  Outcome outcome;
  outcome.replayed = true;
  outcome.error = ErrcFromWire(answer.error());
  outcome.detail = std::move(*answer.mutable_detail());
  outcome.reply = std::move(*answer.mutable_reply());
  if (outcome.error == Errc::kOk) CountOpens(request, outcome.reply);
  return outcome;
}

void StateMachine::CountOpens(const wire::MetaRequest& request, const wire::MetaReply& reply) {
  SessionId session{request.session()};
  InodeId inode{reply.attributes().inode()};
  if (!sessions_->CountOnce(session, request.slot())) return;
  if (request.has_create()) opens_.Open(session, inode, request.create().writing());
  if (request.has_open()) opens_.Open(session, inode, request.open().writing());
  if (request.has_close()) {
    opens_.Close(session, InodeId{request.close().inode()}, request.close().writing());
  }
}

Result<wire::MetaReply> StateMachine::ApplyOperation(Change& change,
                                                     const wire::MetaRequest& request) {
  using Operation = wire::MetaRequest::OperationCase;
  switch (request.operation_case()) {
    case Operation::kSetAttributes:
      return ApplyChange(change, request.set_attributes());
    case Operation::kCreate:
      return ApplyChange(change, request.create());
    case Operation::kMakeNode:
      return ApplyChange(change, request.make_node());
    case Operation::kLink:
      return ApplyChange(change, request.link());
    case Operation::kUnlink:
      return ApplyChange(change, request.unlink());
    case Operation::kRemoveDirectory:
      return ApplyChange(change, request.remove_directory());
    case Operation::kRename:
      return ApplyChange(change, request.rename());
    case Operation::kSetXattr:
      return ApplyChange(change, request.set_xattr());
    case Operation::kRemoveXattr:
      return ApplyChange(change, request.remove_xattr());
    case Operation::kOpen:
      return ApplyChange(change, request.open());
    case Operation::kExtend:
      return ApplyChange(change, request.extend());
    case Operation::kCutDone:
      return ApplyChange(change, request.cut_done());
    case Operation::kClaimCut:
      return ApplyChange(change, request.claim_cut());
    case Operation::kClose:
      return ApplyLock(change, request.close());
    case Operation::kSetLock:
      return ApplyLock(change, request.set_lock());
    case Operation::kCancelLock:
      return ApplyLock(change, request.cancel_lock());
    case Operation::kReleaseLocks:
      return ApplyLock(change, request.release_locks());
    default:
      return Fail(Errc::kInvalid, "the request changes nothing");
  }
}

}  // namespace ringfs::master
