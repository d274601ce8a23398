#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "client/limiter.h"
#include "client/open_files.h"
#include "client/write_back/dirty_ranges.h"
#include "client/write_back/held_attributes.h"
#include "client/write_back/write_back.h"

namespace ringfs::client {

// Changes of a file that one flush stores.
struct Held {
  DirtyRanges ranges;
  uint64_t end = 0;
  HeldAttributes attributes;
  bool any = false;
};

struct WriteBack::File {
  File(const asio::any_io_executor& executor, std::shared_ptr<Inode> of)
      : inode(std::move(of)), turn(executor, 1) {}

  std::shared_ptr<Inode> inode;
  Held fresh;
  Held flushing;           // older than `fresh`; somebody has the turn
  uint64_t told_size = 0;  // that the master has, at least
  size_t counted = 0;      // of memory_bytes_
  int64_t due_ns = 0;      // of `fresh`, by the monotonic clock
  bool started = false;    // a flush in the background is to come or under way
  bool failing = false;    // the last flush failed in a way that may pass
  bool dropped = false;    // with the session
  Limiter turn;            // of flushes, and of changes of attributes
};

}  // namespace ringfs::client
