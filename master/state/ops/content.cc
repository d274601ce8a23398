#include <algorithm>

#include "master/state/keys.h"
#include "master/state/limits.h"
#include "master/state/ops/ops.h"

namespace ringfs::master {
namespace {

// Block indices have 32 bits.
uint64_t MaxSize(const wire::Attributes& attributes) {
  return std::min(kMaxFileBytes, uint64_t{attributes.block_size()} << 32);
}

Result<void> CheckRegular(const wire::InodeRecord& record) {
  if (IsDirectory(record.attributes().mode())) return Fail(Errc::kIsDirectory, "a directory");
  if (!IsRegular(record.attributes().mode())) return Fail(Errc::kInvalid, "no regular file");
  return {};
}

// Growing over a range whose blocks are still to be cut, or cutting it again, has to wait.
Failure WaitForCut(Change& change, const wire::Attributes& attributes) {
  if (attributes.cut().session() == 0) {
    return Fail(Errc::kBusy, "the session that cut the file has ended: claim the cut");
  }
  change.held_for = InodeId{attributes.inode()};
  return Fail(Errc::kBusy, "the file is being cut");
}

}  // namespace

Result<void> Resize(Change& change, wire::InodeRecord& record, uint64_t size) {
  Result<void> checked = CheckRegular(record);
  if (!checked) return checked;
  wire::Attributes& attributes = *record.mutable_attributes();
  if (size > MaxSize(attributes)) return Fail(Errc::kFileTooLarge, std::to_string(size) + " bytes");
  if (size == 0 && attributes.size() > 0) {
    if (attributes.has_cut()) change.events.cuts_settled.push_back(InodeId{attributes.inode()});
    change.tree.Renew(record);
  } else if (size > attributes.size()) {
    if (attributes.has_cut()) return WaitForCut(change, attributes);
    change.tree.SetSize(record, size);
  } else if (size < attributes.size()) {
    // What the session of an older cut still sends could hit what is written behind this one.
    if (attributes.has_cut() && attributes.cut().session() != 0) {
      return WaitForCut(change, attributes);
    }
    change.tree.SetSize(record, size);
    attributes.set_generation(attributes.generation() + 1);
    change.tree.SetCut(record, Raw(change.session));
  }
  Touch(record, change.now_ns);
  return KillCapability(change, record);
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::Open& ask) {
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  if (ask.truncate()) {
    Result<void> resized = Resize(change, *record, 0);
    if (!resized) return Fail(resized.error());
    if (ask.kill_set_ids()) KillSetIds(*record);
    change.tree.Put(*record);
  }
  return ReplyWith(*record);
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::Extend& ask) {
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  Result<void> checked = CheckRegular(*record);
  if (!checked) return Fail(checked.error());
  wire::Attributes& attributes = *record->mutable_attributes();
  if (ask.data() != attributes.data() || ask.generation() != attributes.generation()) {
    return Fail(Errc::kStale, "the content has been cut since: write to what it is now");
  }
  if (ask.end() > MaxSize(attributes)) {
    return Fail(Errc::kFileTooLarge, std::to_string(ask.end()) + " bytes");
  }
  if (ask.end() > attributes.size()) {
    if (attributes.has_cut()) return WaitForCut(change, attributes);
    change.tree.SetSize(*record, ask.end());
  }
  if (ask.kill_set_ids()) KillSetIds(*record);
  Result<void> killed = KillCapability(change, *record);
  if (!killed) return Fail(killed.error());
  if (ask.held_back()) {
    if (ask.has_mtime_ns()) attributes.set_mtime_ns(ask.mtime_ns());
    attributes.set_ctime_ns(std::max(attributes.ctime_ns(), ask.ctime_ns()));
    Result<void> changed = SetHeldBack(change, *record, ask);
    if (!changed) return Fail(changed.error());
  } else {
    Touch(*record, change.now_ns);
  }
  change.tree.Put(*record);
  return ReplyWith(*record);
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::CutDone& ask) {
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  const wire::Attributes& attributes = record->attributes();
  // Truncation to zero, or an end of the session, may have overtaken it.
  bool current = attributes.has_cut() && attributes.cut().session() == Raw(change.session) &&
                 attributes.generation() == ask.generation();
  if (!current) return ReplyWith(*record);
  // What others wrote behind the cut while it was pending may be gone with it: they write it again.
  record->mutable_attributes()->set_generation(attributes.generation() + 1);
  if (record->cut_again()) {
    change.tree.SetCut(*record, 0);
  } else {
    change.tree.ClearCut(*record);
  }
  change.events.cuts_settled.push_back(InodeId{ask.inode()});
  change.tree.Put(*record);
  return ReplyWith(*record);
}

Result<wire::MetaReply> ApplyChange(Change& change, const wire::ClaimCut& ask) {
  Result<wire::InodeRecord> record = change.tree.Get(ask.inode());
  if (!record) return Fail(record.error());
  const wire::Attributes& attributes = record->attributes();
  if (!attributes.has_cut() || attributes.cut().session() == Raw(change.session)) {
    return ReplyWith(*record);
  }
  if (attributes.cut().session() != 0) return WaitForCut(change, attributes);
  change.tree.SetCut(*record, Raw(change.session));
  change.tree.Put(*record);
  return ReplyWith(*record);
}

Result<void> ReleaseCuts(Change& change, const wire::EndSession& ask) {
  std::vector<uint64_t> cuts;
  std::string prefix = CutPrefix(ask.session());
  auto visit = [&](std::string_view key, std::string_view) {
    cuts.push_back(Number64(key, prefix.size()));
    return true;
  };
  Result<void> scanned = change.tree.overlay().Scan(prefix, prefix, visit);
  if (!scanned) return scanned;
  for (uint64_t inode : cuts) {
    Result<wire::InodeRecord> record = change.tree.Get(inode);
    if (!record) return Fail(Errc::kCorrupted, "a pending cut of no inode");
    change.tree.SetCut(*record, 0);
    change.tree.Put(*record);
    change.events.cuts_settled.push_back(InodeId{inode});
  }
  for (uint64_t inode : ask.writing()) {
    Result<wire::InodeRecord> record = change.tree.Get(inode);
    if (record.code() == Errc::kStale) continue;
    if (!record) return Fail(record.error());
    wire::Attributes& attributes = *record->mutable_attributes();
    if (!IsRegular(attributes.mode())) continue;
    if (attributes.size() == 0) {
      change.tree.Renew(*record);
    } else if (attributes.has_cut() && attributes.cut().session() != 0) {
      // It may have been done already, before the last write of the session that ended; who does it
      // may still be sending, so nobody else can begin.
      record->set_cut_again(true);
    } else {
      // The others write again what they wrote behind the end and have not told yet.
      attributes.set_generation(attributes.generation() + 1);
      change.tree.SetCut(*record, 0);
    }
    change.tree.Put(*record);
  }
  return {};
}

}  // namespace ringfs::master
