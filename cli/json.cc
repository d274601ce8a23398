#include "cli/json.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string_view>

#include "cli/format.h"
#include "common/log.h"

namespace ringfs::cli {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// "SERVER_UP" -> "up"
std::string Word(const EnumValueDescriptor* value) {
  std::string word = value->name();
  word.erase(0, word.find('_') + 1);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word;
}

Json FromBytes(const FieldDescriptor* field, const std::string& bytes) {
  if (field->type() == FieldDescriptor::TYPE_STRING) return bytes;
  const std::string& name = field->name();
  return name.ends_with("id") || name == "client" ? Hex(bytes) : Printable(bytes);
}

Json Single(const Message& message, const FieldDescriptor* field) {
  const Reflection& in = *message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return in.GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return in.GetInt64(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return in.GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return in.GetUInt64(message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return in.GetDouble(message, field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return in.GetFloat(message, field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return in.GetBool(message, field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return Word(in.GetEnum(message, field));
    case FieldDescriptor::CPPTYPE_STRING:
      return FromBytes(field, in.GetString(message, field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(in.GetMessage(message, field));
  }
  return nullptr;
}

Json Element(const Message& message, const FieldDescriptor* field, int i) {
  const Reflection& in = *message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return in.GetRepeatedInt32(message, field, i);
    case FieldDescriptor::CPPTYPE_INT64:
      return in.GetRepeatedInt64(message, field, i);
    case FieldDescriptor::CPPTYPE_UINT32:
      return in.GetRepeatedUInt32(message, field, i);
    case FieldDescriptor::CPPTYPE_UINT64:
      return in.GetRepeatedUInt64(message, field, i);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return in.GetRepeatedDouble(message, field, i);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return in.GetRepeatedFloat(message, field, i);
    case FieldDescriptor::CPPTYPE_BOOL:
      return in.GetRepeatedBool(message, field, i);
    case FieldDescriptor::CPPTYPE_ENUM:
      return Word(in.GetRepeatedEnum(message, field, i));
    case FieldDescriptor::CPPTYPE_STRING:
      return FromBytes(field, in.GetRepeatedString(message, field, i));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(in.GetRepeatedMessage(message, field, i));
  }
  return nullptr;
}

}  // namespace

Json ToJson(const Message& message) {
  const Reflection& in = *message.GetReflection();
  Json json = Json::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    if (field->is_repeated()) {
      Json& list = json[field->name()] = Json::array();
      for (int j = 0; j < in.FieldSize(message, field); ++j) {
        list.push_back(Element(message, field, j));
      }
    } else if (!field->has_presence() || in.HasField(message, field)) {
      json[field->name()] = Single(message, field);
    }
  }
  return json;
}

std::string ToText(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ringfs::cli
