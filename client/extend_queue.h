#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "common/async.h"
#include "common/result.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

// The Extends of one inode: one is under way at a time, and what is asked meanwhile goes together
// in the next one. Whoever asks gets the answer of an Extend that began after it asked.
//
// Threads: only from `executor`.
class ExtendQueue {
 public:
  using Answer = Result<wire::Attributes>;
  using Send = std::function<asio::awaitable<Answer>(wire::Extend)>;

  explicit ExtendQueue(asio::any_io_executor executor) : changed_(std::move(executor)) {}

  // `send` is called here or not at all. Extends that name another content are never put together.
  asio::awaitable<Answer> Run(wire::Extend wanted, Send send);

 private:
  struct Round {
    wire::Extend extend;
    bool done = false;
    Answer answer{Fail(Errc::kCancelled)};
  };

  std::shared_ptr<Round> Join(const wire::Extend& wanted);

  Event changed_;
  bool running_ = false;
  std::vector<std::shared_ptr<Round>> waiting_;
};

}  // namespace ringfs::client
