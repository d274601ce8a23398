#pragma once

#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/buffer.h"
#include "common/result.h"

namespace ringfs::rpc {

// What a frame may carry at most. Checked before memory is taken (docs/formats.md, "Wire").
inline constexpr uint32_t kMaxBodyBytes = 16u << 20;
inline constexpr uint32_t kMaxPayloadBytes = 64u << 20;

// A call as it arrives at a server.
struct Call {
  uint32_t method = 0;     // a value of the service's Method enum in proto/
  std::string body;        // a serialized message
  Buffer payload;          // raw block bytes, received into a pooled buffer; may be empty
  int64_t timeout_ms = 0;  // what the caller still waits; 0: not said
};

// The good answer to a call; a bad one is an Error, whose code and detail travel.
struct Reply {
  std::string body;
  std::vector<Buffer> payload;  // sent one after the other, never copied together
};

template <typename Message>
Reply ReplyWith(const Message& message, std::vector<Buffer> payload = {}) {
  Reply reply;
  message.SerializeToString(&reply.body);
  reply.payload = std::move(payload);
  return reply;
}

// kProtocol when `body` is not a `Message`.
template <typename Message>
Result<Message> Parse(const std::string& body) {
  Message message;
  if (!message.ParseFromString(body)) {
    return Fail(Errc::kProtocol,
                "a " + std::string(message.GetTypeName()) + " that does not parse");
  }
  return message;
}

}  // namespace ringfs::rpc
