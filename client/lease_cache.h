#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "client/leases.h"
#include "common/ids.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

// What is known of inodes under leases: attributes, and the names of directories. Also what the
// kernel may be told to keep.
//
// A directory that was made here, or listed from its beginning to its end, is known as a whole: what
// is not among its names is not there.
//
// Invariant: what it gives was true when the lease that the inode is under now was held, and has
//            been ever since.
// Threads:   only from the executor of the leases.
class LeaseCache {
 public:
  // Borrows `leases`. At most `max_names` names of all directories are kept.
  LeaseCache(const Leases& leases, size_t max_names) : leases_(leases), max_names_(max_names) {}

  // Null: not known, or there is no lease. Valid until the next call that is not const.
  const wire::Attributes* Attributes(InodeId inode) const;
  // The inode that the name stands for, 0 for none; nothing: not known, or there is no lease.
  std::optional<InodeId> Name(InodeId parent, const std::string& name) const;

  // Does nothing without a lease on the inode, or on the parent.
  void Keep(const wire::Attributes& attributes);
  void KeepName(InodeId parent, const std::string& name, InodeId inode);

  // A directory that was just made.
  void KeepEmpty(InodeId directory);
  // A page of a listing.
  void KeepListing(const wire::ReadDirectory& asked, const wire::MetaReply& page);

  // Nothing comes behind this cookie in a listing.
  bool EndsAt(InodeId directory, uint64_t cookie) const;
  // A name has come to be in the directory, behind all others.
  void Grew(InodeId directory);

  void DropAttributes(InodeId inode);
  void DropName(InodeId parent, const std::string& name);
  // All that is known of it.
  void Drop(InodeId inode);

 private:
  struct Known {
    uint64_t lease = 0;  // its number
    std::optional<wire::Attributes> attributes;
    std::unordered_map<std::string, InodeId> names;
    bool whole = false;        // all names are known
    bool listing = false;      // all up to `listed_to` are
    uint64_t listed_to = 0;    // a cookie
    std::optional<uint64_t> end;  // the cookie behind which a listing has nothing
  };
  // In a directory that is known as a whole: a name that is not.
  static constexpr InodeId kUnknown{UINT64_MAX};

  const Known* Find(InodeId inode) const;
  Known* UnderLease(InodeId inode);
  void PutName(Known& directory, const std::string& name, InodeId inode);
  void DropNames(Known& directory);

  const Leases& leases_;
  size_t max_names_;
  size_t names_ = 0;
  std::unordered_map<InodeId, Known> known_;
};

}  // namespace ringfs::client
