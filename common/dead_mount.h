#pragma once

#include <sys/xattr.h>

#include <cerrno>
#include <string>

namespace ringfs {

// Whether the client of the FUSE mount at `mountpoint` has died. stat(2) does not tell: for some seconds
// the kernel answers from what it was told to keep. This attribute it asks the client for, and a client
// of ringfs needs nobody else to answer (docs/formats/wire.md).
inline bool IsDeadMount(const std::string& mountpoint) {
  return getxattr(mountpoint.c_str(), "system.ringfs.errors.0", nullptr, 0) < 0 &&
         errno == ENOTCONN;
}

}  // namespace ringfs
