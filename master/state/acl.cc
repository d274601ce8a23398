#include "master/state/acl.h"

#include <algorithm>

#include "common/check.h"

namespace ringfs::master {
namespace {

constexpr uint32_t kVersion2 = 2;
constexpr size_t kHeaderBytes = 4;
constexpr size_t kEntryBytes = 8;

// Tags, in the order in which entries stand.
constexpr uint16_t kUserObject = 0x01;
constexpr uint16_t kUser = 0x02;
constexpr uint16_t kGroupObject = 0x04;
constexpr uint16_t kGroup = 0x08;
constexpr uint16_t kMask = 0x10;
constexpr uint16_t kOther = 0x20;

uint32_t Little(std::string_view bytes, size_t offset, size_t size) {
  uint32_t number = 0;
  for (size_t i = size; i > 0; --i) {
    number = number << 8 | static_cast<uint8_t>(bytes[offset + i - 1]);
  }
  return number;
}

void AppendLittle(std::string& bytes, uint32_t number, size_t size) {
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
}

bool IsIn(const wire::Credentials& who, uint32_t group) {
  return who.gid() == group || std::ranges::find(who.groups(), group) != who.groups().end();
}

}  // namespace

Result<Acl> Acl::Parse(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || (bytes.size() - kHeaderBytes) % kEntryBytes != 0) {
    return Fail(Errc::kInvalid, "an ACL of a wrong length");
  }
  if (Little(bytes, 0, 4) != kVersion2) {
    return Fail(Errc::kNotSupported, "an ACL of another version than 2");
  }
  Acl acl;
  size_t singles = 0;
  bool named = false;
  for (size_t at = kHeaderBytes; at < bytes.size(); at += kEntryBytes) {
    Entry entry;
    entry.tag = static_cast<uint16_t>(Little(bytes, at, 2));
    entry.permissions = static_cast<uint16_t>(Little(bytes, at + 2, 2));
    entry.id = Little(bytes, at + 4, 4);
    bool may_repeat = entry.tag == kUser || entry.tag == kGroup;
    uint16_t before = acl.entries_.empty() ? uint16_t{0} : acl.entries_.back().tag;
    bool known = may_repeat || entry.tag == kUserObject || entry.tag == kGroupObject ||
                 entry.tag == kMask || entry.tag == kOther;
    if (!known || entry.permissions > 7 || before > entry.tag ||
        (before == entry.tag && !may_repeat)) {
      return Fail(Errc::kInvalid, "an ACL with a wrong entry");
    }
    if (!may_repeat && entry.tag != kMask) ++singles;
    named = named || may_repeat;
    acl.entries_.push_back(entry);
  }
  if (singles != 3 || (named && acl.Find(kMask) == nullptr)) {
    return Fail(Errc::kInvalid, "an ACL without an entry that it must have");
  }
  return acl;
}

std::string Acl::Serialize() const {
  std::string bytes;
  bytes.reserve(kHeaderBytes + kEntryBytes * entries_.size());
  AppendLittle(bytes, kVersion2, 4);
  for (const Entry& entry : entries_) {
    AppendLittle(bytes, entry.tag, 2);
    AppendLittle(bytes, entry.permissions, 2);
    AppendLittle(bytes, entry.id, 4);
  }
  return bytes;
}

const Acl::Entry* Acl::Find(uint16_t tag) const {
  auto found = std::ranges::find(entries_, tag, &Entry::tag);
  return found != entries_.end() ? &*found : nullptr;
}

Acl::Entry& Acl::Require(uint16_t tag) {
  auto found = std::ranges::find(entries_, tag, &Entry::tag);
  RINGFS_CHECK(found != entries_.end());
  return *found;
}

uint32_t Acl::ModeBits() const {
  const Entry* mask = Find(kMask);
  const Entry* group = mask != nullptr ? mask : Find(kGroupObject);
  return static_cast<uint32_t>(Find(kUserObject)->permissions << 6 | group->permissions << 3 |
                               Find(kOther)->permissions);
}

void Acl::SetModeBits(uint32_t bits) {
  bool masked = Find(kMask) != nullptr;
  Require(kUserObject).permissions = static_cast<uint16_t>(bits >> 6 & 7);
  Require(masked ? kMask : kGroupObject).permissions = static_cast<uint16_t>(bits >> 3 & 7);
  Require(kOther).permissions = static_cast<uint16_t>(bits & 7);
}

uint32_t Acl::Inherit(uint32_t mode) {
  uint32_t bits = ModeBits() & mode;
  SetModeBits(bits);
  return (mode & ~uint32_t{0777}) | bits;
}

bool Acl::Allows(const wire::Credentials& who, uint32_t owner, uint32_t group,
                 uint32_t want) const {
  uint32_t mask = 7;
  if (const Entry* entry = Find(kMask)) mask = entry->permissions;
  bool in_a_group = false;
  for (const Entry& entry : entries_) {
    uint32_t has = entry.permissions;
    switch (entry.tag) {
      case kUserObject:
        if (who.uid() == owner) return (has & want) == want;
        break;
      case kUser:
        if (who.uid() == entry.id) return (has & mask & want) == want;
        break;
      case kGroupObject:
      case kGroup:
        if (!IsIn(who, entry.tag == kGroup ? entry.id : group)) break;
        if ((has & mask & want) == want) return true;
        in_a_group = true;
        break;
      case kOther:
        return !in_a_group && (has & want) == want;
      default:
        break;
    }
  }
  return false;
}

bool Allows(const wire::Attributes& file, const std::optional<Acl>& acl,
            const wire::Credentials& who, uint32_t want) {
  if (who.uid() == 0) return true;
  if (acl) return acl->Allows(who, file.uid(), file.gid(), want);
  uint32_t bits = file.mode() & 7;
  if (who.uid() == file.uid()) {
    bits = file.mode() >> 6 & 7;
  } else if (IsIn(who, file.gid())) {
    bits = file.mode() >> 3 & 7;
  }
  return (bits & want) == want;
}

}  // namespace ringfs::master
