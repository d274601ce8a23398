#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ringfs::master {

// The keys in LevelDB: a letter, then numbers as big-endian so that they sort, then bytes.
// Format: docs/formats/master.md.

inline constexpr std::string_view kFormatKey = "F";
inline constexpr std::string_view kCountersKey = "C";
inline constexpr std::string_view kUnfinishedKey = "U";

std::string InodeKey(uint64_t inode);
std::string NameKey(uint64_t parent, std::string_view name);
std::string CookieKey(uint64_t parent, uint64_t cookie);
std::string XattrKey(uint64_t inode, std::string_view name);
std::string OrphanKey(uint64_t inode);
std::string CutKey(uint64_t session, uint64_t inode);
std::string GarbageKey(uint64_t entry);
std::string SessionKey(uint64_t session);
std::string SlotKey(uint64_t session, uint32_t slot);
std::string LockKey(uint64_t inode, uint64_t record);
std::string ServerKey(uint32_t server);
std::string PoolKey(uint32_t pool);
std::string BucketKey(uint32_t pool, uint32_t bucket);

// What all keys of a family, or all that belong to one inode or session, begin with.
inline constexpr std::string_view kInodePrefix = "I";
inline constexpr std::string_view kOrphanPrefix = "O";
inline constexpr std::string_view kGarbagePrefix = "G";
inline constexpr std::string_view kSessionPrefix = "S";
inline constexpr std::string_view kSlotPrefix = "R";
inline constexpr std::string_view kLockPrefix = "L";
inline constexpr std::string_view kServerPrefix = "V";
inline constexpr std::string_view kPoolPrefix = "P";
inline constexpr std::string_view kBucketPrefix = "B";
std::string CookiePrefix(uint64_t parent);
std::string XattrPrefix(uint64_t inode);
std::string CutPrefix(uint64_t session);
std::string SlotPrefix(uint64_t session);

// The big-endian number of 8 or 4 bytes at `offset`; 0 when the key is shorter, which the caller
// takes for a damaged database.
uint64_t Number64(std::string_view key, size_t offset);
uint32_t Number32(std::string_view key, size_t offset);

}  // namespace ringfs::master
