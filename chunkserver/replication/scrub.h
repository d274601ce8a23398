#pragma once

#include <asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>

#include "chunkserver/replication/context.h"
#include "chunkserver/replication/head.h"

namespace ringfs::chunkserver {

// One reading of all blocks.
struct ScrubPass {
  uint64_t order = 0;  // 0: nobody's
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint64_t blocks_held = 0;  // when it began
  uint64_t bad = 0;
  uint64_t repaired = 0;
  int64_t began_ms = 0;
  int64_t took_ms = 0;
};

// Reads all blocks of this server again and again, verifies them, and replaces those that are not
// whole by the copy of another member.
//
// Threads: one.
class Scrub {
 public:
  struct Report {
    bool running = false;
    ScrubPass now;
    std::deque<ScrubPass> ended;  // the last few
    uint64_t bad = 0;             // since the start of the program; by reads too
    uint64_t repaired = 0;
  };

  Scrub(Context& context, Head& head) : context_(context), head_(head), wake_(context.seams.executor) {}

  // Until the end of the program: a pass an hour, at `bytes_per_s` (0: none), and those that are
  // ordered, as fast as other work lets them.
  asio::awaitable<void> Run(uint64_t bytes_per_s);
  // Begins a pass now, in place of one that nobody has ordered. Nothing when this order is known,
  // or another is being carried out: whoever wants it orders again.
  void Order(uint64_t order);
  // Something has changed that waits end for.
  void Wake() { wake_.NotifyAll(); }

  Report report() const;
  // Blocks that the last verification found not whole, and that could not be repaired.
  const std::set<BlockKey>& unrepaired() const { return unrepaired_; }

 private:
  asio::awaitable<void> Pass(uint64_t bytes_per_s);
  asio::awaitable<void> ReadBucket(BucketKey bucket, uint64_t bytes_per_s);
  asio::awaitable<void> ReadBlock(BucketKey bucket, BlockKey key);
  asio::awaitable<Result<void>> Repair(BucketKey bucket, BlockKey key);
  asio::awaitable<Result<void>> TakeFrom(BucketKey bucket, ServerId server, BlockKey key);
  asio::awaitable<void> KeepPace(uint64_t bytes_per_s);
  // The pass that runs is to be ended before its end.
  bool Cut() const { return context_.stopped || ordered_ != pass_.order; }

  Context& context_;
  Head& head_;
  Event wake_;
  bool running_ = false;
  uint64_t ordered_ = 0;  // not ended yet; 0: none
  ScrubPass pass_;
  std::deque<ScrubPass> ended_;
  std::set<BlockKey> unrepaired_;
};

}  // namespace ringfs::chunkserver
