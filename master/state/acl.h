#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "proto/namespace.pb.h"

namespace ringfs::master {

inline constexpr std::string_view kAccessAcl = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

// A POSIX.1e access control list, as the kernel passes it in an extended attribute: version 2, then
// (tag, permissions, id) each, little-endian.
//
// Invariant: entries are in the order that acl(5) wants, each tag that must be there once is, and
// there is a mask if there is a named user or group.
class Acl {
 public:
  // kNotSupported: another version. kInvalid: not a list that acl(5) allows.
  static Result<Acl> Parse(std::string_view bytes);
  std::string Serialize() const;

  // True when the mode bits say the same.
  bool IsMinimal() const { return entries_.size() == 3; }
  // The nine bits that stat(2) shows: of the group, the mask where there is one.
  uint32_t ModeBits() const;
  // chmod: the entries that the nine bits stand for.
  void SetModeBits(uint32_t bits);
  // Creation in a directory that has this as its default: what remains of `mode`, whose nine bits
  // are narrowed in the list as well.
  uint32_t Inherit(uint32_t mode);
  // What (a combination of 4 read, 2 write, 1 execute) is allowed to one who is not root.
  bool Allows(const wire::Credentials& who, uint32_t owner, uint32_t group, uint32_t want) const;

 private:
  struct Entry {
    uint16_t tag = 0;
    uint16_t permissions = 0;
    uint32_t id = 0;
  };

  Entry& Require(uint16_t tag);
  const Entry* Find(uint16_t tag) const;

  std::vector<Entry> entries_;
};

// Whether the mode bits, or the list where there is one, allow `want`. Root may do everything.
bool Allows(const wire::Attributes& file, const std::optional<Acl>& acl,
            const wire::Credentials& who, uint32_t want);

}  // namespace ringfs::master
