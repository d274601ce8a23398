#include "fuse/wire_init.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cstring>

namespace ringfs::fuse {
namespace {

constexpr uint64_t kDirectIoAllowMmap = 1ull << 36;  // kernel 6.6; newer than Debian 12's header

// The struct at `offset` of the request, zeros when the request is shorter.
template <typename T>
T At(std::span<const std::byte> request, size_t offset) {
  T value{};
  if (request.size() > offset) {
    std::memcpy(&value, request.data() + offset, std::min(sizeof(T), request.size() - offset));
  }
  return value;
}

uint32_t Opcode(std::span<const std::byte> request) {
  return request.size() < sizeof(fuse_in_header) ? 0 : At<fuse_in_header>(request, 0).opcode;
}

}  // namespace

uint64_t OfferedFlags(std::span<const std::byte> request) {
  if (Opcode(request) != FUSE_INIT) return 0;
  const auto init = At<fuse_init_in>(request, sizeof(fuse_in_header));
  uint64_t flags = init.flags;
  if ((flags & FUSE_INIT_EXT) != 0) flags |= static_cast<uint64_t>(init.flags2) << 32;
  return flags;
}

void CompleteInit(std::span<iovec> answer, uint64_t offered) {
  if (answer.size() < 2 || answer[1].iov_len < sizeof(fuse_init_out)) return;
  fuse_init_out init;
  std::memcpy(&init, answer[1].iov_base, sizeof(init));
  init.flags |= static_cast<uint32_t>(offered) & FUSE_HANDLE_KILLPRIV_V2;
  if ((offered & FUSE_INIT_EXT) != 0 && (offered & kDirectIoAllowMmap) != 0) {
    init.flags |= FUSE_INIT_EXT;
    init.flags2 |= static_cast<uint32_t>(kDirectIoAllowMmap >> 32);
  }
  std::memcpy(answer[1].iov_base, &init, sizeof(init));
}

bool OrdersKillSetIds(std::span<const std::byte> request) {
  constexpr size_t kBody = sizeof(fuse_in_header);
  switch (Opcode(request)) {
    case FUSE_WRITE:
      return (At<fuse_write_in>(request, kBody).write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
    case FUSE_SETATTR:
      return (At<fuse_setattr_in>(request, kBody).valid & FATTR_KILL_SUIDGID) != 0;
    case FUSE_OPEN:
      return (At<fuse_open_in>(request, kBody).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
    case FUSE_CREATE:
      return (At<fuse_create_in>(request, kBody).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
    default:
      return false;
  }
}

}  // namespace ringfs::fuse
