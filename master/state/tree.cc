#include "master/state/tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "master/state/keys.h"
#include "master/state/limits.h"
#include "master/state/record.h"

namespace ringfs::master {

bool IsDirectory(uint32_t mode) { return (mode & S_IFMT) == S_IFDIR; }
bool IsRegular(uint32_t mode) { return (mode & S_IFMT) == S_IFREG; }

Result<wire::InodeRecord> Tree::Get(uint64_t inode) const {
  Result<std::optional<std::string>> bytes = overlay_.Get(InodeKey(inode));
  if (!bytes) return Fail(bytes.error());
  if (!*bytes) return Fail(Errc::kStale, "no inode " + std::to_string(inode));
  Result<wire::InodeRecord> record = ParseRecord<wire::InodeRecord>(**bytes, "inode");
  // A program that does not know the field may have written the record.
  if (record) record->mutable_attributes()->set_plain(record->xattr_bytes() == 0);
  return record;
}

Result<wire::InodeRecord> Tree::GetDirectory(uint64_t inode) const {
  Result<wire::InodeRecord> record = Get(inode);
  if (record && !IsDirectory(record->attributes().mode())) {
    return Fail(Errc::kNotDirectory, "inode " + std::to_string(inode) + " is no directory");
  }
  return record;
}

Result<wire::InodeRecord> Tree::GetLiveDirectory(uint64_t inode) const {
  Result<wire::InodeRecord> record = GetDirectory(inode);
  if (record && record->attributes().links() == 0) {
    return Fail(Errc::kNotFound, "directory " + std::to_string(inode) + " has been removed");
  }
  return record;
}

void Tree::Put(const wire::InodeRecord& inode) {
  const InodeId id{inode.attributes().inode()};
  overlay_.Put(InodeKey(Raw(id)), inode.SerializeAsString());
  touched_.push_back(id);
}

void Tree::Expect(uint64_t inode, uint64_t data) {
  expected_inode_ = inode;
  expected_data_ = data;
}

uint64_t Tree::NextInode() {
  if (expected_inode_ != 0) return std::exchange(expected_inode_, 0);
  const uint64_t next = counters_.next_inode();
  counters_.set_next_inode(next + 1);
  return next;
}

uint64_t Tree::NextData() {
  if (expected_data_ != 0) return std::exchange(expected_data_, 0);
  const uint64_t next = counters_.next_data();
  counters_.set_next_data(next + 1);
  return next;
}

wire::InodeRecord Tree::New(uint32_t mode, int64_t now_ns) {
  wire::InodeRecord record;
  wire::Attributes& attributes = *record.mutable_attributes();
  attributes.set_inode(NextInode());
  counters_.set_inodes(counters_.inodes() + 1);
  attributes.set_mode(mode);
  attributes.set_plain(true);
  attributes.set_links(1);
  attributes.set_atime_ns(now_ns);
  attributes.set_mtime_ns(now_ns);
  attributes.set_ctime_ns(now_ns);
  attributes.set_btime_ns(now_ns);
  if (IsDirectory(mode)) {
    attributes.set_links(2);
    attributes.set_size(kDirectoryBytes);
    record.set_next_cookie(kFirstCookie);
  }
  if (IsRegular(mode)) {
    attributes.set_data(NextData());
    attributes.set_pool(1);
    attributes.set_block_size(kDefaultBlockSize);
    attributes.set_generation(1);
  }
  return record;
}

Result<void> Tree::Remove(const wire::InodeRecord& record) {
  const wire::Attributes& attributes = record.attributes();
  if (record.xattr_bytes() > 0) {
    Result<std::vector<std::string>> names = XattrNames(record);
    if (!names) return Fail(names.error());
    for (const std::string& name : *names) {
      overlay_.Delete(XattrKey(attributes.inode(), name));
    }
  }
  if (IsRegular(attributes.mode())) {
    AddGarbage(attributes);
    counters_.set_files_bytes(counters_.files_bytes() - attributes.size());
  }
  if (attributes.has_cut()) {
    overlay_.Delete(CutKey(attributes.cut().session(), attributes.inode()));
  }
  overlay_.Delete(OrphanKey(attributes.inode()));
  overlay_.Delete(InodeKey(attributes.inode()));
  counters_.set_inodes(counters_.inodes() - 1);
  return {};
}

Result<std::optional<wire::EntryRecord>> Tree::Find(uint64_t directory,
                                                    std::string_view name) const {
  Result<std::optional<std::string>> bytes = overlay_.Get(NameKey(directory, name));
  if (!bytes) return Fail(bytes.error());
  if (!*bytes) return std::optional<wire::EntryRecord>();
  Result<wire::EntryRecord> entry = ParseRecord<wire::EntryRecord>(**bytes, "name");
  if (!entry) return Fail(entry.error());
  return std::optional<wire::EntryRecord>(std::move(*entry));
}

void Tree::Replace(const wire::InodeRecord& directory, std::string_view name,
                   wire::EntryRecord entry, uint64_t inode, uint32_t mode) {
  uint64_t parent = directory.attributes().inode();
  entry.set_inode(inode);
  entry.set_type(mode & S_IFMT);
  overlay_.Put(NameKey(parent, name), entry.SerializeAsString());
  wire::CookieRecord listed;
  listed.set_name(name.data(), name.size());
  listed.set_inode(entry.inode());
  listed.set_type(entry.type());
  overlay_.Put(CookieKey(parent, entry.cookie()), listed.SerializeAsString());
}

void Tree::Insert(wire::InodeRecord& directory, std::string_view name, uint64_t inode,
                  uint32_t mode) {
  wire::EntryRecord entry;
  entry.set_cookie(directory.next_cookie());
  directory.set_next_cookie(directory.next_cookie() + 1);
  directory.set_entries(directory.entries() + 1);
  Replace(directory, name, std::move(entry), inode, mode);
}

void Tree::Erase(wire::InodeRecord& directory, std::string_view name,
                 const wire::EntryRecord& entry) {
  uint64_t parent = directory.attributes().inode();
  overlay_.Delete(NameKey(parent, name));
  overlay_.Delete(CookieKey(parent, entry.cookie()));
  directory.set_entries(directory.entries() - 1);
}

Result<Tree::Listing> Tree::List(uint64_t directory, uint64_t cookie, size_t limit) const {
  Listing listing;
  listing.end = true;
  if (cookie >= uint64_t{INT64_MAX}) return listing;
  bool damaged = false;
  std::string prefix = CookiePrefix(directory);
  auto visit = [&](std::string_view key, std::string_view value) {
    if (listing.entries.size() == limit) {
      listing.end = false;
      return false;
    }
    Result<wire::CookieRecord> record = ParseRecord<wire::CookieRecord>(value, "listing");
    damaged = !record;
    if (damaged) return false;
    wire::Entry& entry = listing.entries.emplace_back();
    entry.set_cookie(Number64(key, prefix.size()));
    entry.set_name(std::move(*record->mutable_name()));
    entry.set_inode(record->inode());
    entry.set_mode(record->type());
    return true;
  };
  Result<void> scanned = overlay_.Scan(prefix, CookieKey(directory, cookie + 1), visit);
  if (!scanned) return Fail(scanned.error());
  if (damaged) return Fail(Errc::kCorrupted, "the database has a damaged listing");
  return listing;
}

Result<bool> Tree::IsWithin(uint64_t directory, uint64_t ancestor) const {
  while (directory != ancestor) {
    if (directory == Raw(kRootInode)) return false;
    Result<wire::InodeRecord> record = Get(directory);
    if (!record) return Fail(record.error());
    directory = record->parent();
  }
  return true;
}

Result<std::optional<std::string>> Tree::Xattr(const wire::InodeRecord& record,
                                               std::string_view name) const {
  if (record.xattr_bytes() == 0) return std::optional<std::string>();
  return overlay_.Get(XattrKey(record.attributes().inode(), name));
}

Result<std::vector<std::string>> Tree::XattrNames(const wire::InodeRecord& record) const {
  std::vector<std::string> names;
  if (record.xattr_bytes() == 0) return names;
  std::string prefix = XattrPrefix(record.attributes().inode());
  auto visit = [&](std::string_view key, std::string_view) {
    names.emplace_back(key.substr(prefix.size()));
    return true;
  };
  Result<void> scanned = overlay_.Scan(prefix, prefix, visit);
  if (!scanned) return Fail(scanned.error());
  return names;
}

void Tree::SetXattr(wire::InodeRecord& record, std::string_view name, std::string_view value,
                    std::optional<size_t> old_size) {
  if (old_size) {
    record.set_xattr_bytes(record.xattr_bytes() - *old_size + value.size());
  } else {
    record.set_xattr_bytes(record.xattr_bytes() + name.size() + value.size());
    record.set_xattr_names(record.xattr_names() + name.size() + 1);
  }
  record.mutable_attributes()->set_plain(false);
  overlay_.Put(XattrKey(record.attributes().inode(), name), std::string(value));
}

void Tree::RemoveXattr(wire::InodeRecord& record, std::string_view name, size_t value_size) {
  record.set_xattr_bytes(record.xattr_bytes() - name.size() - value_size);
  record.set_xattr_names(record.xattr_names() - name.size() - 1);
  record.mutable_attributes()->set_plain(record.xattr_bytes() == 0);
  overlay_.Delete(XattrKey(record.attributes().inode(), name));
}

void Tree::SetSize(wire::InodeRecord& record, uint64_t size) {
  counters_.set_files_bytes(counters_.files_bytes() - record.attributes().size() + size);
  record.mutable_attributes()->set_size(size);
}

void Tree::Renew(wire::InodeRecord& record) {
  wire::Attributes& attributes = *record.mutable_attributes();
  AddGarbage(attributes);
  ClearCut(record);
  SetSize(record, 0);
  attributes.set_data(NextData());
  attributes.set_generation(attributes.generation() + 1);
}

void Tree::SetCut(wire::InodeRecord& record, uint64_t session) {
  ClearCut(record);
  wire::Attributes& attributes = *record.mutable_attributes();
  attributes.mutable_cut()->set_session(session);
  attributes.mutable_cut()->set_from(attributes.size());
  overlay_.Put(CutKey(session, attributes.inode()), {});
}

void Tree::ClearCut(wire::InodeRecord& record) {
  wire::Attributes& attributes = *record.mutable_attributes();
  record.set_cut_again(false);
  if (!attributes.has_cut()) return;
  overlay_.Delete(CutKey(attributes.cut().session(), attributes.inode()));
  attributes.clear_cut();
}

void Tree::AddOrphan(uint64_t inode) { overlay_.Put(OrphanKey(inode), {}); }

std::vector<InodeId> Tree::TakeTouched() {
  std::vector<InodeId> touched = std::exchange(touched_, {});
  std::ranges::sort(touched);
  const auto repeated = std::ranges::unique(touched);
  touched.erase(repeated.begin(), repeated.end());
  return touched;
}

bool Tree::TookGarbage() { return std::exchange(took_garbage_, false); }

void Tree::AddGarbage(const wire::Attributes& attributes) {
  // Of an empty file as well: a writer that failed may have left blocks that no size ever covered.
  AddGarbage(PoolId{attributes.pool()}, DataId{attributes.data()});
}

void Tree::AddGarbage(PoolId pool, DataId data) {
  wire::GarbageItem item;
  item.set_entry(counters_.next_garbage());
  item.set_pool(Raw(pool));
  item.set_data(Raw(data));
  overlay_.Put(GarbageKey(item.entry()), item.SerializeAsString());
  counters_.set_next_garbage(counters_.next_garbage() + 1);
  counters_.set_garbage_entries(counters_.garbage_entries() + 1);
  took_garbage_ = true;
}

}  // namespace ringfs::master
