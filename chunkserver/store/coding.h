#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace ringfs::chunkserver {

// Appends fixed-size numbers to a string. Records are little-endian; the parts of a LevelDB key are
// big-endian, so that they sort as numbers.
template <typename Number>
void PutLittle(std::string* out, Number value) {
  for (size_t i = 0; i < sizeof(Number); ++i) {
    out->push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
  }
}
template <typename Number>
void PutBig(std::string* out, Number value) {
  for (size_t i = sizeof(Number); i-- > 0;) {
    out->push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
  }
}

// Takes numbers from the front of bytes that nobody vouches for. Once something was missing, ok()
// is false and every number is 0.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : left_(bytes) {}

  template <typename Number>
  Number Little() {
    if (!Have(sizeof(Number))) {
      return Number{};
    }
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(Number); ++i) {
      value |= uint64_t{static_cast<unsigned char>(left_[i])} << (8 * i);
    }
    left_.remove_prefix(sizeof(Number));
    return static_cast<Number>(value);
  }
  template <typename Number>
  Number Big() {
    if (!Have(sizeof(Number))) {
      return Number{};
    }
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(Number); ++i) {
      value = value << 8 | static_cast<unsigned char>(left_[i]);
    }
    left_.remove_prefix(sizeof(Number));
    return static_cast<Number>(value);
  }
  std::string_view Bytes(size_t size) {
    if (!Have(size)) {
      return {};
    }
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }

  bool ok() const { return ok_; }
  size_t left() const { return left_.size(); }
  bool AtEnd() const { return ok_ && left_.empty(); }

 private:
  bool Have(size_t size) {
    ok_ = ok_ && left_.size() >= size;
    return ok_;
  }

  std::string_view left_;
  bool ok_ = true;
};

inline std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace ringfs::chunkserver
