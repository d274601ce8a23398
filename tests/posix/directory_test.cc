// Listing directories while they change.
#include <dirent.h>

#include <map>
#include <memory>
#include <set>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

class DirectoryTest : public PosixTest {
 protected:
  struct Closer {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  using Directory = std::unique_ptr<DIR, Closer>;

  Directory Open(const std::string& path) const {
    Directory directory(opendir(path.c_str()));
    EXPECT_TRUE(directory) << path;
    return directory;
  }
  // The names from where the listing stands, how often each.
  static std::map<std::string, int> Rest(DIR* directory) {
    std::map<std::string, int> names;
    while (const dirent* entry = readdir(directory)) ++names[entry->d_name];
    return names;
  }
  void FillWith(const char* prefix, int count) const {
    for (int i = 0; i < count; ++i) {
      const std::string name = prefix + std::to_string(i);
      ASSERT_EQ(ErrorOf(mknod(In(name).c_str(), S_IFREG | 0644, 0)), 0);
    }
  }
};

TEST_F(DirectoryTest, ListsDotsTypesAndNumbers) {
  Fill(In("f"), "");
  ASSERT_EQ(mkdir(In("d").c_str(), 0755), 0);
  ASSERT_EQ(symlink("f", In("l").c_str()), 0);
  ASSERT_EQ(mkfifo(In("p").c_str(), 0644), 0);
  const Directory directory = Open(Elsewhere(""));

  std::map<std::string, unsigned char> types;
  while (const dirent* entry = readdir(directory.get())) {
    types[entry->d_name] = entry->d_type;
    if (std::string(entry->d_name) != "..") {
      EXPECT_EQ(entry->d_ino, StatOf(In(entry->d_name)).st_ino) << entry->d_name;
    }
  }

  const std::map<std::string, unsigned char> expected{
      {".", DT_DIR}, {"..", DT_DIR}, {"f", DT_REG}, {"d", DT_DIR}, {"l", DT_LNK}, {"p", DT_FIFO}};
  EXPECT_EQ(types, expected);
}

TEST_F(DirectoryTest, WhatWasThereAllAlongIsListedExactlyOnce) {
  FillWith("stays", 300);
  FillWith("goes", 300);
  const Directory directory = Open(folder());
  std::map<std::string, int> seen;
  int steps = 0;

  while (const dirent* entry = readdir(directory.get())) {
    ++seen[entry->d_name];
    if (steps < 300) {
      ASSERT_EQ(unlink(Elsewhere("goes" + std::to_string(steps)).c_str()), 0);
      Fill(Elsewhere("comes" + std::to_string(steps)), "");
    }
    ++steps;
  }

  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(seen["stays" + std::to_string(i)], 1) << i;
    EXPECT_LE(seen["goes" + std::to_string(i)], 1) << i;
    EXPECT_LE(seen["comes" + std::to_string(i)], 1) << i;
  }
}

TEST_F(DirectoryTest, APlaceInAListingCanBeReturnedTo) {
  FillWith("f", 500);
  const Directory directory = Open(folder());
  for (int i = 0; i < 250; ++i) ASSERT_NE(readdir(directory.get()), nullptr);
  const long place = telldir(directory.get());
  const std::map<std::string, int> rest = Rest(directory.get());

  seekdir(directory.get(), place);
  EXPECT_EQ(Rest(directory.get()), rest);
  EXPECT_EQ(rest.size(), 252u);
  rewinddir(directory.get());
  EXPECT_EQ(Rest(directory.get()).size(), 502u);
}

TEST_F(DirectoryTest, ARewoundListingShowsWhatIsNew) {
  const Directory directory = Open(folder());
  EXPECT_EQ(Rest(directory.get()).size(), 2u);

  Fill(Elsewhere("new"), "");

  rewinddir(directory.get());
  EXPECT_EQ(Rest(directory.get()).count("new"), 1u);
}

TEST_F(DirectoryTest, IsEmptiedWhileItIsListed) {
  FillWith("f", 1000);
  const Directory directory = Open(folder());

  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    EXPECT_EQ(unlink(In(entry->d_name).c_str()), 0) << entry->d_name;
  }

  rewinddir(directory.get());
  EXPECT_EQ(Rest(directory.get()).size(), 2u);
}

}  // namespace
}  // namespace ringfs::posix
