#include "master/state/keys.h"

namespace ringfs::master {
namespace {

class KeyBuilder {
 public:
  KeyBuilder(char family, size_t size) {
    key_.reserve(1 + size);
    key_.push_back(family);
  }
  KeyBuilder& Add64(uint64_t number) {
    for (int shift = 56; shift >= 0; shift -= 8) key_.push_back(static_cast<char>(number >> shift));
    return *this;
  }
  KeyBuilder& Add32(uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) key_.push_back(static_cast<char>(number >> shift));
    return *this;
  }
  KeyBuilder& AddBytes(std::string_view bytes) {
    key_.append(bytes);
    return *this;
  }
  std::string Take() { return std::move(key_); }

 private:
  std::string key_;
};

uint64_t Number(std::string_view key, size_t offset, size_t size) {
  if (key.size() < offset + size) return 0;
  uint64_t number = 0;
  for (char byte : key.substr(offset, size)) number = number << 8 | static_cast<uint8_t>(byte);
  return number;
}

}  // namespace

std::string InodeKey(uint64_t inode) { return KeyBuilder('I', 8).Add64(inode).Take(); }
std::string NameKey(uint64_t parent, std::string_view name) {
  return KeyBuilder('N', 8 + name.size()).Add64(parent).AddBytes(name).Take();
}
std::string CookieKey(uint64_t parent, uint64_t cookie) {
  return KeyBuilder('K', 16).Add64(parent).Add64(cookie).Take();
}
std::string XattrKey(uint64_t inode, std::string_view name) {
  return KeyBuilder('X', 8 + name.size()).Add64(inode).AddBytes(name).Take();
}
std::string OrphanKey(uint64_t inode) { return KeyBuilder('O', 8).Add64(inode).Take(); }
std::string CutKey(uint64_t session, uint64_t inode) {
  return KeyBuilder('T', 16).Add64(session).Add64(inode).Take();
}
std::string GarbageKey(uint64_t entry) { return KeyBuilder('G', 8).Add64(entry).Take(); }
std::string SessionKey(uint64_t session) { return KeyBuilder('S', 8).Add64(session).Take(); }
std::string SlotKey(uint64_t session, uint32_t slot) {
  return KeyBuilder('R', 12).Add64(session).Add32(slot).Take();
}
std::string LockKey(uint64_t inode, uint64_t record) {
  return KeyBuilder('L', 16).Add64(inode).Add64(record).Take();
}
std::string ServerKey(uint32_t server) { return KeyBuilder('V', 4).Add32(server).Take(); }
std::string PoolKey(uint32_t pool) { return KeyBuilder('P', 4).Add32(pool).Take(); }
std::string BucketKey(uint32_t pool, uint32_t bucket) {
  return KeyBuilder('B', 8).Add32(pool).Add32(bucket).Take();
}

std::string CookiePrefix(uint64_t parent) { return KeyBuilder('K', 8).Add64(parent).Take(); }
std::string XattrPrefix(uint64_t inode) { return KeyBuilder('X', 8).Add64(inode).Take(); }
std::string CutPrefix(uint64_t session) { return KeyBuilder('T', 8).Add64(session).Take(); }
std::string SlotPrefix(uint64_t session) { return KeyBuilder('R', 8).Add64(session).Take(); }

uint64_t Number64(std::string_view key, size_t offset) { return Number(key, offset, 8); }
uint32_t Number32(std::string_view key, size_t offset) {
  return static_cast<uint32_t>(Number(key, offset, 4));
}

}  // namespace ringfs::master
