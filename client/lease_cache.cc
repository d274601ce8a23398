#include "client/lease_cache.h"

namespace ringfs::client {
namespace {

constexpr size_t kMaxNameBytes = 255;

// Other names have other errors, or stand for what has no entry.
bool CanBeThere(const std::string& name) {
  return name.size() <= kMaxNameBytes && name != "." && name != "..";
}

}  // namespace

const LeaseCache::Known* LeaseCache::Find(InodeId inode) const {
  const auto found = known_.find(inode);
  if (found == known_.end() || found->second.lease != leases_.Number(inode)) return nullptr;
  return &found->second;
}

LeaseCache::Known* LeaseCache::UnderLease(InodeId inode) {
  const uint64_t lease = leases_.Number(inode);
  if (lease == 0) return nullptr;
  Known& known = known_[inode];
  if (known.lease != lease) {
    DropNames(known);
    known = Known{};
    known.lease = lease;
  }
  return &known;
}

const wire::Attributes* LeaseCache::Attributes(InodeId inode) const {
  const Known* known = Find(inode);
  return known != nullptr && known->attributes ? &*known->attributes : nullptr;
}

std::optional<InodeId> LeaseCache::Name(InodeId parent, const std::string& name) const {
  const Known* known = Find(parent);
  if (known == nullptr) return std::nullopt;
  const auto found = known->names.find(name);
  if (found == known->names.end()) {
    return known->whole && CanBeThere(name) ? std::optional<InodeId>(InodeId{0}) : std::nullopt;
  }
  return found->second == kUnknown ? std::nullopt : std::optional<InodeId>(found->second);
}

void LeaseCache::Keep(const wire::Attributes& attributes) {
  if (Known* known = UnderLease(InodeId{attributes.inode()})) known->attributes = attributes;
}

void LeaseCache::KeepName(InodeId parent, const std::string& name, InodeId inode) {
  Known* known = UnderLease(parent);
  if (known == nullptr) return;
  if (known->whole && inode == InodeId{0}) {
    names_ -= known->names.erase(name);
  } else {
    PutName(*known, name, inode);
  }
}

void LeaseCache::PutName(Known& directory, const std::string& name, InodeId inode) {
  if (names_ >= max_names_) {
    // It is filled anew by what is asked for from here on.
    DropNames(directory);
    if (names_ >= max_names_) return;
  }
  if (directory.names.insert_or_assign(name, inode).second) ++names_;
}

void LeaseCache::DropNames(Known& directory) {
  names_ -= directory.names.size();
  directory.names.clear();
  directory.whole = directory.listing = false;
}

void LeaseCache::KeepEmpty(InodeId directory) {
  Known* known = UnderLease(directory);
  if (known == nullptr) return;
  DropNames(*known);
  known->whole = true;
  known->end = 0;
}

bool LeaseCache::EndsAt(InodeId directory, uint64_t cookie) const {
  const Known* known = Find(directory);
  return known != nullptr && known->end && cookie >= *known->end;
}

void LeaseCache::Grew(InodeId directory) {
  const auto found = known_.find(directory);
  if (found != known_.end()) found->second.end.reset();
}

void LeaseCache::KeepListing(const wire::ReadDirectory& asked, const wire::MetaReply& page) {
  Known* known = UnderLease(InodeId{asked.inode()});
  if (known == nullptr) return;
  if (page.end()) {
    const int count = page.entries().size();
    known->end = count == 0 ? asked.cookie() : page.entries(count - 1).cookie();
  }
  if (known->whole) return;
  if (asked.cookie() == 0) {
    known->listing = true;
  } else if (!known->listing || asked.cookie() != known->listed_to) {
    return;
  }
  for (const wire::Entry& entry : page.entries()) {
    PutName(*known, entry.name(), InodeId{entry.inode()});
    known->listed_to = entry.cookie();
    // Too many to be kept.
    if (!known->listing) return;
  }
  known->whole = page.end();
}

void LeaseCache::DropAttributes(InodeId inode) {
  const auto found = known_.find(inode);
  if (found != known_.end()) found->second.attributes.reset();
}

void LeaseCache::DropName(InodeId parent, const std::string& name) {
  const auto found = known_.find(parent);
  if (found == known_.end()) return;
  if (found->second.whole || found->second.listing) {
    PutName(found->second, name, kUnknown);
  } else {
    names_ -= found->second.names.erase(name);
  }
}

void LeaseCache::Drop(InodeId inode) {
  const auto found = known_.find(inode);
  if (found == known_.end()) return;
  DropNames(found->second);
  known_.erase(found);
}

}  // namespace ringfs::client
