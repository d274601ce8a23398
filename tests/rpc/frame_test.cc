#include "common/rpc/frame.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/rpc/support.h"

namespace ringfs::rpc {
namespace {

FrameHeader SomeHeader() {
  FrameHeader header;
  header.kind = FrameKind::kCall;
  header.method = 7;
  header.correlation = 0x0102030405060708;
  header.timeout_ms = 30'000;
  return header;
}

// The header of a call with "body" and "payload", as one sees it in docs/formats/wire.md.
std::string SomeBytes() {
  Result<OutFrame> frame = MakeFrame(SomeHeader(), "body", {BufferOf("payload")});
  EXPECT_TRUE(frame);
  return BytesOf(*frame);
}

Result<FrameHeader> Decode(const std::string& bytes) {
  return DecodeHeader(std::as_bytes(std::span(bytes)));
}

// The bytes of the code block that follows `heading` in a document.
std::string HexExample(const std::string& path, const std::string& heading) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::string line;
  while (std::getline(file, line) && line != heading) continue;
  while (std::getline(file, line) && line.rfind("```", 0) != 0) continue;
  std::string bytes;
  while (std::getline(file, line) && line.rfind("```", 0) != 0) {
    std::istringstream words(line.substr(0, line.find('|')));
    std::string word;
    while (words >> word) bytes += static_cast<char>(std::stoi(word, nullptr, 16));
  }
  return bytes;
}

TEST(Frame, IsAsTheDocumentSays) {
  EXPECT_EQ(SomeBytes(), HexExample(RINGFS_DOCS "/formats/wire.md", "## Example"));
}

TEST(Frame, ComesBackAsItWasMade) {
  const std::string bytes = SomeBytes();

  const Result<FrameHeader> header = Decode(bytes);

  ASSERT_TRUE(header) << header.error().ToString();
  FrameHeader expected = SomeHeader();
  expected.body_bytes = 4;
  expected.payload_bytes = 7;
  expected.crc = header->crc;
  EXPECT_EQ(*header, expected);
  const auto all = std::as_bytes(std::span(bytes));
  EXPECT_TRUE(VerifyFrame(all.first(kHeaderBytes), all.subspan(kHeaderBytes, 4)));
}

TEST(Frame, ThatIsCutShortIsRefused) {
  const std::string bytes = SomeBytes();
  for (size_t size = 0; size < kHeaderBytes; ++size) {
    EXPECT_EQ(Decode(bytes.substr(0, size)).code(), Errc::kProtocol) << size;
  }
}

TEST(Frame, WithABadHeaderIsRefused) {
  struct Case {
    const char* name;
    size_t at;
    std::string bytes;
    Errc error;
  };
  const Case cases[] = {
      {"magic", 0, "HTTP", Errc::kProtocol},
      {"older version", 4, std::string("\0\0", 2), Errc::kVersion},
      {"newer version", 4, std::string("\2\0", 2), Errc::kVersion},
      {"kind 0", 6, std::string("\0", 1), Errc::kProtocol},
      {"kind 6", 6, "\6", Errc::kProtocol},
      {"body of 16 MiB and 1", 12, std::string("\1\0\0\1", 4), Errc::kProtocol},
      {"body of 4 GiB", 12, "\xff\xff\xff\xff", Errc::kProtocol},
      {"payload of 64 MiB and 1", 16, std::string("\1\0\0\4", 4), Errc::kProtocol},
      {"payload of 4 GiB", 16, "\xff\xff\xff\xff", Errc::kProtocol},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::string bytes = SomeBytes();
    bytes.replace(c.at, c.bytes.size(), c.bytes);

    EXPECT_EQ(Decode(bytes).code(), c.error);
  }
}

TEST(Frame, TellsTheVersionThatItDoesNotKnow) {
  std::string bytes = SomeBytes();
  bytes[4] = 9;

  EXPECT_EQ(Decode(bytes).error().detail,
            "protocol version 9 was sent, only version 1 is spoken here");
}

// A frame of each kind that travels, and how long its body is.
std::vector<std::pair<std::string, size_t>> FramesOfAllKinds() {
  FrameHeader answer;
  answer.kind = FrameKind::kAnswer;
  answer.correlation = 5;
  FrameHeader push;
  push.kind = FrameKind::kPush;
  push.method = 61;
  std::vector<std::pair<std::string, size_t>> frames;
  frames.emplace_back(SomeBytes(), 4);
  frames.emplace_back(BytesOf(*MakeFrame(SomeHeader(), "", {})), 0);
  frames.emplace_back(BytesOf(*MakeFrame(answer, "answer", {BufferOf("payload")})), 6);
  frames.emplace_back(BytesOf(MakeErrorFrame(5, Error{Errc::kNotFound, "why"})), 3);
  frames.emplace_back(BytesOf(MakeErrorFrame(0, Error{Errc::kProtocol, "end"})), 3);
  frames.emplace_back(BytesOf(*MakeFrame(push, "push", {})), 4);
  frames.emplace_back(BytesOf(MakeSignalFrame(FrameKind::kPing)), 0);
  frames.emplace_back(BytesOf(MakeSignalFrame(FrameKind::kPong)), 0);
  return frames;
}

TEST(Frame, WithAnyBitOfHeaderOrBodyTurnedIsRefused) {
  for (const auto& [good, body] : FramesOfAllKinds()) {
    const auto sound = std::as_bytes(std::span(good));
    ASSERT_TRUE(Decode(good));
    ASSERT_TRUE(VerifyFrame(sound.first(kHeaderBytes), sound.subspan(kHeaderBytes, body)));
    for (size_t bit = 0; bit < (kHeaderBytes + body) * 8; ++bit) {
      std::string bytes = good;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      const auto all = std::as_bytes(std::span(bytes));

      const bool decoded = static_cast<bool>(Decode(bytes));
      const bool whole =
          static_cast<bool>(VerifyFrame(all.first(kHeaderBytes), all.subspan(kHeaderBytes, body)));

      EXPECT_FALSE(decoded && whole) << "kind " << int{good[6]} << ", bit " << bit;
    }
  }
}

TEST(Frame, OfRandomBytesIsDecodedOrRefused) {
  const uint32_t seed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::minstd_rand random(seed);
  for (int round = 0; round < 10'000; ++round) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (bytes.size() > 6 && round % 2 == 0) bytes.replace(0, 6, std::string("RNGF\1\0", 6));

    const Result<FrameHeader> header = Decode(bytes);

    if (header) {
      EXPECT_LE(header->body_bytes, kMaxBodyBytes);
      EXPECT_LE(header->payload_bytes, kMaxPayloadBytes);
    }
  }
}

TEST(Frame, OfAMessageThatIsTooBigIsNotMade) {
  EXPECT_EQ(MakeFrame({}, std::string(kMaxBodyBytes + 1, 'x'), {}).code(), Errc::kTooBig);
  const Buffer half = Buffer::Allocate(kMaxPayloadBytes / 2 + 1);
  EXPECT_EQ(MakeFrame({}, {}, {half, half}).code(), Errc::kTooBig);
  EXPECT_TRUE(MakeFrame({}, {}, {half.Slice(0, 1), half}));
}

}  // namespace
}  // namespace ringfs::rpc
