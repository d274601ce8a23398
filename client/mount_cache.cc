#include <sys/stat.h>

#include <utility>

#include "client/mount.h"
#include "common/log.h"

// What is kept under leases, and how leases come and go (docs/architecture.md, "Leases").
namespace ringfs::client {
namespace {

constexpr int64_t kRecallPauseMs = 100;
constexpr int64_t kPagesTimeoutMs = 1000;
constexpr uint32_t kRenameExchange = 2;

}  // namespace

void Mount::AddCacheHooks(MasterLinkHooks& hooks) {
  hooks.writing = [this] {
    // What is still held back is under a lease as the master sees it, also when it was dropped here.
    std::vector<InodeId> writing = leases_.Writing();
    for (const InodeId inode : write_back_.Inodes()) writing.push_back(inode);
    for (const InodeId inode : locks_.flocks().Here()) writing.push_back(LocksOf(inode));
    return writing;
  };
  hooks.returned = [this](const auto& reply, bool restarted) { Returned(reply, restarted); };
  hooks.answered = [this](const auto& request, auto& reply) { Answered(request, reply); };
  hooks.unanswered = [this](const auto& request) { Unanswered(request); };
  hooks.recalled = [this](const auto& push) { Recalled(push); };
  hooks.overdue = [this] { leases_.DropAll(); };
}

LeaseHooks Mount::HooksOfLeases() {
  LeaseHooks hooks;
  hooks.forget_in_kernel = [this](InodeId inode, bool pages) { return ForgetPages(inode, pages); };
  hooks.reads_settled = [this](InodeId inode) { return AwaitReads(inode); };
  hooks.flush_for_recall = [this](InodeId inode) { return FlushForRecall(inode); };
  // Who writes has the write lease or none. The kernel drops pages when the writes to them that are
  // under way are answered, and those may wait for others to drop theirs: two that write, and have
  // read leases, would wait for each other.
  hooks.wants_read = [this](InodeId inode) {
    const auto file = files_.Find(inode);
    return !file || file->writers == 0;
  };
  hooks.dropped = [this](InodeId inode) { cache_.Drop(inode); };
  hooks.tell_opens = [this](wire::LeaseAnswer& answer) { files_.Tell(answer); };
  hooks.send = [this](wire::LeaseAnswersRequest answers) {
    return link_.SendLeaseAnswers(std::move(answers));
  };
  return hooks;
}

FlockHooks Mount::HooksOfFlocks() {
  FlockHooks hooks;
  hooks.leased = [this](InodeId inode) { return leases_.HoldsWrite(LocksOf(inode)); };
  hooks.give_back = [this](InodeId inode) { leases_.GiveBack(LocksOf(inode)); };
  return hooks;
}

WriteBack::Limits Mount::LimitsOfWriteBack() const {
  WriteBack::Limits limits;
  limits.dirty_bytes = options_.max_dirty_bytes;
  limits.timeout_ms = options_.timeout_ms;
  return limits;
}

WriteBackHooks Mount::HooksOfWriteBack() {
  WriteBackHooks hooks;
  hooks.owned = [this](InodeId inode) { return leases_.HoldsWrite(inode) ? Kept(inode) : nullptr; };
  hooks.now_ns = [this] { return link_.MasterNowNs(); };
  hooks.changed = [this](const wire::Attributes& attributes) { cache_.Keep(attributes); };
  hooks.lost = [this](InodeId inode) {
    cache_.DropAttributes(inode);
    background_.Start(DropPages(inode), "pages that were not stored");
  };
  hooks.emptied = [this](const std::shared_ptr<Inode>& inode) { files_.Forget(inode); };
  hooks.store = [this](std::shared_ptr<Inode> inode, HeldChange change, Deadline deadline) {
    return io_.Store(std::move(inode), std::move(change), deadline);
  };
  hooks.stored = [this](const std::shared_ptr<Inode>& inode, const std::vector<FilePiece>& pieces) {
    if (inode->passages == 0 && inode->overwrites == 0) {
      recent_.Stored(inode->id, StateOf(inode->known), pieces);
    }
  };
  hooks.space = [this] { return StatFs(link_.root()); };
  return hooks;
}

// --- what may be kept

const wire::Attributes* Mount::Kept(InodeId inode) const {
  return KeepNs() > 0 ? cache_.Attributes(inode) : nullptr;
}

std::optional<InodeId> Mount::KeptName(InodeId parent, const std::string& name) const {
  return KeepNs() > 0 ? cache_.Name(parent, name) : std::nullopt;
}

bool Mount::KeepsPages(InodeId inode) const {
  return Kept(inode) != nullptr && !dropping_.contains(inode);
}

asio::awaitable<void> Mount::ForgetPages(InodeId inode, bool pages) {
  if (StandsForLocks(inode)) co_return;
  // There is nothing in a directory that was removed, and the kernel gives its names out no more: to
  // make it forget them would cost it the names of all other directories.
  const wire::Attributes* removed = removed_.Find(inode);
  if (removed != nullptr && S_ISDIR(removed->mode())) co_return;
  if (forget_) co_await forget_(inode, pages);
}

asio::awaitable<void> Mount::DropPages(InodeId inode) {
  const auto [place, first] = dropping_.try_emplace(inode, false);
  if (!first) {
    place->second = true;
    co_return;
  }
  for (bool again = true; again;) {
    dropping_[inode] = false;
    co_await ForgetPages(inode, true);
    again = dropping_[inode];
  }
  dropping_.erase(inode);
  dropped_.NotifyAll();
}

// Reads while a lease goes cannot wait until it is gone. What they bring into the kernel would be there
// after the recall is answered.
asio::awaitable<void> Mount::AwaitReads(InodeId inode) {
  const std::shared_ptr<Inode> file = files_.Find(inode);
  const Deadline patience(clock_, kPagesTimeoutMs);
  while ((file && file->unleased_reads > 0) || dropping_.contains(inode)) {
    if (!co_await dropped_.WaitFor(patience.left_ms())) co_return;
  }
}

// While a lease goes, nobody may wait for another: the recall may be waiting for this very read.
bool Mount::MayAskForPages(const Handle& handle) const {
  const InodeId inode = handle.inode->id;
  return !handle.uncached && handle.inode->writers == 0 && Kept(inode) == nullptr &&
         !leases_.IsGoing(inode) && !leases_.IsForgetting() && !write_back_.Holds(inode) &&
         KeepNs() > 0;
}

ContentState Mount::StateOf(const wire::Attributes& attributes) const {
  return {leases_.Number(InodeId{attributes.inode()}), attributes.data(), attributes.generation()};
}

asio::awaitable<Result<WriteBack::Passage>> Mount::Pass(std::shared_ptr<Inode> inode,
                                                        Deadline deadline) {
  recent_.Drop(inode->id);
  return write_back_.Pass(std::move(inode), deadline);
}

asio::awaitable<Result<std::optional<std::vector<Buffer>>>> Mount::ReadUnderLease(
    std::shared_ptr<Handle> handle, uint64_t offset, size_t size) {
  using Found = std::optional<std::vector<Buffer>>;
  const InodeId inode = handle->inode->id;
  // Not for long: others may wait for what this very read keeps the kernel from forgetting. Where
  // somebody writes often, a lease may be gone again before the answer is here.
  const Deadline patience(clock_, kPagesTimeoutMs);
  while (MayAskForPages(*handle) && patience.left_ms() > 0) {
    wire::MetaRequest request;
    request.mutable_get_attributes()->set_inode(Raw(inode));
    request.mutable_get_attributes()->set_for_pages(true);
    auto reply = co_await link_.Call(std::move(request), patience);
    if (!reply) break;
    files_.Learn(reply->attributes());
    // Nobody gets a lease of what has no name.
    if (reply->attributes().links() == 0) break;
  }
  const wire::Attributes* kept = Kept(inode);
  if (kept == nullptr) co_return Found();
  const uint64_t lease = leases_.Number(inode);
  const wire::Attributes attributes = *kept;
  // What is held back now may have been stored when the blocks are read: it lies over them, too.
  const std::vector<FilePiece> held = write_back_.Within(inode, offset, size);
  const uint64_t end = std::max(offset, std::min(offset + size, attributes.size()));
  if (auto recent = recent_.Find(inode, StateOf(attributes), offset, end)) {
    handle->last_read = attributes;
    handle->pages_may_stay = !dropping_.contains(inode);
    co_return Found(Overlaid(offset, *std::move(recent), held));
  }
  auto read = co_await io_.ReadAs(attributes, offset, size, NewDeadline());
  if (!leases_.IsStillThere(inode, lease)) co_return Found();
  // A change of this mount may have cut the content meanwhile.
  const wire::Attributes& known = handle->inode->known;
  if (known.data() != attributes.data() || known.generation() != attributes.generation()) {
    co_return Found();
  }
  if (!read) co_return Fail(read.error());
  handle->last_read = attributes;
  handle->pages_may_stay = leases_.Number(inode) == lease && !dropping_.contains(inode);
  co_return Found(Overlaid(offset, *std::move(read), held));
}

// --- what the master says

void Mount::Answered(const wire::MetaRequest& request, wire::MetaReply& reply) {
  write_back_.Answered(request, reply);
  for (const uint64_t inode : reply.touched()) cache_.DropAttributes(InodeId{inode});
  // Those that were not taken are as if they had not been said.
  auto& grants = *reply.mutable_leases();
  for (int i = grants.size(); i-- > 0;) {
    if (!leases_.Take(grants[i])) grants.DeleteSubrange(i, 1);
  }
  std::unordered_set<uint64_t> granted;
  for (const wire::LeaseGrant& grant : grants) granted.insert(grant.inode());
  if (granted.contains(reply.attributes().inode())) cache_.Keep(reply.attributes());
  for (const wire::Attributes& changed : reply.changed()) {
    if (granted.contains(changed.inode())) cache_.Keep(changed);
    files_.Learn(changed);
  }
  for (const wire::Entry& entry : reply.entries()) {
    if (entry.has_attributes() && granted.contains(entry.inode())) cache_.Keep(entry.attributes());
  }
  KeepNames(request, granted, reply);
}

void Mount::KeepNames(const wire::MetaRequest& request, const std::unordered_set<uint64_t>& granted,
                      const wire::MetaReply& reply) {
  auto keep = [&](uint64_t parent, const std::string& name, uint64_t inode) {
    if (granted.contains(parent)) {
      cache_.KeepName(InodeId{parent}, name, InodeId{inode});
    } else {
      cache_.DropName(InodeId{parent}, name);
    }
  };
  const uint64_t inode = reply.attributes().inode();
  // Under its own lease: another session that moves it wants that back.
  auto keep_parent = [&](uint64_t parent) {
    if (S_ISDIR(reply.attributes().mode())) keep(inode, "..", parent);
  };
  switch (request.operation_case()) {
    case wire::MetaRequest::kLookup: {
      const std::string& name = request.lookup().name();
      if (name == ".") return;
      if (name != "..") keep_parent(request.lookup().parent());
      return keep(request.lookup().parent(), name, reply.absent() ? 0 : inode);
    }
    case wire::MetaRequest::kCreate:
      cache_.Grew(InodeId{request.create().parent()});
      return keep(request.create().parent(), request.create().name(), inode);
    case wire::MetaRequest::kMakeNode:
      // A repeated answer grants nothing: others may have put something there since.
      if (S_ISDIR(reply.attributes().mode()) && granted.contains(inode)) {
        cache_.KeepEmpty(InodeId{inode});
      }
      keep_parent(request.make_node().parent());
      cache_.Grew(InodeId{request.make_node().parent()});
      return keep(request.make_node().parent(), request.make_node().name(), inode);
    case wire::MetaRequest::kLink:
      cache_.Grew(InodeId{request.link().parent()});
      return keep(request.link().parent(), request.link().name(), inode);
    case wire::MetaRequest::kUnlink:
      return keep(request.unlink().parent(), request.unlink().name(), 0);
    case wire::MetaRequest::kRemoveDirectory:
      return keep(request.remove_directory().parent(), request.remove_directory().name(), 0);
    case wire::MetaRequest::kRename: {
      const wire::Rename& rename = request.rename();
      cache_.Grew(InodeId{rename.new_parent()});
      for (const uint64_t moved : reply.touched()) cache_.DropName(InodeId{moved}, "..");
      const auto moved = cache_.Name(InodeId{rename.parent()}, rename.name());
      const auto replaced = cache_.Name(InodeId{rename.new_parent()}, rename.new_name());
      // Two names of one file both stay.
      const bool known = moved && Raw(*moved) != 0 && replaced && *replaced != *moved;
      if (known && rename.flags() != kRenameExchange) {
        keep(rename.parent(), rename.name(), 0);
        return keep(rename.new_parent(), rename.new_name(), Raw(*moved));
      }
      cache_.DropName(InodeId{rename.parent()}, rename.name());
      return cache_.DropName(InodeId{rename.new_parent()}, rename.new_name());
    }
    case wire::MetaRequest::kReadDirectory: {
      const wire::ReadDirectory& read = request.read_directory();
      if (granted.contains(read.inode())) cache_.KeepListing(read, reply);
      return;
    }
    default:
      return;
  }
}

// What it changes is not known any more: all that such a request may change is given up.
void Mount::Unanswered(const wire::MetaRequest& request) {
  auto give_up = [this](uint64_t inode) { cache_.Drop(InodeId{inode}); };
  give_up(request.set_attributes().inode());
  give_up(request.set_xattr().inode());
  give_up(request.remove_xattr().inode());
  give_up(request.extend().inode());
  give_up(request.open().inode());
  give_up(request.create().parent());
  give_up(request.make_node().parent());
  give_up(request.link().parent());
  give_up(request.link().inode());
  for (const auto& [parent, name] :
       {std::pair(request.unlink().parent(), request.unlink().name()),
        std::pair(request.remove_directory().parent(), request.remove_directory().name()),
        std::pair(request.rename().parent(), request.rename().name()),
        std::pair(request.rename().new_parent(), request.rename().new_name())}) {
    if (const auto inode = cache_.Name(InodeId{parent}, name)) cache_.Drop(*inode);
    give_up(parent);
  }
}

void Mount::Returned(const wire::OpenSessionReply& reply, bool restarted) {
  if (restarted) {
    leases_.MasterRestarted({reply.leases().begin(), reply.leases().end()});
  } else {
    leases_.Reconnected();
  }
}

void Mount::Recalled(const wire::RecallPush& push) {
  const InodeId inode{push.inode()};
  // The lease was dropped here when the session may have expired; what was held back is still there,
  // and so are locks.
  const bool holds = StandsForLocks(inode) ? locks_.flocks().IsHere(InodeOfLocks(inode))
                                           : write_back_.Holds(inode);
  if (!leases_.IsThere(inode) && holds) {
    background_.Start(AnswerLate(push), "late recall");
  } else {
    leases_.Recall(push);
  }
}

asio::awaitable<void> Mount::AnswerLate(wire::RecallPush push) {
  const InodeId inode{push.inode()};
  co_await FlushForRecall(inode);
  leases_.Recall(push);
}

// Nobody else may see the file before what was written here is stored. When that takes too long the
// master ends the session.
asio::awaitable<void> Mount::FlushForRecall(InodeId inode) {
  if (StandsForLocks(inode)) co_return co_await locks_.HandOver(InodeOfLocks(inode));
  const std::shared_ptr<Inode> file = files_.Find(inode);
  while (file && file->overwrites > 0) co_await overwritten_.Wait();
  while (write_back_.Holds(inode) && !background_.stopping()) {
    const auto flushed = co_await write_back_.Flush(inode, NewDeadline());
    if (!flushed && !MayRetry(flushed.code())) co_return;
    if (!flushed) co_await background_.SleepMs(kRecallPauseMs);
  }
}

}  // namespace ringfs::client
