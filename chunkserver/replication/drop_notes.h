#pragma once

#include <cstdint>
#include <deque>

#include "common/ids.h"

namespace ringfs::chunkserver {

// Which blocks were dropped here lately: a member that has not dropped them yet must not give them
// back when its copies are compared with those here.
//
// Threads: one.
class DropNotes {
 public:
  void Add(PoolId pool, DataId data, uint32_t from, int64_t now_ms) {
    while (!notes_.empty() && (notes_.front().at_ms + kKeptMs < now_ms || notes_.size() >= kMost)) {
      notes_.pop_front();
    }
    notes_.push_back(Note{pool, data, from, now_ms});
  }
  bool Covers(const BlockKey& key, int64_t now_ms) const {
    for (const Note& note : notes_) {
      if (note.pool == key.pool && note.data == key.data && note.from <= key.index &&
          now_ms < note.at_ms + kKeptMs) {
        return true;
      }
    }
    return false;
  }

 private:
  static constexpr int64_t kKeptMs = 60'000;
  static constexpr size_t kMost = 4096;
  struct Note {
    PoolId pool;
    DataId data;
    uint32_t from;
    int64_t at_ms;
  };
  std::deque<Note> notes_;
};

}  // namespace ringfs::chunkserver
