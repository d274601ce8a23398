#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

namespace ringfs::cli {

using Json = nlohmann::ordered_json;

// A message with the names of its fields as they are in proto/. All fields are there, also those
// that have their default; a message field only when it is set. Numbers are numbers, however large.
// Enumerations are words ("up", "serving"), identities hexadecimal digits, other bytes text with
// what is not printable as \xNN.
Json ToJson(const google::protobuf::Message& message);

// Indented, with a line end. Strings that are not UTF-8 get replacement characters.
std::string ToText(const Json& json);

}  // namespace ringfs::cli
