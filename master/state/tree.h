#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "master/state/overlay.h"
#include "proto/record.pb.h"

namespace ringfs::master {

// Inodes, names and extended attributes: the records, and what must hold between them. The rules of
// POSIX are in ops/.
//
// Threads:   the caller's.
// Invariant: the two records of each name agree; the counters agree with the inodes.
class Tree {
 public:
  // Borrows both.
  Tree(Overlay& overlay, wire::CountersRecord& counters) : overlay_(overlay), counters_(counters) {}

  // kStale: there is no such inode (any more).
  Result<wire::InodeRecord> Get(uint64_t inode) const;
  // And kNotDirectory.
  Result<wire::InodeRecord> GetDirectory(uint64_t inode) const;
  // And kNotFound, when its name is gone: nothing may be put into it.
  Result<wire::InodeRecord> GetLiveDirectory(uint64_t inode) const;
  void Put(const wire::InodeRecord& inode);

  // The next new inode, and the next new content, get these numbers instead of the next ones (0: the
  // next one): of a change that was made before, and lost.
  void Expect(uint64_t inode, uint64_t data);
  // A new inode, not yet put: number, owner, times; a regular file gets its content.
  wire::InodeRecord New(uint32_t mode, int64_t now_ns);
  // The inode of `record` ends, with all that belongs to it; its content goes to the garbage.
  Result<void> Remove(const wire::InodeRecord& record);

  Result<std::optional<wire::EntryRecord>> Find(uint64_t directory, std::string_view name) const;
  // These change the directory's record, which the caller puts.
  void Insert(wire::InodeRecord& directory, std::string_view name, uint64_t inode, uint32_t mode);
  void Erase(wire::InodeRecord& directory, std::string_view name, const wire::EntryRecord& entry);
  // The name stands for another inode, in the same place of listings.
  void Replace(const wire::InodeRecord& directory, std::string_view name, wire::EntryRecord entry,
               uint64_t inode, uint32_t mode);
  // At most `limit` entries behind `cookie`; `end` when there are no more.
  struct Listing {
    std::vector<wire::Entry> entries;
    bool end = false;
  };
  Result<Listing> List(uint64_t directory, uint64_t cookie, size_t limit) const;
  // Whether `directory` is `ancestor` or lies below it.
  Result<bool> IsWithin(uint64_t directory, uint64_t ancestor) const;

  Result<std::optional<std::string>> Xattr(const wire::InodeRecord& record,
                                           std::string_view name) const;
  Result<std::vector<std::string>> XattrNames(const wire::InodeRecord& record) const;
  // `old_size` is that of the value it replaces. The record is changed; the caller puts it.
  void SetXattr(wire::InodeRecord& record, std::string_view name, std::string_view value,
                std::optional<size_t> old_size);
  void RemoveXattr(wire::InodeRecord& record, std::string_view name, size_t value_size);

  // Content. The record is changed; the caller puts it.
  void SetSize(wire::InodeRecord& record, uint64_t size);
  // A new data id; the old content goes to the garbage. Size and pending cut are gone.
  void Renew(wire::InodeRecord& record);
  // A pending cut at the end of the file, of `session` or (0) up for a claim.
  void SetCut(wire::InodeRecord& record, uint64_t session);
  void ClearCut(wire::InodeRecord& record);

  // Content whose blocks are to be removed from the chunkservers.
  void AddGarbage(PoolId pool, DataId data);
  void AddOrphan(uint64_t inode);
  wire::CountersRecord& counters() { return counters_; }
  const wire::CountersRecord& counters() const { return counters_; }
  Overlay& overlay() { return overlay_; }
  // Whether garbage was added since this was last asked.
  bool TookGarbage();
  // Inodes that were put since this was last asked, each once, in order.
  std::vector<InodeId> TakeTouched();

 private:
  void AddGarbage(const wire::Attributes& attributes);
  uint64_t NextInode();
  uint64_t NextData();

  Overlay& overlay_;
  wire::CountersRecord& counters_;
  bool took_garbage_ = false;
  std::vector<InodeId> touched_;
  uint64_t expected_inode_ = 0;
  uint64_t expected_data_ = 0;
};

bool IsDirectory(uint32_t mode);
bool IsRegular(uint32_t mode);

}  // namespace ringfs::master
