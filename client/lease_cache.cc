#include "client/lease_cache.h"

namespace ringfs::client {

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
    names_ -= known.names.size();
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
  return found == known->names.end() ? std::nullopt : std::optional<InodeId>(found->second);
}

void LeaseCache::Keep(const wire::Attributes& attributes) {
  if (Known* known = UnderLease(InodeId{attributes.inode()})) known->attributes = attributes;
}

void LeaseCache::KeepName(InodeId parent, const std::string& name, InodeId inode) {
  Known* known = UnderLease(parent);
  if (known == nullptr) return;
  if (names_ >= max_names_) {
    // It is filled anew by what is asked for from here on.
    names_ -= known->names.size();
    known->names.clear();
    if (names_ >= max_names_) return;
  }
  if (known->names.insert_or_assign(name, inode).second) ++names_;
}

void LeaseCache::DropAttributes(InodeId inode) {
  const auto found = known_.find(inode);
  if (found != known_.end()) found->second.attributes.reset();
}

void LeaseCache::DropName(InodeId parent, const std::string& name) {
  const auto found = known_.find(parent);
  if (found != known_.end()) names_ -= found->second.names.erase(name);
}

void LeaseCache::Drop(InodeId inode) {
  const auto found = known_.find(inode);
  if (found == known_.end()) return;
  names_ -= found->second.names.size();
  known_.erase(found);
}

}  // namespace ringfs::client
