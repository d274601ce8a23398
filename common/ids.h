#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace ringfs {

// Identities are types of their own, so that two of them cannot be exchanged by mistake.
enum class InodeId : uint64_t {};    // never used twice; 1 is the root, 0 none
enum class DataId : uint64_t {};     // the content of a file; 0 none
enum class SessionId : uint64_t {};  // one registration of one mount; 0 none
enum class ServerId : uint32_t {};   // a chunkserver, given by the master; 0 none
enum class PoolId : uint32_t {};     // starts at 1
enum class BucketId : uint32_t {};   // within its pool, [0, 2^k)
enum class Epoch : uint64_t {};      // version of the cluster map

inline constexpr InodeId kRootInode{1};

// A mount may have the locks of an inode to itself, under a lease (docs/formats/wire.md). What stands
// for them among the leases is the inode with this bit, which is part of no inode's number.
inline constexpr uint64_t kLocksBit = uint64_t{1} << 63;
constexpr InodeId LocksOf(InodeId inode) {
  return InodeId{static_cast<uint64_t>(inode) | kLocksBit};
}
constexpr bool StandsForLocks(InodeId inode) {
  return (static_cast<uint64_t>(inode) & kLocksBit) != 0;
}
constexpr InodeId InodeOfLocks(InodeId locks) {
  return InodeId{static_cast<uint64_t>(locks) & ~kLocksBit};
}

template <typename Id>
  requires std::is_enum_v<Id>
constexpr auto Raw(Id id) {
  return static_cast<std::underlying_type_t<Id>>(id);
}

// A block of a file: docs/glossary.md.
struct BlockKey {
  PoolId pool{1};
  DataId data{0};
  uint32_t index = 0;

  auto operator<=>(const BlockKey&) const = default;
};

// Orders the versions of a block: the bucket version at which the write was ordered, then a
// counter. {0, 0} is a block that was never written.
struct BlockVersion {
  uint64_t bucket_version = 0;
  uint64_t counter = 0;

  auto operator<=>(const BlockVersion&) const = default;
};

// The bytes of a block that one checksum covers, in the store and on the wire.
inline constexpr uint32_t kChecksumUnit = 4096;
inline constexpr uint32_t kMinBlockSize = 64 << 10;
inline constexpr uint32_t kDefaultBlockSize = 4 << 20;
inline constexpr uint32_t kMaxBlockSize = 64 << 20;

}  // namespace ringfs

template <>
struct std::hash<ringfs::BlockKey> {
  size_t operator()(const ringfs::BlockKey& key) const noexcept {
    uint64_t mixed = ringfs::Raw(key.data) * 0x9E3779B97F4A7C15u + key.index;
    return (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9u + ringfs::Raw(key.pool);
  }
};
