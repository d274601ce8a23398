#include "client/write_back/held_attributes.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "common/set_ids.h"

namespace ringfs::client {

void HeldAttributes::Wrote(int64_t stamp_ns, bool kills_set_ids) {
  mtime_ns = ctime_ns = stamp_ns;
  if (mode && kills_set_ids) mode = WithoutSetIds(*mode);
  kill_set_ids = kill_set_ids || (kills_set_ids && !mode);
}

void HeldAttributes::Set(const AttributeChange& change, const wire::Attributes& now,
                         int64_t stamp_ns) {
  uint32_t bits = change.mode ? (now.mode() & S_IFMT) | (*change.mode & 07777) : now.mode();
  const bool new_owner = change.uid || change.gid;
  if ((new_owner && !change.mode) || change.kill_set_ids) bits = WithoutSetIds(bits);
  if (bits != now.mode() || change.mode) {
    mode = bits;
    kill_set_ids = false;
  }
  if (change.uid) uid = change.uid;
  if (change.gid) gid = change.gid;
  if (change.atime_ns) atime_ns = change.atime_ns;
  if (change.atime_now) atime_ns = stamp_ns;
  if (change.mtime_ns) mtime_ns = change.mtime_ns;
  if (change.mtime_now) mtime_ns = stamp_ns;
  if (!change.was_read) ctime_ns = stamp_ns;
}

void HeldAttributes::Told(const wire::SetAttributes& set) {
  if (set.has_mtime_ns() || set.mtime_now()) {
    mtime_ns.reset();
    mtime_told = true;
  }
  if (set.has_atime_ns() || set.atime_now()) atime_ns.reset();
  if (set.has_mode()) {
    mode.reset();
    kill_set_ids = false;
  }
  if (set.has_uid()) uid.reset();
  if (set.has_gid()) gid.reset();
}

void HeldAttributes::PutUnder(const HeldAttributes& older) {
  if (!mode && older.mode) {
    mode = std::exchange(kill_set_ids, false) ? WithoutSetIds(*older.mode) : *older.mode;
  } else if (!mode) {
    kill_set_ids = kill_set_ids || older.kill_set_ids;
  }
  if (!uid) uid = older.uid;
  if (!gid) gid = older.gid;
  if (!atime_ns) atime_ns = older.atime_ns;
  if (!mtime_ns && !mtime_told) mtime_ns = older.mtime_ns;
  ctime_ns = std::max(ctime_ns, older.ctime_ns);
}

void HeldAttributes::Show(wire::Attributes& attributes) const {
  if (mode) attributes.set_mode(*mode);
  if (kill_set_ids) attributes.set_mode(WithoutSetIds(attributes.mode()));
  if (uid) attributes.set_uid(*uid);
  if (gid) attributes.set_gid(*gid);
  if (atime_ns) attributes.set_atime_ns(*atime_ns);
  if (mtime_ns) attributes.set_mtime_ns(*mtime_ns);
  attributes.set_ctime_ns(std::max(attributes.ctime_ns(), ctime_ns));
}

void HeldAttributes::Fill(wire::Extend& extend) const {
  extend.set_held_back(true);
  extend.set_kill_set_ids(kill_set_ids);
  if (mode) extend.set_mode(*mode);
  if (uid) extend.set_uid(*uid);
  if (gid) extend.set_gid(*gid);
  if (atime_ns) extend.set_atime_ns(*atime_ns);
  if (mtime_ns) extend.set_mtime_ns(*mtime_ns);
  extend.set_ctime_ns(ctime_ns);
}

}  // namespace ringfs::client
