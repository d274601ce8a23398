#pragma once

#include <google/protobuf/message_lite.h>

#include <asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/result.h"
#include "common/rpc/channel.h"

namespace ringfs::cli {

// How long a command waits for a server that does not answer. Longer than a chunkserver's lease, so
// that by then the master knows when one is gone.
inline constexpr int64_t kAnswerMs = 4500;

// The master (or a chunkserver), as a command asks it: one call after the other.
//
// Owns:    an io_context, which runs inside of the calls.
class Master {
 public:
  // `addresses`: "HOST:PORT", at least one.
  // `who`: what the sentences of errors call it.
  explicit Master(std::vector<std::string> addresses, int64_t answer_ms = kAnswerMs,
                  std::string who = "the master");
  ~Master();
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;

  // The detail of an error is a sentence for people. kUnavailable, kTimedOut: nobody answered
  // within `answer_ms`.
  template <typename ReplyMessage>
  Result<ReplyMessage> Ask(uint32_t method, const google::protobuf::MessageLite& request) {
    const Result<std::string> body = Call(method, request);
    if (!body) return Fail(body.error());
    return rpc::Parse<ReplyMessage>(*body);
  }

  // Returns `ms` later; for questions that are asked again.
  void Pause(int64_t ms);

  // "10.0.0.7:4711" or several, with commas
  const std::string& name() const { return name_; }

 private:
  Result<std::string> Call(uint32_t method, const google::protobuf::MessageLite& request);

  const std::string who_;
  const std::string name_;
  const int64_t answer_ms_;
  SystemClock clock_;
  int64_t listened_ns_ = 0;  // when the last call ended
  asio::io_context context_;
  std::shared_ptr<rpc::Channel> channel_;
};

// A call of a series.
struct Step {
  uint32_t method = 0;
  std::string body;
  int64_t timeout_ms = kAnswerMs;
};

// Makes the same calls to each of the addresses, all at once; one address gets its next call when
// the one before was answered well. The results are by address: success, or the first error.
std::vector<Result<void>> CallEach(const std::vector<std::string>& addresses,
                                   const std::vector<Step>& steps);

}  // namespace ringfs::cli
