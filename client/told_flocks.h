#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "client/filesystem.h"
#include "common/result.h"
#include "proto/lock.pb.h"

namespace ringfs::client {

// The flocks of one inode that the master knows to be held by this session.
//
// Threads: one at a time.
class ToldFlocks {
 public:
  // A request was answered, or not: then it is not sure what the master has.
  void Answered(const LockRequest& request, const Result<wire::SetLockReply>& reply);
  // A wait has ended at the master.
  void Granted(const LockRequest& request);
  // The open file has ended there, or maybe it has.
  void Closed(HandleId handle, bool sure);
  bool Through(HandleId handle) const;
  bool empty() const { return told_.empty(); }

  // What is held for sure, as the requests that would take it.
  std::vector<LockRequest> Held(InodeId inode) const;
  // The next request that makes the master's flocks those of `held`, as LockTable::List() has them;
  // nothing: they are the same. None of the requests in this order meets a conflict.
  std::optional<LockRequest> Next(InodeId inode, const std::vector<wire::LockInfo>& held) const;

 private:
  struct Flock {
    wire::LockType type = wire::LOCK_SHARED;
    HandleId handle{0};
    int32_t pid = 0;
    bool sure = true;
  };
  static LockRequest RequestOf(InodeId inode, uint64_t owner, const Flock& flock);

  std::map<uint64_t, Flock> told_;  // by owner
};

}  // namespace ringfs::client
