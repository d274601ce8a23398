#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/check.h"
#include "common/errc.h"

namespace ringfs {

// Which block a call was about, who was asked, and what each said last.
struct Attempts {
  uint64_t pool = 0, data = 0, index = 0;
  std::vector<std::pair<std::string, std::string>> said;  // server, its error
};

// An error and what is known of it: which call, which block, which server.
struct Error {
  Errc code = Errc::kIo;
  std::string detail;
  std::shared_ptr<const Attempts> attempts = {};  // null: about no block; else `detail` tells them too

  // "NotFound: no block 12/0 on server 3"
  std::string ToString() const {
    std::string text(Name(code));
    return detail.empty() ? text : text + ": " + detail;
  }
};

// What Fail() makes; becomes any Result.
struct Failure {
  Error error;
};

inline Failure Fail(Errc code, std::string detail = {}) {
  RINGFS_CHECK(code != Errc::kOk);
  return Failure{Error{code, std::move(detail)}};
}
inline Failure Fail(Error error) { return Failure{std::move(error)}; }

// A value, or the error that stood in its way. Reading the one that is not there is a bug and ends
// the program.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Failure failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & {
    RINGFS_CHECK(state_.index() == 0);
    return std::get<0>(state_);
  }
  const T& operator*() const& {
    RINGFS_CHECK(state_.index() == 0);
    return std::get<0>(state_);
  }
  T&& operator*() && {
    RINGFS_CHECK(state_.index() == 0);
    return std::move(std::get<0>(state_));
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  const Error& error() const {
    RINGFS_CHECK(state_.index() == 1);
    return std::get<1>(state_);
  }
  // kOk when there is a value.
  Errc code() const { return state_.index() == 0 ? Errc::kOk : std::get<1>(state_).code; }

 private:
  std::variant<T, Error> state_;
};

// Success, or an error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Failure failure) : error_(std::move(failure.error)) {}

  explicit operator bool() const { return !error_; }
  const Error& error() const {
    RINGFS_CHECK(error_.has_value());
    return *error_;
  }
  Errc code() const { return error_ ? error_->code : Errc::kOk; }

 private:
  std::optional<Error> error_;
};

}  // namespace ringfs
