#include "tests/support/fake_master.h"

#include <sys/stat.h>

#include <algorithm>

#include "common/ids.h"

namespace ringfs {

using Operation = wire::MetaRequest::OperationCase;

FakeMaster::FakeMaster(asio::any_io_executor executor) : released_(std::move(executor)) {
  map.set_epoch(1);
  map.set_complete(true);
  map.set_cluster_id("the test cluster");
}

asio::awaitable<Result<rpc::Reply>> FakeMaster::Handle(std::shared_ptr<rpc::Peer> from,
                                                       rpc::Call call) {
  switch (call.method) {
    case wire::MASTER_OPEN_SESSION: {
      auto request = rpc::Parse<wire::OpenSessionRequest>(call.body);
      if (!request) co_return Fail(request.error());
      auto reply = OpenSession(from, *request);
      if (!reply) co_return Fail(reply.error());
      co_return rpc::ReplyWith(*reply);
    }
    case wire::MASTER_KEEP_ALIVE: {
      auto request = rpc::Parse<wire::KeepAliveRequest>(call.body);
      if (!request) co_return Fail(request.error());
      while (mute) co_await released_.Wait();
      if (expired.contains(request->session())) co_return Fail(Errc::kFenced);
      wire::KeepAliveReply reply;
      reply.set_epoch(map.epoch());
      co_return rpc::ReplyWith(reply);
    }
    case wire::MASTER_CLOSE_SESSION:
      co_return rpc::ReplyWith(wire::CloseSessionReply());
    case wire::MASTER_GET_MAP:
      co_return rpc::ReplyWith(map);
    case wire::MASTER_META: {
      auto request = rpc::Parse<wire::MetaRequest>(call.body);
      if (!request) co_return Fail(request.error());
      co_return co_await HandleMeta(from, *std::move(request));
    }
    case wire::MASTER_LEASE_ANSWERS: {
      auto request = rpc::Parse<wire::LeaseAnswersRequest>(call.body);
      if (!request) co_return Fail(request.error());
      for (const wire::LeaseAnswer& answer : request->answers()) {
        lease_answers.push_back(answer);
        if (answer.kept() == wire::LEASE_NONE) leases_.erase(answer.inode());
      }
      if (request->all_dropped()) ++all_dropped;
      co_return rpc::ReplyWith(wire::LeaseAnswersReply());
    }
    default:
      co_return Fail(Errc::kNotSupported);
  }
}

void FakeMaster::Grant(uint64_t inode, wire::LeaseKind kind, wire::MetaReply& reply) {
  uint64_t& number = leases_[inode];
  if (number == 0) number = ++last_lease_;
  wire::LeaseGrant& grant = *reply.add_leases();
  grant.set_inode(inode);
  grant.set_kind(kind);
  grant.set_number(number);
}

void FakeMaster::AddGrants(const wire::MetaRequest& request, wire::MetaReply& reply) {
  if (request.has_lookup() || request.has_create() || request.has_unlink()) {
    Grant(1, *grants, reply);
  }
  if (reply.has_attributes()) Grant(reply.attributes().inode(), *grants, reply);
}

void FakeMaster::PushRecall(uint64_t inode, wire::LeaseKind keep) {
  wire::RecallPush push;
  push.set_inode(inode);
  push.set_number(leases_[inode]);
  push.set_keep(keep);
  peer->Push(wire::MASTER_PUSH_RECALL, push);
}

void FakeMaster::Restart() {
  ++run;
  leases_.clear();
  peer->Close();
}

Result<wire::OpenSessionReply> FakeMaster::OpenSession(const std::shared_ptr<rpc::Peer>& from,
                                                       const wire::OpenSessionRequest& request) {
  sessions_opened.push_back(request);
  if (expired.contains(request.session())) return Fail(Errc::kFenced, "it has expired");
  if (request.session() == 0) ++session;
  peer = from;
  wire::OpenSessionReply reply;
  reply.set_session(session);
  reply.set_run(run);
  reply.set_ttl_ms(ttl_ms);
  reply.set_slots(slots);
  reply.set_cluster_id(map.cluster_id());
  reply.set_root(1);
  *reply.mutable_map() = map;
  return reply;
}

asio::awaitable<Result<rpc::Reply>> FakeMaster::HandleMeta(std::shared_ptr<rpc::Peer> from,
                                                           wire::MetaRequest request) {
  asked.push_back(request);
  if (expired.contains(request.session())) co_return Fail(Errc::kFenced, "it has expired");
  while (hold && hold(request)) co_await released_.Wait();
  if (before) {
    if (auto error = before(request)) co_return Fail(*error);
  }
  Result<wire::MetaReply> reply = Fail(Errc::kProtocol);
  if (request.sequence() == 0) {
    reply = Apply(request);
  } else {
    Slot& slot = slots_[{request.session(), request.slot()}];
    if (request.sequence() < slot.sequence) co_return Fail(Errc::kProtocol, "sequence");
    if (request.sequence() > slot.sequence) {
      slot = Slot{request.sequence(), Apply(request)};
      ++applied;
    }
    reply = slot.reply;
  }
  if (lose_answer && lose_answer(request)) from->Close();
  if (!reply) co_return Fail(reply.error());
  if (grants) AddGrants(request, *reply);
  if (lease_locks && request.set_lock().lease()) {
    Grant(Raw(LocksOf(InodeId{request.set_lock().inode()})), wire::LEASE_WRITE, *reply);
  }
  if (answers_early && request.keeps()) {
    reply->set_unflushed(++last_change_);
    reply->set_made_ns(static_cast<int64_t>(1000 + last_change_));
  }
  if (request.has_flush_names()) flushed = last_change_;
  reply->set_flushed(flushed);
  co_return rpc::ReplyWith(*reply);
}

Result<wire::MetaReply> FakeMaster::ReplyWith(uint64_t inode) {
  const auto file = files.find(inode);
  if (file == files.end()) return Fail(Errc::kStale);
  wire::MetaReply reply;
  *reply.mutable_attributes() = file->second;
  return reply;
}

Result<wire::MetaReply> FakeMaster::Apply(const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case Operation::kLookup: {
      const auto found = names.find(request.lookup().name());
      if (found != names.end()) return ReplyWith(found->second);
      if (!grants) return Fail(Errc::kNotFound);
      wire::MetaReply reply;
      reply.set_absent(true);
      return reply;
    }
    case Operation::kCreate:
      return Create(request.create());
    case Operation::kUnlink:
      if (names.erase(request.unlink().name()) == 0) return Fail(Errc::kNotFound);
      return removed == 0 ? wire::MetaReply() : ReplyWith(removed);
    case Operation::kClose:
      return locks ? ApplyLockForReal(request) : wire::MetaReply();
    case Operation::kAbortAppend:
    case Operation::kFlushNames:
      return wire::MetaReply();
    case Operation::kSetLock:
    case Operation::kCancelLock:
    case Operation::kLockStatus:
    case Operation::kTestLock:
    case Operation::kReleaseLocks:
      return ApplyLock(request);
    default:
      return ApplyToFile(request);
  }
}

Result<wire::MetaReply> FakeMaster::Create(const wire::Create& create) {
  const auto found = names.find(create.name());
  if (found != names.end()) {
    if (create.exclusive()) return Fail(Errc::kExists);
    return ReplyWith(found->second);
  }
  const uint64_t inode = ++last_inode_;
  wire::Attributes& file = files[inode];
  file.set_inode(inode);
  file.set_mode(S_IFREG | create.mode());
  file.set_data(++last_data_);
  file.set_pool(1);
  file.set_block_size(kMinBlockSize);
  names[create.name()] = inode;
  auto reply = ReplyWith(inode);
  reply->set_created(true);
  return reply;
}

Result<wire::MetaReply> FakeMaster::ApplyToFile(const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case Operation::kGetAttributes:
      return ReplyWith(request.get_attributes().inode());
    case Operation::kOpen:
      return ReplyWith(request.open().inode());
    case Operation::kBeginAppend:
      return ReplyWith(request.begin_append().inode());
    case Operation::kSetAttributes:
      return Resize(request.session(), request.set_attributes());
    case Operation::kExtend:
      return Extend(request.extend());
    case Operation::kCutDone: {
      wire::Attributes& file = files[request.cut_done().inode()];
      if (file.has_cut() && file.generation() == request.cut_done().generation()) {
        file.clear_cut();
        file.set_generation(file.generation() + 1);
      }
      return ReplyWith(file.inode());
    }
    case Operation::kClaimCut: {
      wire::Attributes& file = files[request.claim_cut().inode()];
      if (file.has_cut()) file.mutable_cut()->set_session(request.session());
      return ReplyWith(file.inode());
    }
    default:
      return Fail(Errc::kNotSupported);
  }
}

Result<wire::MetaReply> FakeMaster::Resize(uint64_t session_id, const wire::SetAttributes& set) {
  wire::Attributes& file = files[set.inode()];
  if (set.has_mode()) file.set_mode((file.mode() & S_IFMT) | set.mode());
  if (set.has_size() && file.has_cut()) return Fail(Errc::kBusy);
  if (set.has_size() && set.size() == 0) {
    file.set_data(++last_data_);
  } else if (set.has_size() && set.size() < file.size()) {
    file.set_generation(file.generation() + 1);
    file.mutable_cut()->set_session(session_id);
    file.mutable_cut()->set_from(set.size());
  }
  if (set.has_size()) file.set_size(set.size());
  return ReplyWith(set.inode());
}

Result<wire::MetaReply> FakeMaster::Extend(const wire::Extend& extend) {
  const auto found = files.find(extend.inode());
  if (found == files.end()) return Fail(Errc::kStale);
  wire::Attributes& file = found->second;
  if (extend.data() != file.data() || extend.generation() != file.generation()) {
    return Fail(Errc::kStale);
  }
  if (extend.end() > file.size()) {
    if (file.has_cut()) return Fail(Errc::kBusy);
    file.set_size(extend.end());
  }
  if (extend.has_mode()) file.set_mode(extend.mode());
  if (extend.has_mtime_ns()) file.set_mtime_ns(extend.mtime_ns());
  return ReplyWith(extend.inode());
}

Result<wire::MetaReply> FakeMaster::ApplyLockForReal(const wire::MetaRequest& request) {
  const SessionId from{request.session()};
  wire::MetaReply reply;
  LockChanges changes;
  SetLockAnswer answer;
  if (request.has_set_lock()) {
    answer = locks->Set(from, request.set_lock(), 0, changes);
    reply.mutable_set_lock()->set_queued(answer.queued);
  } else if (request.has_cancel_lock()) {
    const wire::CancelLock& cancel = request.cancel_lock();
    const bool withdrawn =
        locks->Cancel(from, InodeId{cancel.inode()}, cancel.waiter(), 0, changes);
    reply.mutable_cancel_lock()->set_granted(!withdrawn);
  } else if (request.has_release_locks()) {
    locks->Release(from, request.release_locks(), 0, changes);
  } else if (request.has_close() && request.close().handle() != 0) {
    wire::ReleaseLocks release;
    release.set_inode(request.close().inode());
    release.set_handle(request.close().handle());
    locks->Release(from, release, 0, changes);
  }
  for (const wire::GrantPush& grant : changes.granted) {
    if (grant.session() == session) PushGrant(grant.inode(), grant.waiter());
  }
  if (answer.error != Errc::kOk) return Fail(answer.error);
  return reply;
}

Result<wire::MetaReply> FakeMaster::ApplyLock(const wire::MetaRequest& request) {
  if (locks) return ApplyLockForReal(request);
  wire::MetaReply reply;
  if (request.has_set_lock()) {
    reply.mutable_set_lock()->set_queued(queue_locks && request.set_lock().wait());
  } else if (request.has_cancel_lock()) {
    reply.mutable_cancel_lock()->set_granted(cancel_finds_granted);
  } else if (request.has_lock_status()) {
    *reply.mutable_lock_status() = lock_status;
  } else if (request.has_test_lock()) {
    reply.mutable_test_lock()->set_blocked(true);
  }
  return reply;
}

void FakeMaster::PushGrant(uint64_t inode, uint64_t waiter) {
  wire::GrantPush push;
  push.set_session(session);
  push.set_inode(inode);
  push.set_waiter(waiter);
  peer->Push(wire::MASTER_PUSH_GRANT, push);
}

void FakeMaster::PushEpoch() {
  wire::MapPush push;
  push.set_epoch(map.epoch());
  peer->Push(wire::MASTER_PUSH_MAP, push);
}

int FakeMaster::Count(Operation operation) const {
  return static_cast<int>(std::count_if(asked.begin(), asked.end(), [&](const auto& each) {
    return each.operation_case() == operation;
  }));
}

const wire::MetaRequest* FakeMaster::Last(Operation operation) const {
  for (auto each = asked.rbegin(); each != asked.rend(); ++each) {
    if (each->operation_case() == operation) return &*each;
  }
  return nullptr;
}

}  // namespace ringfs
