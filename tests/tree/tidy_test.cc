// Rules of the tree that no compiler checks.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Source {
  std::string path;  // from the root of the tree
  std::string text;
  std::vector<std::string> lines;
};

const std::vector<std::string>& CodeFolders() {
  static const std::vector<std::string> folders = {
      "proto", "common", "client", "master", "chunkserver", "fuse", "cli", "tests", "bench"};
  return folders;
}

std::vector<Source> AllSources() {
  std::vector<Source> sources;
  const fs::path root = RINGFS_SOURCE_DIR;
  for (const std::string& folder : CodeFolders()) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension();
      if (!entry.is_regular_file() || (extension != ".h" && extension != ".cc")) continue;
      Source source;
      source.path = fs::relative(entry.path(), root);
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) {
        source.text += line + "\n";
        source.lines.push_back(std::move(line));
      }
      sources.push_back(std::move(source));
    }
  }
  return sources;
}

std::string Folder(const std::string& path) { return path.substr(0, path.find('/')); }

// Each folder may include only from itself and from these.
const std::map<std::string, std::set<std::string>>& MayInclude() {
  static const std::map<std::string, std::set<std::string>> rules = {
      {"proto", {}},
      {"common", {"proto"}},
      {"client", {"common", "proto"}},
      {"master", {"common", "proto"}},
      {"chunkserver", {"common", "proto"}},
      {"fuse", {"client", "common", "proto"}},
      {"cli", {"client", "common", "proto"}}};
  return rules;
}

TEST(TidyTest, FoldersIncludeOnlyWhatTheyMay) {
  const std::regex include(R"(^\s*#include "([a-z]+)/)");
  for (const Source& source : AllSources()) {
    const auto rule = MayInclude().find(Folder(source.path));
    if (rule == MayInclude().end()) continue;
    for (const std::string& line : source.lines) {
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      const std::string from = match[1];
      EXPECT_TRUE(from == rule->first || rule->second.contains(from))
          << source.path << " includes from " << from;
    }
  }
}

TEST(TidyTest, FilesStaySmall) {
  constexpr size_t kLinesMax = 600;
  for (const Source& source : AllSources()) {
    EXPECT_LE(source.lines.size(), kLinesMax) << source.path;
  }
}

TEST(TidyTest, NothingIsLeftForLater) {
  const std::vector<std::string> banned = {
      "TO"
      "DO",
      "FIX"
      "ME",
      "asio::deta"
      "ched",
      "using namespace s"
      "td;",
      "DISABL"
      "ED_"};
  for (const Source& source : AllSources()) {
    for (const std::string& word : banned) {
      EXPECT_EQ(source.text.find(word), std::string::npos) << source.path << " has " << word;
    }
  }
}

// g++ 12 destroys these temporaries of an await expression twice.
TEST(TidyTest, AwaitsNothingThatIsNotNamed) {
  const std::regex temporaries(R"(co_await [^;]*(\(|, *)(\[[^\]&][^\]]*\] *[\({]|[A-Za-z:]*\{[^}]))");
  const std::regex choice(R"(\? *co_await)");
  for (const Source& source : AllSources()) {
    for (size_t i = 0; i < source.lines.size(); ++i) {
      EXPECT_FALSE(std::regex_search(source.lines[i], temporaries))
          << source.path << ":" << i + 1 << ": name it, then await it";
      EXPECT_FALSE(std::regex_search(source.lines[i], choice))
          << source.path << ":" << i + 1 << ": two awaits in one ?: expression";
    }
  }
}

TEST(TidyTest, EverySourceIsInTheBuild) {
  const fs::path root = RINGFS_SOURCE_DIR;
  std::string lists;
  for (const std::string& folder : CodeFolders()) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.path().filename() != "CMakeLists.txt") continue;
      std::ifstream in(entry.path());
      std::stringstream text;
      text << in.rdbuf();
      lists += text.str();
    }
  }
  for (const Source& source : AllSources()) {
    if (!source.path.ends_with(".cc")) continue;
    const std::string name = fs::path(source.path).filename();
    EXPECT_NE(lists.find(name), std::string::npos) << source.path << " is in no CMakeLists.txt";
  }
}

}  // namespace
