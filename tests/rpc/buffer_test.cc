#include "common/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace ringfs {
namespace {

TEST(Buffer, IsAlignedAndAsLargeAsAskedFor) {
  for (const size_t size : {1u, 4095u, 4096u, 4097u, 100'000u, 1u << 20, 9u << 20, 64u << 20}) {
    SCOPED_TRACE(size);
    const Buffer buffer = Buffer::Allocate(size);

    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u);
    buffer.bytes().front() = std::byte{1};
    buffer.bytes().back() = std::byte{2};
  }
}

TEST(Buffer, OfNothingIsEmpty) { EXPECT_TRUE(Buffer::Allocate(0).empty()); }

TEST(Buffer, ReusesFreedMemory) {
  const std::byte* first = Buffer::Allocate(300'000).data();

  EXPECT_EQ(Buffer::Allocate(300'000).data(), first);
}

TEST(Buffer, KeepsItsBytesForItsSlices) {
  Buffer slice;
  {
    const char text[] = "0123456789";
    slice = Buffer::CopyOf(std::as_bytes(std::span(text))).Slice(2, 3);
  }

  EXPECT_EQ(std::memcmp(slice.data(), "234", 3), 0);
}

TEST(Buffer, IsAllocatedAndFreedByManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 1000; ++i) {
        const Buffer buffer = Buffer::Allocate(size_t{4096} << (i % 5));
        std::memset(buffer.data(), t, buffer.size());
        EXPECT_EQ(buffer.bytes().back(), static_cast<std::byte>(t));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ringfs
