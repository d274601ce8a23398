#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace ringfs {

// A run of bytes with shared ownership: what a block payload travels in, from the socket or
// /dev/fuse to the disk and back, without being copied.
//
// Threads: copies may live on several threads; whoever writes into the bytes makes sure that no one
//          else looks at them.
class Buffer {
 public:
  Buffer() = default;
  // Bytes that live as long as `owner`.
  Buffer(std::shared_ptr<void> owner, std::span<std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}

  // `size` bytes, not initialised, aligned to 4096 (O_DIRECT), from a bounded pool of freed ones.
  static Buffer Allocate(size_t size);
  static Buffer CopyOf(std::span<const std::byte> bytes);

  std::span<std::byte> bytes() const { return bytes_; }
  std::byte* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // Shares the ownership. `offset` + `size` must be within this buffer.
  Buffer Slice(size_t offset, size_t size) const {
    return Buffer(owner_, bytes_.subspan(offset, size));
  }

 private:
  std::shared_ptr<void> owner_;
  std::span<std::byte> bytes_;
};

}  // namespace ringfs
