#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "common/result.h"
#include "proto/explain.pb.h"

namespace ringfs::fuse {

// A call that failed, as the application saw it.
struct FailedCall {
  std::string operation;
  uint64_t inode = 0;
  std::string path;  // printable; empty: not known
  int32_t pid = 0;
  int64_t now_ns = 0;  // wall clock
};

// The stories of the last errors that applications got and that are not just the answer that the
// call has in a healthy cluster.
//
// Bounded: `stories_max` stories, each of at most kStoryBytesMax.
class ErrorBook {
 public:
  // Of all texts of a story together, so that some stories fit on every page.
  static constexpr size_t kStoryBytesMax = 20 * 1024;
  // A value of an extended attribute may have 64 KiB.
  static constexpr size_t kPageBytesMax = 60 * 1024;

  explicit ErrorBook(size_t stories_max = 1000) : stories_max_(stories_max) {}

  // Whether such an error is kept.
  static bool Keeps(Errc code);
  // An error that is like the one before it only raises its count.
  void Add(FailedCall call, const Error& error);
  // The stories with a number above `known`, as many as a page takes.
  wire::ErrorPage PageAfter(uint64_t known) const;

 private:
  size_t stories_max_;
  uint64_t last_number_ = 0;
  std::deque<wire::ErrorStory> stories_;
};

}  // namespace ringfs::fuse
