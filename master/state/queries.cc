// What is read from the state, and what changes only memory.

#include <algorithm>

#include "common/locks/lock_table.h"
#include "master/state/cluster_table.h"
#include "master/state/keys.h"
#include "master/state/ops/ops.h"
#include "master/state/record.h"
#include "master/state/session_table.h"
#include "master/state/state_machine.h"

namespace ringfs::master {

bool StateMachine::IsQuery(const wire::MetaRequest& request) {
  using Operation = wire::MetaRequest::OperationCase;
  switch (request.operation_case()) {
    case Operation::kLookup:
    case Operation::kGetAttributes:
    case Operation::kReadLink:
    case Operation::kReadDirectory:
    case Operation::kGetXattr:
    case Operation::kListXattrs:
    case Operation::kStatFs:
    case Operation::kTestLock:
    case Operation::kLockStatus:
    case Operation::kGetPath:
      return true;
    default:
      return false;
  }
}

Result<wire::MetaReply> StateMachine::Query(const wire::MetaRequest& request) const {
  using Operation = wire::MetaRequest::OperationCase;
  SessionId session{request.session()};
  wire::MetaReply reply;
  switch (request.operation_case()) {
    case Operation::kLookup:
      return Answer(tree_, request.lookup());
    case Operation::kGetAttributes:
      return Answer(tree_, request.get_attributes());
    case Operation::kReadLink:
      return Answer(tree_, request.read_link());
    case Operation::kReadDirectory:
      return Answer(tree_, request.read_directory());
    case Operation::kGetXattr:
      return Answer(tree_, request.get_xattr());
    case Operation::kListXattrs:
      return Answer(tree_, request.list_xattrs());
    case Operation::kStatFs:
      return Answer(tree_, request.stat_fs());
    case Operation::kTestLock: {
      Result<wire::TestLockReply> tested = locks_->Test(session, request.test_lock());
      if (!tested) return Fail(tested.error());
      *reply.mutable_test_lock() = std::move(*tested);
      return reply;
    }
    case Operation::kLockStatus: {
      const wire::LockStatus& ask = request.lock_status();
      bool waiting = locks_->Waits(session, InodeId{ask.inode()}, ask.waiter());
      reply.mutable_lock_status()->set_waiting(waiting);
      reply.mutable_lock_status()->set_granted(!waiting);
      return reply;
    }
    case Operation::kGetPath: {
      Result<std::string> path = PathOf(InodeId{request.get_path().inode()});
      if (!path) return Fail(path.error());
      reply.set_value(*std::move(path));
      return reply;
    }
    default:
      return Fail(Errc::kInvalid, "the request is no query");
  }
}

Result<wire::MetaReply> StateMachine::OpenInMemory(SessionId session, const wire::Open& open) {
  Result<wire::InodeRecord> record = tree_.Get(open.inode());
  if (!record) return Fail(record.error());
  opens_.Open(session, InodeId{open.inode()}, open.writing());
  return ReplyWith(*record);
}

void StateMachine::OpenUnsaid(SessionId session, InodeId inode, uint32_t readers,
                              uint32_t writers) {
  if ((readers == 0 && writers == 0) || !tree_.Get(Raw(inode))) return;
  opens_.Add(session, inode, readers, writers);
}

void StateMachine::CloseInMemory(SessionId session, const wire::Close& close) {
  opens_.Close(session, InodeId{close.inode()}, close.writing());
}

bool StateMachine::ClosesLocks(SessionId session, const wire::Close& close) const {
  if (close.handle() == 0 || locks_->SizeOf(session) == 0) return false;
  return std::ranges::any_of(locks_->List(InodeId{close.inode()}), [&](const wire::LockInfo& lock) {
    return lock.session() == Raw(session) && lock.handle() == close.handle();
  });
}

void StateMachine::Reassert(SessionId session,
                            const google::protobuf::RepeatedPtrField<wire::OpenInode>& open) {
  opens_.Reassert(session, open);
  sessions_->ForgetCounts(session);
}

const std::string& StateMachine::cluster_id() const { return cluster_->cluster_id(); }

Statistics StateMachine::statistics() const {
  return Statistics{counters_.inodes(), counters_.files_bytes(), counters_.garbage_entries()};
}

const wire::SessionRecord* StateMachine::FindSession(SessionId session) const {
  return sessions_->Find(session);
}

std::vector<const wire::SessionRecord*> StateMachine::Sessions() const { return sessions_->All(); }

const wire::ServerRecord* StateMachine::FindServer(ServerId server) const {
  auto found = cluster_->servers().find(server);
  return found != cluster_->servers().end() ? &found->second : nullptr;
}

std::vector<const wire::ServerRecord*> StateMachine::Servers() const {
  std::vector<const wire::ServerRecord*> servers;
  for (const auto& [id, record] : cluster_->servers()) servers.push_back(&record);
  return servers;
}

const std::vector<wire::Pool>& StateMachine::Pools() const { return cluster_->pools(); }

const std::vector<wire::BucketRecord>& StateMachine::Buckets(PoolId pool) const {
  return cluster_->Buckets(pool);
}

wire::ClusterMap StateMachine::Map(uint64_t since) const { return cluster_->Map(since); }

Result<wire::Attributes> StateMachine::Attributes(InodeId inode) const {
  Result<wire::InodeRecord> record = tree_.Get(Raw(inode));
  if (!record) return Fail(record.error());
  return std::move(*record->mutable_attributes());
}

Result<wire::Attributes> StateMachine::Resolve(std::string_view path) const {
  wire::Lookup step;
  step.set_parent(Raw(kRootInode));
  while (!path.empty()) {
    std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (name.empty()) continue;
    step.set_name(name.data(), name.size());
    Result<wire::MetaReply> found = Answer(tree_, step);
    if (!found) return Fail(found.error());
    step.set_parent(found->attributes().inode());
  }
  return Attributes(InodeId{step.parent()});
}

Result<std::string> StateMachine::PathOf(InodeId inode) const {
  std::string path;
  for (uint64_t at = Raw(inode); at != Raw(kRootInode);) {
    Result<wire::InodeRecord> record = tree_.Get(at);
    if (!record) return Fail(record.error());
    if (record->name().empty()) return Fail(Errc::kNotFound, "no name of it is known");
    path.insert(0, "/" + record->name());
    at = record->parent();
  }
  return path.empty() ? "/" : path;
}

Result<std::vector<wire::GarbageItem>> StateMachine::Garbage(uint64_t after, size_t limit) const {
  std::vector<wire::GarbageItem> items;
  std::optional<Error> damage;
  auto visit = [&](std::string_view, std::string_view value) {
    if (items.size() == limit) return false;
    Result<wire::GarbageItem> item = ParseRecord<wire::GarbageItem>(value, "garbage entry");
    if (!item) {
      damage = item.error();
      return false;
    }
    items.push_back(std::move(*item));
    return true;
  };
  Result<void> scanned = overlay_.Scan(kGarbagePrefix, GarbageKey(after + 1), visit);
  if (!scanned) return Fail(scanned.error());
  if (damage) return Fail(*damage);
  return items;
}

Result<wire::ListFilesReply> StateMachine::Files(InodeId after, size_t limit) const {
  wire::ListFilesReply files;
  files.set_last(Raw(after));
  files.set_end(true);
  std::optional<Error> damage;
  size_t seen = 0;
  auto visit = [&](std::string_view, std::string_view value) {
    if (seen++ == limit) {
      files.set_end(false);
      return false;
    }
    Result<wire::InodeRecord> record = ParseRecord<wire::InodeRecord>(value, "inode");
    if (!record) {
      damage = record.error();
      return false;
    }
    const wire::Attributes& attributes = record->attributes();
    files.set_last(attributes.inode());
    if (attributes.data() == 0) return true;
    wire::FileContent& file = *files.add_files();
    file.set_inode(attributes.inode());
    file.set_pool(attributes.pool());
    file.set_data(attributes.data());
    file.set_size(attributes.size());
    file.set_block_size(attributes.block_size());
    return true;
  };
  Result<void> scanned = overlay_.Scan(kInodePrefix, InodeKey(Raw(after) + 1), visit);
  if (!scanned) return Fail(scanned.error());
  if (damage) return Fail(*damage);
  return files;
}

Result<std::vector<InodeId>> StateMachine::Orphans(InodeId after, size_t limit) const {
  std::vector<InodeId> orphans;
  auto visit = [&](std::string_view key, std::string_view) {
    if (orphans.size() == limit) return false;
    orphans.push_back(InodeId{Number64(key, kOrphanPrefix.size())});
    return true;
  };
  Result<void> scanned = overlay_.Scan(kOrphanPrefix, OrphanKey(Raw(after) + 1), visit);
  if (!scanned) return Fail(scanned.error());
  return orphans;
}

}  // namespace ringfs::master
