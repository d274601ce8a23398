#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "common/ids.h"
#include "proto/session.pb.h"

namespace ringfs::master {

// Who has which inode open. In memory only: a client says it again after each reconnect.
//
// Threads: the caller's.
class OpenTable {
 public:
  struct Handles {
    uint64_t readers = 0;  // handles opened without writing
    uint64_t writers = 0;
  };

  void Open(SessionId session, InodeId inode, bool writing) {
    Add(session, inode, writing ? 0 : 1, writing ? 1 : 0);
  }
  void Add(SessionId session, InodeId inode, uint64_t readers, uint64_t writers);
  // A handle that is not known is not an error: the session may have ended.
  void Close(SessionId session, InodeId inode, bool writing);
  // Replaces all that was known of the session. A client lists every handle of which it has not
  // seen the answer to Close, and none of which it has not seen the answer to Open.
  void Reassert(SessionId session, const google::protobuf::RepeatedPtrField<wire::OpenInode>& open);
  void End(SessionId session);

  bool IsOpen(InodeId inode) const { return handles_.contains(inode); }
  // By another session than this one; IsWrittenElsewhere(): for writing.
  bool IsOpenElsewhere(SessionId session, InodeId inode) const;
  bool IsWrittenElsewhere(SessionId session, InodeId inode) const;
  // Inodes that the session has open for writing, in order: EndSession.writing.
  std::vector<InodeId> Writing(SessionId session) const;
  // Inodes that the session has open.
  size_t Count(SessionId session) const;
  Handles Of(SessionId session, InodeId inode) const;

 private:
  void Forget(InodeId inode, const Handles& handles);

  std::unordered_map<SessionId, std::map<InodeId, Handles>> sessions_;
  std::unordered_map<InodeId, Handles> handles_;  // of all sessions; none without any
};

}  // namespace ringfs::master
