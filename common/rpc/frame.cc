#include "common/rpc/frame.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "common/check.h"
#include "common/crc32c.h"

namespace ringfs::rpc {
namespace {

// Where the fields are: docs/formats/wire.md.
constexpr size_t kMagicAt = 0;
constexpr size_t kVersionAt = 4;
constexpr size_t kKindAt = 6;
constexpr size_t kMethodAt = 8;
constexpr size_t kBodyBytesAt = 12;
constexpr size_t kPayloadBytesAt = 16;
constexpr size_t kErrorAt = 20;
constexpr size_t kCorrelationAt = 24;
constexpr size_t kTimeoutAt = 32;
constexpr size_t kCrcAt = 36;
static_assert(kCrcAt + sizeof(uint32_t) == kHeaderBytes);
static_assert(std::endian::native == std::endian::little, "fields are copied as they are");

template <typename Number>
void Put(std::span<std::byte> out, size_t at, Number number) {
  static_assert(std::is_unsigned_v<Number>);
  std::memcpy(out.data() + at, &number, sizeof(number));
}

template <typename Number>
Number Get(std::span<const std::byte> in, size_t at) {
  Number number{};
  std::memcpy(&number, in.data() + at, sizeof(number));
  return number;
}

uint32_t FrameCrc(std::span<const std::byte> header, std::span<const std::byte> body) {
  return Crc32c(body, Crc32c(header.first(kCrcAt)));
}

bool Known(uint8_t kind) {
  return kind >= static_cast<uint8_t>(FrameKind::kCall) &&
         kind <= static_cast<uint8_t>(FrameKind::kPong);
}

}  // namespace

Result<OutFrame> MakeFrame(FrameHeader header, std::string body, std::vector<Buffer> payload) {
  size_t payload_bytes = 0;
  for (const Buffer& part : payload) payload_bytes += part.size();
  if (body.size() > kMaxBodyBytes || payload_bytes > kMaxPayloadBytes) {
    return Fail(Errc::kTooBig, "a message of " + std::to_string(body.size()) + " bytes with " +
                                   std::to_string(payload_bytes) + " of payload");
  }
  OutFrame frame;
  const std::span<std::byte> out(frame.header);
  Put(out, kMagicAt, kFrameMagic);
  Put(out, kVersionAt, kProtocolVersion);
  Put(out, kKindAt, static_cast<uint8_t>(header.kind));
  Put(out, kMethodAt, header.method);
  Put(out, kBodyBytesAt, static_cast<uint32_t>(body.size()));
  Put(out, kPayloadBytesAt, static_cast<uint32_t>(payload_bytes));
  Put(out, kErrorAt, header.error);
  Put(out, kCorrelationAt, header.correlation);
  Put(out, kTimeoutAt, header.timeout_ms);
  Put(out, kCrcAt, FrameCrc(out, std::as_bytes(std::span(body))));
  frame.bytes = kHeaderBytes + body.size() + payload_bytes;
  frame.body = std::move(body);
  frame.payload = std::move(payload);
  return frame;
}

OutFrame MakeErrorFrame(uint64_t correlation, const Error& error) {
  FrameHeader header;
  header.kind = FrameKind::kAnswer;
  header.correlation = correlation;
  header.error = static_cast<uint32_t>(error.code);
  Result<OutFrame> frame = MakeFrame(header, error.detail.substr(0, kMaxErrorBytes), {});
  return *std::move(frame);
}

OutFrame MakeSignalFrame(FrameKind kind) {
  FrameHeader header;
  header.kind = kind;
  Result<OutFrame> frame = MakeFrame(header, {}, {});
  return *std::move(frame);
}

Result<FrameHeader> DecodeHeader(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes) return Fail(Errc::kProtocol, "a frame header that is cut short");
  if (Get<uint32_t>(bytes, kMagicAt) != kFrameMagic) {
    return Fail(Errc::kProtocol, "bytes that are no ringfs frame");
  }
  const auto version = Get<uint16_t>(bytes, kVersionAt);
  if (version != kProtocolVersion) {
    return Fail(Errc::kVersion, "protocol version " + std::to_string(version) +
                                    " was sent, only version " + std::to_string(kProtocolVersion) +
                                    " is spoken here");
  }
  const auto kind = Get<uint8_t>(bytes, kKindAt);
  if (!Known(kind)) return Fail(Errc::kProtocol, "a frame of kind " + std::to_string(kind));
  FrameHeader header;
  header.kind = static_cast<FrameKind>(kind);
  header.method = Get<uint32_t>(bytes, kMethodAt);
  header.body_bytes = Get<uint32_t>(bytes, kBodyBytesAt);
  header.payload_bytes = Get<uint32_t>(bytes, kPayloadBytesAt);
  header.error = Get<uint32_t>(bytes, kErrorAt);
  header.correlation = Get<uint64_t>(bytes, kCorrelationAt);
  header.timeout_ms = Get<uint32_t>(bytes, kTimeoutAt);
  header.crc = Get<uint32_t>(bytes, kCrcAt);
  if (header.body_bytes > kMaxBodyBytes || header.payload_bytes > kMaxPayloadBytes) {
    return Fail(Errc::kProtocol, "a frame that announces " + std::to_string(header.body_bytes) +
                                     " bytes of body and " + std::to_string(header.payload_bytes) +
                                     " of payload");
  }
  return header;
}

Result<void> VerifyFrame(std::span<const std::byte> header, std::span<const std::byte> body) {
  RINGFS_CHECK(header.size() == kHeaderBytes);
  if (Get<uint32_t>(header, kCrcAt) != FrameCrc(header, body)) {
    return Fail(Errc::kCorrupted, "a frame whose checksum does not match");
  }
  return {};
}

}  // namespace ringfs::rpc
