#pragma once

#include <algorithm>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <optional>

#include "chunkserver/replication/context.h"
#include "chunkserver/replication/waiting.h"
#include "common/log.h"

namespace ringfs::chunkserver {

// The bucket that work is done for, the version it is done in, and until when.
struct Place {
  BucketKey bucket;
  uint64_t version = 0;
  int64_t deadline_ms = 0;
};

// Whether the error says that the other could not be asked, so that asking again may help.
bool NoAnswer(Errc code);

// Repeats `ask(timeout_ms)`, which returns an awaitable result, until there is an answer, good or
// bad. kTimedOut: none before the deadline. kStaleEpoch: the bucket has another version now.
template <typename Ask>
auto AskUntilAnswered(Context& context, Place place, Ask ask) -> decltype(ask(int64_t{0})) {
  constexpr int64_t kOneCallMs = 1000;
  int64_t pause_ms = 10;
  for (;;) {
    if (!context.Current(place.bucket, place.version)) {
      co_return StaleEpoch(context, place.bucket);
    }
    const int64_t left_ms = place.deadline_ms - context.Now();
    if (left_ms <= 0) co_return Fail(Errc::kTimedOut, "a member of the bucket does not answer");
    auto answer = co_await ask(std::min(left_ms, kOneCallMs));
    if (answer || !NoAnswer(answer.code())) {
      if (answer.code() == Errc::kStaleEpoch) {
        const Result<void> refreshed = co_await context.seams.master.RefreshMap();
        // Without a master the map stays; the caller sees kStaleEpoch either way.
        if (!refreshed) spdlog::debug("no newer map: {}", refreshed.error().ToString());
      }
      co_return answer;
    }
    co_await Pause(context.seams.timers, std::min(pause_ms, left_ms));
    pause_ms = std::min<int64_t>(pause_ms * 2, 200);
  }
}

// What `server` has of one block.
asio::awaitable<Result<std::optional<BlockInfo>>> AskForBlock(Context& context, Place place,
                                                              ServerId server, BlockKey key);
// All blocks of the bucket that `server` has, in order.
asio::awaitable<Result<std::vector<BlockInfo>>> AskForList(Context& context, Place place,
                                                           ServerId server, bool compulsory);
// The same of this server.
asio::awaitable<Result<std::vector<BlockInfo>>> OwnList(Context& context, BucketKey bucket);
asio::awaitable<Result<std::optional<BlockInfo>>> OwnBlock(Context& context, BlockKey key);

}  // namespace ringfs::chunkserver
