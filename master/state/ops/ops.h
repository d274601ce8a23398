#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/ids.h"
#include "common/result.h"
#include "master/state/acl.h"
#include "master/state/state_machine.h"
#include "master/state/tree.h"
#include "proto/namespace.pb.h"

namespace ringfs::master {

// One change of the namespace while it is applied. What an operation put before it failed is rolled
// back by its caller.
struct Change {
  Tree& tree;
  const wire::Credentials& who;
  SessionId session;
  int64_t now_ns;
  Events& events;
  // Set when the operation must wait until the pending cut of this inode is settled. Its error then
  // goes to nobody.
  std::optional<InodeId> held_for = {};
  // An error that is not rolled back: a lock may be lost although another was not granted.
  bool keep_changes = false;
  bool moved_directory = false;  // to another directory
};

// The operations, one file each in this folder; answers and errors as POSIX has them for the call
// of the same name. Whether the caller may is checked by the kernel that asks.
Result<wire::MetaReply> ApplyChange(Change& change, const wire::SetAttributes& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::Create& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::MakeNode& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::Link& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::Unlink& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::RemoveDirectory& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::Rename& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::SetXattr& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::RemoveXattr& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::Open& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::Extend& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::CutDone& ask);
Result<wire::MetaReply> ApplyChange(Change& change, const wire::ClaimCut& ask);

Result<wire::MetaReply> Answer(const Tree& tree, const wire::Lookup& ask);
Result<wire::MetaReply> Answer(const Tree& tree, const wire::GetAttributes& ask);
Result<wire::MetaReply> Answer(const Tree& tree, const wire::ReadLink& ask);
Result<wire::MetaReply> Answer(const Tree& tree, const wire::ReadDirectory& ask);
Result<wire::MetaReply> Answer(const Tree& tree, const wire::GetXattr& ask);
Result<wire::MetaReply> Answer(const Tree& tree, const wire::ListXattrs& ask);
Result<wire::MetaReply> Answer(const Tree& tree, const wire::StatFs& ask);

// The changes of attributes that an Extend brings of a session that has held them back.
Result<void> SetHeldBack(Change& change, wire::InodeRecord& record, const wire::Extend& ask);
// The inodes of CollectInodes. Those that have a name, or are gone, are passed over.
Result<void> Collect(Change& change, const wire::CollectInodes& ask);
// The pending cuts of a session that ended are up for a claim, and each inode of `ask.writing` gets
// one.
Result<void> ReleaseCuts(Change& change, const wire::EndSession& ask);
// The root directory.
void MakeRoot(Tree& tree, int64_t now_ns);

// What several of them need.

// kNameTooLong, or kInvalid for bytes that no name has. "." and ".." pass.
Result<void> CheckName(std::string_view name);
bool IsDots(std::string_view name);

// An answer with its attributes.
wire::MetaReply ReplyWith(const wire::InodeRecord& record);
// The same if `record`, which has lost a name, has no other.
wire::MetaReply ReplyWithRemoved(const wire::InodeRecord& record);
// The content of a directory changed.
void Touch(wire::InodeRecord& record, int64_t now_ns);
// A name of `record` is gone. The record is changed and put; without another name it becomes an
// orphan.
void DropName(Change& change, wire::InodeRecord& record, uint64_t parent, std::string_view name);
// Makes the record of a new inode in `parent`, with owner, mode and ACLs as the parent wants them,
// puts it under `name`, and puts both.
struct NewNode {
  uint32_t mode = 0;
  uint32_t device = 0;
  std::string_view target = {};
};
Result<wire::InodeRecord> AddNode(Change& change, wire::InodeRecord& parent, std::string_view name,
                                  const NewNode& node);

// Changes the size of a regular file, and its times. The record is changed; the caller puts it.
// kFileTooLarge; kBusy: a pending cut is to be claimed first.
Result<void> Resize(Change& change, wire::InodeRecord& record, uint64_t size);
// Clears set-user-id, and set-group-id where the group may execute, as a write does.
void KillSetIds(wire::InodeRecord& record);
// Removes security.capability, as any change of content or owner does.
Result<void> KillCapability(Change& change, wire::InodeRecord& record);

Result<std::optional<Acl>> GetAcl(const Tree& tree, const wire::InodeRecord& record,
                                  std::string_view name);
// Stores the list, or when it says no more than the mode does, removes it. The record is changed.
Result<void> StoreAccessAcl(Tree& tree, wire::InodeRecord& record, const Acl& acl);

}  // namespace ringfs::master
