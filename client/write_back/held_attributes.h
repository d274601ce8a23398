#pragma once

#include <cstdint>
#include <optional>

#include "client/filesystem.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

// Changes of the attributes of one file that the master has not been told of yet.
struct HeldAttributes {
  bool kill_set_ids = false;
  std::optional<uint32_t> mode, uid, gid;
  std::optional<int64_t> atime_ns, mtime_ns;
  bool mtime_told = false;  // the master was told of one since: an older one that is held is void
  int64_t ctime_ns = 0;     // at least

  // The file was written at `stamp_ns`.
  void Wrote(int64_t stamp_ns, bool kills_set_ids);
  // What setattr changes in a file that has the attributes `now`; no size.
  void Set(const AttributeChange& change, const wire::Attributes& now, int64_t stamp_ns);
  // The master was told of other changes, which come after these.
  void Told(const wire::SetAttributes& set);
  // `older` and these become one.
  void PutUnder(const HeldAttributes& older);

  // The attributes become what they are with these changes.
  void Show(wire::Attributes& attributes) const;
  void Fill(wire::Extend& extend) const;
};

}  // namespace ringfs::client
