#include "chunkserver/replication/block_locks.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <string>

namespace ringfs::chunkserver {
namespace {

constexpr BlockKey kBlock{PoolId{1}, DataId{7}, 0};

// Locks and remembers the order in which that succeeded.
struct Holder {
  BlockLocks::Guard guard;
  bool has = false;
};

asio::awaitable<void> Take(BlockLocks& locks, bool exclusive, Holder& holder) {
  if (exclusive) {
    holder.guard = co_await locks.Exclusive(kBlock);
  } else {
    holder.guard = co_await locks.Shared(kBlock);
  }
  holder.has = true;
}

class BlockLocksTest : public ::testing::Test {
 protected:
  void Ask(bool exclusive, Holder& holder) {
    Spawn(io_.get_executor(), Take(locks_, exclusive, holder), "a holder");
    Settle();
  }
  void Settle() {
    io_.restart();
    io_.poll();
  }

  asio::io_context io_;
  BlockLocks locks_{io_.get_executor()};
};

TEST_F(BlockLocksTest, LetReadersInTogether) {
  Holder one;
  Holder two;
  Ask(false, one);
  Ask(false, two);

  EXPECT_TRUE(one.has);
  EXPECT_TRUE(two.has);
}

TEST_F(BlockLocksTest, KeepOthersOutWhileSomeoneWrites) {
  Holder writer;
  Holder reader;
  Ask(true, writer);
  Ask(false, reader);
  EXPECT_FALSE(reader.has);

  writer.guard.Release();
  Settle();

  EXPECT_TRUE(reader.has);
}

TEST_F(BlockLocksTest, ServeInTheOrderOfAsking) {
  Holder first;
  Holder writer;
  Holder late;
  Ask(false, first);
  Ask(true, writer);
  Ask(false, late);
  EXPECT_FALSE(writer.has);
  EXPECT_FALSE(late.has) << "a reader has overtaken a writer";

  first.guard.Release();
  Settle();
  EXPECT_TRUE(writer.has);
  EXPECT_FALSE(late.has);

  writer.guard.Release();
  Settle();
  EXPECT_TRUE(late.has);
}

TEST_F(BlockLocksTest, ForgetBlocksThatNobodyHolds) {
  Holder holder;
  Ask(true, holder);
  EXPECT_EQ(locks_.size(), 1u);

  holder.guard.Release();

  EXPECT_EQ(locks_.size(), 0u);
}

}  // namespace
}  // namespace ringfs::chunkserver
