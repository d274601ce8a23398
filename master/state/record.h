#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace ringfs::master {

// A record out of the database. kCorrupted: its bytes are none.
template <typename Record>
Result<Record> ParseRecord(std::string_view bytes, std::string_view what) {
  Record record;
  if (bytes.size() > size_t{INT32_MAX} ||
      !record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Fail(Errc::kCorrupted, std::string("the database has a damaged ").append(what));
  }
  return record;
}

}  // namespace ringfs::master
