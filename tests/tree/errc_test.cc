#include "common/errc.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "proto/error.pb.h"

namespace ringfs {
namespace {

// "NotFound" -> "ERROR_NOT_FOUND"
std::string WireName(std::string_view name) {
  std::string wire = "ERROR";
  for (const char c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0) wire += '_';
    wire += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return wire;
}

TEST(ErrcTest, HasTheNumbersAndNamesOfTheWire) {
  const google::protobuf::EnumDescriptor* wire = wire::Error_descriptor();
  for (int i = 0; i < wire->value_count(); ++i) {
    const google::protobuf::EnumValueDescriptor* value = wire->value(i);
    SCOPED_TRACE(value->name());

    const auto code = static_cast<Errc>(value->number());

    EXPECT_EQ(WireName(Name(code)), value->name());
    EXPECT_EQ(ErrcFromWire(value->number()), code);
  }
}

TEST(ErrcTest, GivesEveryErrorAnErrno) {
  const google::protobuf::EnumDescriptor* wire = wire::Error_descriptor();
  for (int i = 0; i < wire->value_count(); ++i) {
    const auto code = static_cast<Errc>(wire->value(i)->number());

    EXPECT_EQ(ToErrno(code) == 0, code == Errc::kOk) << Name(code);
  }
}

TEST(ErrcTest, TakesNumbersItDoesNotKnowForABrokenProtocol) {
  EXPECT_EQ(ErrcFromWire(12345), Errc::kProtocol);
  EXPECT_EQ(ErrcFromWire(-1), Errc::kProtocol);
}

TEST(ErrcTest, ComesFromErrno) {
  EXPECT_EQ(ErrcFromErrno(ENOENT), Errc::kNotFound);
  EXPECT_EQ(ErrcFromErrno(ENOSPC), Errc::kNoSpace);
  EXPECT_EQ(ErrcFromErrno(EXFULL), Errc::kIo);
}

}  // namespace
}  // namespace ringfs
