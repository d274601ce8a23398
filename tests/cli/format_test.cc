#include "cli/format.h"

#include <gtest/gtest.h>

namespace ringfs::cli {
namespace {

TEST(FormatTest, ShowsBytesInTheirUnit) {
  EXPECT_EQ(Bytes(0), "0 B");
  EXPECT_EQ(Bytes(1023), "1023 B");
  EXPECT_EQ(Bytes(1024), "1.0 KiB");
  EXPECT_EQ(Bytes(1536), "1.5 KiB");
  EXPECT_EQ(Bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(Bytes(UINT64_MAX), "16.0 EiB");
}

TEST(FormatTest, ShowsDurations) {
  EXPECT_EQ(Duration(-5), "0 s");
  EXPECT_EQ(Duration(59'999), "59 s");
  EXPECT_EQ(Duration(125'000), "2 min 5 s");
  EXPECT_EQ(Duration(3'600'000), "1 h 0 min");
  EXPECT_EQ(Duration(25 * 3'600'000), "1 d 1 h");
}

TEST(FormatTest, ShowsPartsAndCounts) {
  EXPECT_EQ(Percent(1, 0), "-");
  EXPECT_EQ(Percent(1, 2), "50 %");
  EXPECT_EQ(Count(1, "server"), "1 server");
  EXPECT_EQ(Count(2, "server"), "2 servers");
  EXPECT_EQ(Hex(std::string("\x00\xff\x1a", 3)), "00ff1a");
}

TEST(FormatTest, LeavesATerminalAsItIs) {
  EXPECT_EQ(Shown("plain \\x41"), "plain \\x41");
  EXPECT_EQ(Shown("\x1b[2J"), "\\x1b[2J");
}

TEST(TableTest, AlignsItsColumns) {
  Table table({{"NAME"}, {"SIZE", Table::Align::kRight}, {"STATE"}});
  table.Add({"a", "1", "up"});
  table.Add({"a longer one", "12345", ""});

  EXPECT_EQ(table.ToString(),
            "NAME           SIZE  STATE\n"
            "a                 1  up\n"
            "a longer one  12345\n");
}

TEST(TableTest, AlignsLabels) {
  EXPECT_EQ(Labelled({{"a", "1"}, {"longer", "2"}}), "a       1\nlonger  2\n");
}

}  // namespace
}  // namespace ringfs::cli
