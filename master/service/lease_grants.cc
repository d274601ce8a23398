#include "master/service/lease_grants.h"

#include <algorithm>
#include <optional>

#include "common/locks/lock_table.h"
#include "master/service/lease_handler.h"

namespace ringfs::master {
namespace {

using GrantCase = wire::MetaRequest::OperationCase;

// Hands out leases for one reply.
class Granter {
 public:
  Granter(Context& context, const wire::MetaRequest& request, wire::MetaReply& reply)
      : context_(context),
        session_(SessionId{request.session()}),
        now_ns_(context.clock.MonotonicNs()),
        for_pages_(request.get_attributes().for_pages()),
        reply_(reply) {}
  ~Granter() { TellOfLeases(context_); }
  Granter(const Granter&) = delete;
  Granter& operator=(const Granter&) = delete;

  void Read(InodeId inode) {
    Name(context_.leases.Grant(session_, inode, wire::LEASE_READ, now_ns_));
  }
  // What the session has anyhow.
  void Held(InodeId inode) { Name(context_.leases.Find(session_, inode)); }

  // What the session has anyhow of an inode that it has changed, and what that is like now.
  void Changed(InodeId inode) {
    const auto lease = context_.leases.Find(session_, inode);
    Name(lease);
    if (!lease || inode == InodeId{reply_.attributes().inode()}) return;
    Result<wire::Attributes> attributes = context_.state.Attributes(inode);
    if (attributes && attributes->links() != 0) *reply_.add_changed() = *std::move(attributes);
  }

  // The flocks of an inode, when nobody else has any and they may be the session's own for a while.
  void Locks(InodeId inode) {
    if (!context_.state.locks().OnlyOf(session_, inode, wire::LOCK_FLOCK)) return;
    if (!context_.leases.MayWrite(session_, LocksOf(inode), now_ns_)) return;
    Name(context_.leases.Grant(session_, LocksOf(inode), wire::LEASE_WRITE, now_ns_));
  }

  // An inode with its attributes. While a cut of another session is pending, they are about to
  // change; what has no name is not cached by those who do not have it already.
  void Shown(const wire::Attributes& attributes, bool writing) {
    const InodeId inode{attributes.inode()};
    const bool cut = attributes.has_cut() && attributes.cut().session() != Raw(session_);
    if (cut || attributes.links() == 0) return Held(inode);
    // Several sessions that write one file have no leases of it: a write of one would wait for the
    // other to drop pages which the other's kernel has locked for a write that waits for the first.
    const OpenTable& opens = context_.state.opens();
    const bool writes = writing || opens.Of(session_, inode).writers > 0;
    if (writes && opens.IsWrittenElsewhere(session_, inode)) return Held(inode);
    const bool alone =
        writing && IsRegular(attributes.mode()) && !opens.IsOpenElsewhere(session_, inode);
    const auto kind = alone ? wire::LEASE_WRITE : wire::LEASE_READ;
    Name(context_.leases.Grant(session_, inode, kind, now_ns_, for_pages_));
  }

 private:
  void Name(const std::optional<wire::LeaseGrant>& lease) {
    if (!lease) return;
    const auto same = [&](const wire::LeaseGrant& one) { return one.inode() == lease->inode(); };
    if (std::ranges::any_of(reply_.leases(), same)) return;
    *reply_.add_leases() = *lease;
  }

  Context& context_;
  const SessionId session_;
  const int64_t now_ns_;
  const bool for_pages_;
  wire::MetaReply& reply_;
};

void GrantForListing(Granter& granter, const wire::MetaRequest& request, wire::MetaReply& reply) {
  granter.Read(InodeId{request.read_directory().inode()});
  for (const wire::Entry& entry : reply.entries()) {
    if (entry.has_attributes()) granter.Shown(entry.attributes(), false);
  }
}

// Whether the session is about to write to what the answer shows.
bool MayWrite(const Context& context, const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case GrantCase::kOpen:
      return request.open().writing();
    case GrantCase::kCreate:
      return request.create().writing();
    case GrantCase::kExtend:
      return true;
    case GrantCase::kSetAttributes: {
      const InodeId inode{request.set_attributes().inode()};
      return context.state.opens().Of(SessionId{request.session()}, inode).writers > 0;
    }
    default:
      return false;
  }
}

}  // namespace

void GrantForAnswer(Context& context, const wire::MetaRequest& request, wire::MetaReply& reply) {
  if (!context.leases.Caches(SessionId{request.session()})) return;
  Granter granter(context, request, reply);
  switch (request.operation_case()) {
    case GrantCase::kLookup:
      if (request.lookup().name() != ".") granter.Read(InodeId{request.lookup().parent()});
      break;
    case GrantCase::kReadDirectory:
      return GrantForListing(granter, request, reply);
    case GrantCase::kReadLink:
      return granter.Read(InodeId{request.read_link().inode()});
    case GrantCase::kGetXattr:
      return granter.Read(InodeId{request.get_xattr().inode()});
    case GrantCase::kListXattrs:
      return granter.Read(InodeId{request.list_xattrs().inode()});
    default:
      break;
  }
  if (reply.has_attributes()) granter.Shown(reply.attributes(), MayWrite(context, request));
}

void GrantForChange(Context& context, const wire::MetaRequest& request,
                    const std::vector<InodeId>& touched, wire::MetaReply& reply) {
  if (!context.leases.Caches(SessionId{request.session()})) return;
  Granter granter(context, request, reply);
  if (reply.has_attributes()) granter.Shown(reply.attributes(), MayWrite(context, request));
  for (const InodeId inode : touched) granter.Changed(inode);
  const wire::SetLock& lock = request.set_lock();
  if (lock.lease() && lock.kind() == wire::LOCK_FLOCK) granter.Locks(InodeId{lock.inode()});
}

void KeepStandingLeases(Context& context, SessionId session, wire::MetaReply& reply) {
  auto& leases = *reply.mutable_leases();
  const auto gone = std::remove_if(leases.begin(), leases.end(), [&](wire::LeaseGrant& lease) {
    const auto standing = context.leases.Find(session, InodeId{lease.inode()});
    if (!standing || standing->number() != lease.number()) return true;
    lease.set_kind(standing->kind());
    return false;
  });
  leases.erase(gone, leases.end());
}

void HideHeldBack(Context& context, SessionId session, wire::MetaReply& reply) {
  if (context.leases.IsFree(session)) return;
  for (wire::Entry& entry : *reply.mutable_entries()) {
    if (!entry.has_attributes()) continue;
    LeaseWants wants;
    wants.Add(InodeId{entry.inode()}, LeaseNeed::kRead);
    if (!context.leases.IsFree(session, wants)) entry.clear_attributes();
  }
}

}  // namespace ringfs::master
