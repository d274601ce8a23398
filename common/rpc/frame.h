#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/rpc/message.h"

namespace ringfs::rpc {

// Format: docs/formats/wire.md.
inline constexpr uint32_t kFrameMagic = 0x46474e52;  // the bytes "RNGF"
inline constexpr uint16_t kProtocolVersion = 1;
inline constexpr size_t kHeaderBytes = 40;
// The text of an error that travels; what is longer is cut.
inline constexpr size_t kMaxErrorBytes = 4096;

enum class FrameKind : uint8_t { kCall = 1, kAnswer = 2, kPush = 3, kPing = 4, kPong = 5 };

struct FrameHeader {
  FrameKind kind = FrameKind::kPing;
  uint32_t method = 0;
  uint32_t body_bytes = 0;
  uint32_t payload_bytes = 0;
  uint32_t error = 0;        // of an answer: an Errc
  uint64_t correlation = 0;  // an answer has that of its call; 0: speaks of the whole connection
  uint32_t timeout_ms = 0;   // of a call: what the caller still waits; 0: not said
  uint32_t crc = 0;          // over the header before it and the body

  bool operator==(const FrameHeader&) const = default;
};

// A frame as it arrived.
struct Frame {
  FrameHeader header;
  std::string body;
  Buffer payload;
};

// A frame ready to be sent.
struct OutFrame {
  std::array<std::byte, kHeaderBytes> header{};
  std::string body;
  std::vector<Buffer> payload;
  size_t bytes = 0;  // of all three
};

// Sets the checksum and the lengths. kTooBig: `body` or `payload` is over its bound.
Result<OutFrame> MakeFrame(FrameHeader header, std::string body, std::vector<Buffer> payload);

// An answer that says `error`, its detail cut to kMaxErrorBytes.
OutFrame MakeErrorFrame(uint64_t correlation, const Error& error);

// A ping or a pong.
OutFrame MakeSignalFrame(FrameKind kind);

// Reads a header, of which the checksum is not known to hold yet. kProtocol: fewer than
// kHeaderBytes, no magic, a kind that is not known, or lengths over their bounds. kVersion: another
// version, named in the detail.
Result<FrameHeader> DecodeHeader(std::span<const std::byte> bytes);

// kCorrupted when the checksum in `header` (kHeaderBytes long) does not match it and `body`.
Result<void> VerifyFrame(std::span<const std::byte> header, std::span<const std::byte> body);

}  // namespace ringfs::rpc
