#include "common/buffer.h"

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "common/check.h"

namespace ringfs {
namespace {

constexpr size_t kAlignment = 4096;
constexpr size_t kClasses = 12;  // 4 KiB, 8 KiB, ... 8 MiB; larger ones are not kept
constexpr size_t kMaxHeldBytes = 64u << 20;

std::byte* AllocateAligned(size_t size) {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
  RINGFS_CHECK(memory != nullptr);
  return memory;
}

// Keeps freed memory for the next buffer of its size class: a fresh megabyte costs 256 page
// faults, which is more than receiving it.
class Pool {
 public:
  static size_t ClassOf(size_t size) {
    return size <= kAlignment ? 0 : std::bit_width((size - 1) / kAlignment);
  }
  static size_t SizeOf(size_t size_class) { return kAlignment << size_class; }

  std::byte* Take(size_t size_class) {
    {
      const std::scoped_lock lock(mutex_);
      std::vector<std::byte*>& held = held_[size_class];
      if (!held.empty()) {
        std::byte* memory = held.back();
        held.pop_back();
        held_bytes_ -= SizeOf(size_class);
        return memory;
      }
    }
    return AllocateAligned(SizeOf(size_class));
  }

  void Give(std::byte* memory, size_t size_class) {
    {
      const std::scoped_lock lock(mutex_);
      if (held_bytes_ + SizeOf(size_class) <= kMaxHeldBytes) {
        held_[size_class].push_back(memory);
        held_bytes_ += SizeOf(size_class);
        return;
      }
    }
    std::free(memory);
  }

 private:
  std::mutex mutex_;
  std::array<std::vector<std::byte*>, kClasses> held_;
  size_t held_bytes_ = 0;
};

// Never destroyed: buffers may be freed by threads that outlive the statics.
Pool& ThePool() {
  static Pool* const pool = new Pool;
  return *pool;
}

}  // namespace

Buffer Buffer::Allocate(size_t size) {
  if (size == 0) return {};
  const size_t size_class = Pool::ClassOf(size);
  if (size_class >= kClasses) {
    std::byte* memory = AllocateAligned((size + kAlignment - 1) / kAlignment * kAlignment);
    return Buffer(std::shared_ptr<void>(memory, [](void* freed) { std::free(freed); }),
                  {memory, size});
  }
  std::byte* memory = ThePool().Take(size_class);
  auto give_back = [size_class](void* freed) {
    ThePool().Give(static_cast<std::byte*>(freed), size_class);
  };
  return Buffer(std::shared_ptr<void>(memory, give_back), {memory, size});
}

Buffer Buffer::CopyOf(std::span<const std::byte> bytes) {
  Buffer copy = Allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

}  // namespace ringfs
