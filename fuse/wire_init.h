#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringfs::fuse {

// What libfuse 3.14 does not know of the kernel's protocol (linux/fuse.h), read from the requests
// and written into the answers as they pass.

// Adds to the answer to INIT (a header and fuse_init_out in one or two pieces): HANDLE_KILLPRIV_V2,
// without which every write(2) asks for security.capability first, and DIRECT_IO_ALLOW_MMAP, so
// that files opened with O_APPEND can be mapped. Only where `offered` by the kernel.
void CompleteInit(std::span<iovec> answer, uint64_t offered);

// The flags that the kernel offers in an INIT request; 0 if it is none.
uint64_t OfferedFlags(std::span<const std::byte> request);

// Whether the request (WRITE, SETATTR, OPEN, CREATE) orders set-id bits to be cleared.
bool OrdersKillSetIds(std::span<const std::byte> request);

}  // namespace ringfs::fuse
