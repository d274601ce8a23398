#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// How figures and tables look to people.
namespace ringfs::cli {

// "0 B", "512 B", "1.5 GiB"
std::string Bytes(uint64_t bytes);
// "0 s", "59 s", "2 min 5 s", "3 h 4 min", "5 d 6 h"
std::string Duration(int64_t ms);
// "50 %", "-" of nothing
std::string Percent(uint64_t part, uint64_t whole);
// "1 server", "2 servers"
std::string Count(uint64_t number, std::string_view noun);
// Lower-case hexadecimal digits.
std::string Hex(std::string_view bytes);
// `text` as it is when a terminal can show it, else as Printable() has it. For what the master has
// made printable already.
std::string Shown(const std::string& text);

// Rows under a heading, in aligned columns.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as columns.
  void Add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // One line for the heading and each row.
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "label      value" lines, the values aligned.
std::string Labelled(const std::vector<std::pair<std::string, std::string>>& lines);

}  // namespace ringfs::cli
