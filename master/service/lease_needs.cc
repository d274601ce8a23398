#include "master/service/lease_needs.h"

#include <string>

namespace ringfs::master {
namespace {

using NeedCase = wire::MetaRequest::OperationCase;

constexpr uint32_t kRenameNoReplace = 1;

// What the name stands for; 0: nothing.
InodeId Peek(const StateMachine& state, uint64_t parent, const std::string& name) {
  wire::MetaRequest lookup;
  lookup.mutable_lookup()->set_parent(parent);
  lookup.mutable_lookup()->set_name(name);
  const Result<wire::MetaReply> found = state.Query(lookup);
  return InodeId{found ? found->attributes().inode() : 0};
}

LeaseWants Changes(uint64_t inode) {
  LeaseWants wants;
  wants.Add(InodeId{inode}, LeaseNeed::kChange);
  return wants;
}

// Whether the name is there, or who has the lock, may be known only when all have returned.
LeaseWants Knows(uint64_t inode) {
  LeaseWants wants;
  wants.Add(InodeId{inode}, LeaseNeed::kReturned);
  return wants;
}

LeaseNeed NeedOfOpen(const StateMachine& state, const wire::MetaRequest& request, InodeId inode,
                     bool writing) {
  const SessionId session{request.session()};
  return writing && state.opens().IsWrittenElsewhere(session, inode) ? LeaseNeed::kChange
                                                                     : LeaseNeed::kRead;
}

// A name that comes to be.
LeaseWants NeedsOfNew(const StateMachine& state, uint64_t parent, const std::string& name) {
  return Peek(state, parent, name) == InodeId{0} ? Changes(parent) : Knows(parent);
}

// A name that goes.
LeaseWants NeedsOfGone(const StateMachine& state, uint64_t parent, const std::string& name) {
  const InodeId inode = Peek(state, parent, name);
  if (inode == InodeId{0}) return Knows(parent);
  LeaseWants wants = Changes(parent);
  wants.Add(inode, LeaseNeed::kChange);
  return wants;
}

LeaseWants NeedsOf(const StateMachine& state, const wire::MetaRequest& request) {
  const wire::Create& ask = request.create();
  const InodeId inode = Peek(state, ask.parent(), ask.name());
  if (inode == InodeId{0}) return Changes(ask.parent());
  LeaseWants wants = Knows(ask.parent());
  if (!ask.exclusive()) {
    const bool writing = ask.writing();
    wants.Add(inode, ask.truncate() ? LeaseNeed::kChange
                                    : NeedOfOpen(state, request, inode, writing));
  }
  return wants;
}

LeaseWants NeedsOf(const StateMachine& state, const wire::Rename& ask) {
  const InodeId from = Peek(state, ask.parent(), ask.name());
  const InodeId to = Peek(state, ask.new_parent(), ask.new_name());
  const bool refused = to != InodeId{0} && ask.flags() == kRenameNoReplace;
  if (from == InodeId{0} || from == to || refused) return Knows(ask.parent());
  LeaseWants wants = Changes(ask.parent());
  wants.Add(InodeId{ask.new_parent()}, LeaseNeed::kChange);
  wants.Add(from, LeaseNeed::kChange);
  if (to != InodeId{0}) wants.Add(to, LeaseNeed::kChange);
  return wants;
}

LeaseWants NeedsOf(const StateMachine& state, const wire::Link& ask) {
  LeaseWants wants = NeedsOfNew(state, ask.parent(), ask.name());
  if (wants.begin()->need == LeaseNeed::kChange) {
    wants.Add(InodeId{ask.inode()}, LeaseNeed::kChange);
  }
  return wants;
}

LeaseWants NeedsOf(const wire::SetAttributes& ask) {
  const bool more = ask.has_mode() || ask.has_uid() || ask.has_gid() || ask.has_size() ||
                    ask.has_mtime_ns() || ask.mtime_now() || ask.kill_set_ids();
  return ask.was_read() && !more ? LeaseWants() : Changes(ask.inode());
}

LeaseWants NeedsOf(const wire::SetLock& ask) {
  if (ask.type() == wire::LOCK_UNLOCK) return {};
  LeaseWants wants = Knows(ask.inode());
  if (ask.kind() == wire::LOCK_FLOCK) {
    wants.Add(LocksOf(InodeId{ask.inode()}), LeaseNeed::kChange);
  }
  return wants;
}

// Inodes whose attributes or content the answer shows, besides those in the answer itself.
uint64_t InodeAsked(const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case NeedCase::kGetAttributes:
      return request.get_attributes().inode();
    case NeedCase::kReadLink:
      return request.read_link().inode();
    case NeedCase::kReadDirectory:
      return request.read_directory().inode();
    case NeedCase::kGetXattr:
      return request.get_xattr().inode();
    case NeedCase::kListXattrs:
      return request.list_xattrs().inode();
    case NeedCase::kOpen:
      return request.open().inode();
    case NeedCase::kBeginAppend:
      return request.begin_append().inode();
    case NeedCase::kLookup:
      return request.lookup().parent();
    default:
      return 0;
  }
}

}  // namespace

LeaseWants NeedsOfChange(const StateMachine& state, const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case NeedCase::kSetAttributes:
      return NeedsOf(request.set_attributes());
    case NeedCase::kCreate:
      return NeedsOf(state, request);
    case NeedCase::kMakeNode:
      return NeedsOfNew(state, request.make_node().parent(), request.make_node().name());
    case NeedCase::kLink:
      return NeedsOf(state, request.link());
    case NeedCase::kUnlink:
      return NeedsOfGone(state, request.unlink().parent(), request.unlink().name());
    case NeedCase::kRemoveDirectory:
      return NeedsOfGone(state, request.remove_directory().parent(),
                         request.remove_directory().name());
    case NeedCase::kRename:
      return NeedsOf(state, request.rename());
    case NeedCase::kSetXattr:
      return Changes(request.set_xattr().inode());
    case NeedCase::kRemoveXattr:
      return Changes(request.remove_xattr().inode());
    case NeedCase::kOpen:
      return Changes(request.open().inode());
    case NeedCase::kExtend:
      return Changes(request.extend().inode());
    case NeedCase::kCutDone:
      return Changes(request.cut_done().inode());
    case NeedCase::kClaimCut:
      return Changes(request.claim_cut().inode());
    case NeedCase::kSetLock:
      return NeedsOf(request.set_lock());
    default:  // what frees locks
      return {};
  }
}

LeaseWants NeedsOfAnswer(const StateMachine& state, const wire::MetaRequest& request,
                         const Result<wire::MetaReply>& answer) {
  if (request.has_test_lock()) return Knows(request.test_lock().inode());
  if (request.has_lock_status()) return Knows(request.lock_status().inode());
  LeaseWants wants;
  const InodeId asked{InodeAsked(request)};
  if (asked != InodeId{0}) {
    wants.Add(asked, NeedOfOpen(state, request, asked, request.open().writing()));
  }
  if (request.has_lookup() && answer) {
    wants.Add(InodeId{answer->attributes().inode()}, LeaseNeed::kRead);
  }
  return wants;
}

}  // namespace ringfs::master
