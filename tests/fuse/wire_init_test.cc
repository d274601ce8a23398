#include "fuse/wire_init.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <vector>

namespace ringfs::fuse {
namespace {

template <typename Body>
std::vector<std::byte> Request(uint32_t opcode, const Body& body) {
  std::vector<std::byte> bytes(sizeof(fuse_in_header) + sizeof(Body));
  fuse_in_header header{};
  header.opcode = opcode;
  header.len = static_cast<uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), &body, sizeof(body));
  return bytes;
}

TEST(WireInitTest, ReadsTheOfferedFlagsOfBothWords) {
  fuse_init_in init{};
  init.flags = FUSE_INIT_EXT | FUSE_HANDLE_KILLPRIV_V2;
  init.flags2 = 1u << 4;

  EXPECT_EQ(OfferedFlags(Request(FUSE_INIT, init)),
            static_cast<uint64_t>(init.flags) | (1ull << 36));
  EXPECT_EQ(OfferedFlags(Request(FUSE_OPEN, init)), 0u);
}

TEST(WireInitTest, AddsOnlyWhatIsOffered) {
  for (const uint64_t offered : {0ull, 1ull << 28, (1ull << 36) | (1ull << 30), 1ull << 36}) {
    fuse_out_header header{};
    fuse_init_out init{};
    iovec answer[] = {{&header, sizeof(header)}, {&init, sizeof(init)}};

    CompleteInit(answer, offered);

    EXPECT_EQ((init.flags & FUSE_HANDLE_KILLPRIV_V2) != 0, offered == (1ull << 28));
    EXPECT_EQ(init.flags2 != 0, offered == ((1ull << 36) | (1ull << 30)));
  }
}

TEST(WireInitTest, SeesTheOrderToClearSetIds) {
  fuse_write_in write{};
  EXPECT_FALSE(OrdersKillSetIds(Request(FUSE_WRITE, write)));
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  EXPECT_TRUE(OrdersKillSetIds(Request(FUSE_WRITE, write)));

  fuse_setattr_in setattr{};
  setattr.valid = FATTR_KILL_SUIDGID;
  EXPECT_TRUE(OrdersKillSetIds(Request(FUSE_SETATTR, setattr)));

  fuse_open_in open{};
  open.open_flags = FUSE_OPEN_KILL_SUIDGID;
  EXPECT_TRUE(OrdersKillSetIds(Request(FUSE_OPEN, open)));
}

TEST(WireInitTest, TakesAShortRequestForOneWithoutOrders) {
  const std::vector<std::byte> nothing(3);
  EXPECT_FALSE(OrdersKillSetIds(nothing));
  EXPECT_EQ(OfferedFlags(nothing), 0u);
}

}  // namespace
}  // namespace ringfs::fuse
