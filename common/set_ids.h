#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace ringfs {

// `mode` after a write, or a change of owner, by somebody without privilege: the set-user-id bit goes,
// and the set-group-id bit where it is one (group-executable). chown(2), inode(7).
inline uint32_t WithoutSetIds(uint32_t mode) {
  mode &= ~uint32_t{S_ISUID};
  if ((mode & S_IXGRP) != 0) mode &= ~uint32_t{S_ISGID};
  return mode;
}

}  // namespace ringfs
