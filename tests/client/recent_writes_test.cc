#include "client/write_back/recent_writes.h"

#include <gtest/gtest.h>

#include "tests/client/world.h"

namespace ringfs::client {
namespace {

constexpr InodeId kRecent{7};
constexpr ContentState kWritten{.lease = 3, .data = 5, .generation = 1};

FilePiece Piece(uint64_t offset, std::string_view bytes) { return {offset, BufferOf(bytes)}; }

class RecentWritesTest : public testing::Test {
 protected:
  // "-": not known.
  std::string Find(uint64_t offset, uint64_t end, const ContentState& state = kWritten) {
    const auto found = recent.Find(kRecent, state, offset, end);
    return found ? Text(*found) : "-";
  }

  RecentWrites recent{64 << 10, 32 << 10};
};

TEST_F(RecentWritesTest, GivesWhatWasStoredAndItsParts) {
  recent.Stored(kRecent, kWritten, {Piece(0, "hello "), Piece(6, "world")});

  EXPECT_EQ(Find(0, 11), "hello world");
  EXPECT_EQ(Find(4, 8), "o wo");
  EXPECT_EQ(Find(11, 11), "");
  // Behind what was written there may be more.
  EXPECT_EQ(Find(4, 12), "-");
}

TEST_F(RecentWritesTest, LaterWritesLieOverEarlierOnes) {
  recent.Stored(kRecent, kWritten, {Piece(0, "hello world")});
  recent.Stored(kRecent, kWritten, {Piece(6, "there"), Piece(11, "!")});

  EXPECT_EQ(Find(0, 12), "hello there!");
}

TEST_F(RecentWritesTest, AFileOfWhichMoreIsKnownElsewhereIsNotKept) {
  recent.Stored(kRecent, kWritten, {Piece(6, "world")});
  EXPECT_EQ(Find(6, 11), "-");
  recent.Stored(kRecent, kWritten, {Piece(0, "a"), Piece(6, "world")});
  EXPECT_EQ(Find(0, 1), "-");
}

TEST_F(RecentWritesTest, AnotherLeaseContentOrGenerationEndsIt) {
  for (const ContentState& other : {ContentState{4, 5, 1}, ContentState{3, 6, 1},
                                    ContentState{3, 5, 2}, ContentState{0, 5, 1}}) {
    recent.Stored(kRecent, kWritten, {Piece(0, "hello")});
    EXPECT_EQ(Find(0, 5, other), "-");
    recent.Stored(kRecent, other, {Piece(2, "x")});
    EXPECT_EQ(Find(0, 5), "-");
    recent.Drop(kRecent);
  }
}

TEST_F(RecentWritesTest, WhatIsDroppedIsGone) {
  recent.Stored(kRecent, kWritten, {Piece(0, "hello")});
  recent.Drop(kRecent);
  EXPECT_EQ(Find(0, 5), "-");
  EXPECT_EQ(recent.memory_bytes(), 0u);
}

TEST_F(RecentWritesTest, StaysWithinItsBoundsAndKeepsWhatWasUsedLast) {
  const std::string large(20000, 'x');
  recent.Stored(kRecent, kWritten, {Piece(0, large)});
  recent.Stored(InodeId{8}, kWritten, {Piece(0, large)});
  EXPECT_EQ(Find(0, 20000), large);
  for (uint64_t inode = 9; inode < 12; ++inode) {
    recent.Stored(InodeId{inode}, kWritten, {Piece(0, "small")});
    recent.Stored(InodeId{inode + 10}, kWritten, {Piece(0, large)});
    EXPECT_LE(recent.memory_bytes(), size_t{64 << 10});
    EXPECT_EQ(Find(0, 20000), large);
  }
  EXPECT_FALSE(recent.Find(InodeId{8}, kWritten, 0, 20000));

  recent.Stored(kRecent, kWritten, {Piece(20000, large)});
  EXPECT_EQ(Find(0, 20000), "-");
}

}  // namespace
}  // namespace ringfs::client
