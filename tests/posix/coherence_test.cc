// What one mount does is seen by the next call on another, whatever that one has cached.
// RINGFS_ROUNDS says how often each kind of change is tried.
#include <dirent.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

using Clock = std::chrono::steady_clock;

int Rounds() {
  const char* wanted = std::getenv("RINGFS_ROUNDS");
  return wanted != nullptr ? std::atoi(wanted) : 50;
}

std::set<std::string> NamesIn(const std::string& folder) {
  std::set<std::string> names;
  DIR* listing = opendir(folder.c_str());
  while (const dirent* entry = readdir(listing)) names.insert(entry->d_name);
  closedir(listing);
  names.erase(".");
  names.erase("..");
  return names;
}

bool IsThere(const std::string& path) {
  struct stat stat {};
  return lstat(path.c_str(), &stat) == 0;
}

// Work by two mounts on one directory; sides take turns at being the one that changes.
class CoherenceTest : public PosixTest {
 protected:
  std::string At(int side, const std::string& name) const {
    return side == 0 ? In(name) : Elsewhere(name);
  }

  // Fills the caches of a mount with all there is to know.
  void Prime(int side) {
    for (const std::string& name : NamesIn(At(side, ""))) {
      const std::string path = At(side, name);
      struct stat stat {};
      if (lstat(path.c_str(), &stat) == 0 && S_ISREG(stat.st_mode)) Content(path);
    }
    for (const char* missing : {"new", "moved", "linked", "made"}) {
      EXPECT_FALSE(IsThere(At(side, missing)));
    }
  }

  // `change` on one side, then `see` on the other, as often as wanted, each side in turn.
  void EachSees(const std::function<void(int side)>& change,
                const std::function<void(int side)>& see) {
    for (int round = 0; round < Rounds() && !HasFailure(); ++round) {
      SCOPED_TRACE(round);
      const int changer = round % 2;
      mkdir(In("d").c_str(), 0755);
      Fill(In("f"), "old content");
      Prime(1 - changer);
      Prime(changer);
      change(changer);
      see(1 - changer);
      for (const std::string& name : NamesIn(In(""))) {
        if (unlink(In(name).c_str()) != 0) rmdir(In(name).c_str());
      }
    }
  }
};

TEST_F(CoherenceTest, Writes) {
  EachSees([&](int side) { Fill(At(side, "f"), "new"); },
           [&](int side) {
             EXPECT_EQ(StatOf(At(side, "f")).st_size, 3);
             EXPECT_EQ(Content(At(side, "f")), "new");
           });
}

TEST_F(CoherenceTest, WritesWithinAnOpenFile) {
  EachSees(
      [&](int side) {
        File file(open(At(side, "f").c_str(), O_RDWR));
        ASSERT_EQ(pwrite(file.get(), "NEW", 3, 0), 3);
        File other(open(At(1 - side, "f").c_str(), O_RDONLY));
        char bytes[3];
        ASSERT_EQ(pread(other.get(), bytes, 3, 0), 3);
        EXPECT_EQ(std::string(bytes, 3), "NEW");
        ASSERT_EQ(pwrite(file.get(), "now", 3, 0), 3);
        ASSERT_EQ(pread(other.get(), bytes, 3, 0), 3);
        EXPECT_EQ(std::string(bytes, 3), "now");
      },
      [&](int side) { EXPECT_EQ(Content(At(side, "f")), "now content"); });
}

TEST_F(CoherenceTest, Appends) {
  EachSees(
      [&](int side) {
        File file(open(At(side, "f").c_str(), O_WRONLY | O_APPEND));
        ASSERT_EQ(write(file.get(), " and more", 9), 9);
      },
      [&](int side) { EXPECT_EQ(Content(At(side, "f")), "old content and more"); });
}

TEST_F(CoherenceTest, Truncates) {
  EachSees([&](int side) { ASSERT_EQ(truncate(At(side, "f").c_str(), 3), 0); },
           [&](int side) {
             EXPECT_EQ(StatOf(At(side, "f")).st_size, 3);
             EXPECT_EQ(Content(At(side, "f")), "old");
           });
}

TEST_F(CoherenceTest, Creates) {
  EachSees([&](int side) { Fill(At(side, "new"), "x"); },
           [&](int side) {
             EXPECT_TRUE(IsThere(At(side, "new")));
             EXPECT_TRUE(NamesIn(At(side, "")).contains("new"));
             EXPECT_EQ(Content(At(side, "new")), "x");
           });
}

TEST_F(CoherenceTest, Unlinks) {
  EachSees([&](int side) { ASSERT_EQ(unlink(At(side, "f").c_str()), 0); },
           [&](int side) {
             EXPECT_FALSE(IsThere(At(side, "f")));
             EXPECT_FALSE(NamesIn(At(side, "")).contains("f"));
           });
}

TEST_F(CoherenceTest, Renames) {
  EachSees([&](int side) { ASSERT_EQ(rename(At(side, "f").c_str(), At(side, "moved").c_str()), 0); },
           [&](int side) {
             EXPECT_FALSE(IsThere(At(side, "f")));
             EXPECT_EQ(Content(At(side, "moved")), "old content");
           });
}

TEST_F(CoherenceTest, RenamesOverAFile) {
  EachSees(
      [&](int side) {
        Fill(At(side, "new"), "of the new one");
        ASSERT_EQ(rename(At(side, "new").c_str(), At(side, "f").c_str()), 0);
      },
      [&](int side) {
        EXPECT_FALSE(IsThere(At(side, "new")));
        EXPECT_EQ(Content(At(side, "f")), "of the new one");
      });
}

TEST_F(CoherenceTest, MakesAndRemovesDirectories) {
  EachSees(
      [&](int side) {
        ASSERT_EQ(mkdir(At(side, "made").c_str(), 0700), 0);
        ASSERT_EQ(rmdir(At(side, "d").c_str()), 0);
      },
      [&](int side) {
        EXPECT_TRUE(S_ISDIR(StatOf(At(side, "made")).st_mode));
        EXPECT_FALSE(IsThere(At(side, "d")));
        EXPECT_EQ(StatOf(At(side, "")).st_nlink, 3u);
      });
}

TEST_F(CoherenceTest, ChangesAttributes) {
  EachSees(
      [&](int side) {
        ASSERT_EQ(chmod(At(side, "f").c_str(), 0604), 0);
        const timespec times[2] = {{77, 0}, {88, 0}};
        ASSERT_EQ(utimensat(AT_FDCWD, At(side, "f").c_str(), times, 0), 0);
        ASSERT_EQ(chown(At(side, "f").c_str(), 5, 6), 0);
      },
      [&](int side) {
        const struct stat stat = StatOf(At(side, "f"));
        EXPECT_EQ(stat.st_mode & 07777, 0604u);
        EXPECT_EQ(stat.st_mtim.tv_sec, 88);
        EXPECT_EQ(stat.st_uid, 5u);
        EXPECT_EQ(stat.st_gid, 6u);
      });
}

TEST_F(CoherenceTest, SetsExtendedAttributes) {
  EachSees([&](int side) { ASSERT_EQ(setxattr(At(side, "f").c_str(), "user.a", "b", 1, 0), 0); },
           [&](int side) {
             char value[8];
             EXPECT_EQ(getxattr(At(side, "f").c_str(), "user.a", value, sizeof(value)), 1);
           });
}

TEST_F(CoherenceTest, Links) {
  EachSees([&](int side) { ASSERT_EQ(link(At(side, "f").c_str(), At(side, "linked").c_str()), 0); },
           [&](int side) {
             EXPECT_EQ(StatOf(At(side, "f")).st_nlink, 2u);
             EXPECT_EQ(StatOf(At(side, "linked")).st_ino, StatOf(At(side, "f")).st_ino);
           });
}

TEST_F(CoherenceTest, AMappingShowsWhatAnotherMountWrote) {
  Fill(In("m"), std::string(8192, 'a'));
  File file(open(In("m").c_str(), O_RDONLY));
  void* memory = mmap(nullptr, 8192, PROT_READ, MAP_SHARED, file.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  const volatile char* bytes = static_cast<char*>(memory);
  File other(open(Elsewhere("m").c_str(), O_RDWR));
  for (int round = 0; round < Rounds(); ++round) {
    const char letter = static_cast<char>('b' + round % 20);
    ASSERT_EQ(pwrite(other.get(), &letter, 1, 5000), 1);
    ASSERT_EQ(bytes[5000], letter) << "round " << round;
    ASSERT_EQ(bytes[0], 'a');
  }
  munmap(memory, 8192);
}

TEST_F(CoherenceTest, StoresToAMappingSurviveThatAnotherMountWantsTheFile) {
  Fill(In("m"), std::string(8192, 'a'));
  File file(open(In("m").c_str(), O_RDWR));
  void* memory = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* bytes = static_cast<char*>(memory);
  for (int round = 0; round < Rounds(); ++round) {
    const char letter = static_cast<char>('b' + round % 20);
    bytes[100] = letter;
    // Takes the lease, and with it the pages.
    ASSERT_EQ(ErrorOf(chmod(Elsewhere("m").c_str(), round % 2 == 0 ? 0600 : 0640)), 0);
    ASSERT_EQ(Content(Elsewhere("m"))[100], letter) << "round " << round;
    ASSERT_EQ(bytes[100], letter);
  }
  munmap(memory, 8192);
}

// A reader that never pauses, through an open file whose pages are cached, while the other side writes.
TEST_F(CoherenceTest, NoReadIsOlderThanAWriteThatHasReturned) {
  Fill(In("f"), "0000000000");
  File writing(open(In("f").c_str(), O_RDWR));
  File reading(open(Elsewhere("f").c_str(), O_RDONLY));
  std::atomic<int> written = 0;
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) {
      const int least = written;
      char bytes[11] = {};
      ASSERT_EQ(pread(reading.get(), bytes, 10, 0), 10);
      ASSERT_GE(std::atoi(bytes), least);
    }
  });
  for (int i = 1; i <= Rounds() * 20; ++i) {
    char bytes[11];
    std::snprintf(bytes, sizeof(bytes), "%010d", i);
    EXPECT_EQ(pwrite(writing.get(), bytes, 10, 0), 10);
    written = i;
  }
  done = true;
  reader.join();
}

// Runs `work(side, i)` on both sides at once; returns how long the longest call took.
Clock::duration Cross(int times, const std::function<void(int side, int i)>& work) {
  Clock::duration longest[2] = {};
  std::thread threads[2];
  for (int side = 0; side < 2; ++side) {
    threads[side] = std::thread([&, side] {
      for (int i = 0; i < times; ++i) {
        const auto started = Clock::now();
        work(side, i);
        longest[side] = std::max(longest[side], Clock::now() - started);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return std::max(longest[0], longest[1]);
}

TEST_F(CoherenceTest, ChangesThatCrossInOneDirectoryDoNotWaitLong) {
  const auto longest = Cross(Rounds(), [&](int side, int i) {
    const std::string name = std::to_string(side) + "-" + std::to_string(i);
    Fill(At(side, name), "x");
    EXPECT_EQ(rename(At(side, name).c_str(), At(side, name + "r").c_str()), 0);
    EXPECT_EQ(unlink(At(side, name + "r").c_str()), 0);
  });
  EXPECT_LT(longest, std::chrono::seconds(3)) << "three calls";
  EXPECT_TRUE(NamesIn(In("")).empty());
}

TEST_F(CoherenceTest, PartsOfPagesWrittenFromTwoSidesAreAllThere) {
  constexpr size_t kPiece = 1000;
  const int pieces = Rounds() * 4;
  File files[2] = {File(open(In("f").c_str(), O_RDWR | O_CREAT, 0644)),
                   File(open(Elsewhere("f").c_str(), O_RDWR))};
  const auto longest = Cross(pieces, [&](int side, int i) {
    const std::string bytes(kPiece, static_cast<char>('a' + (2 * i + side) % 26));
    const size_t at = (2 * static_cast<size_t>(i) + static_cast<size_t>(side)) * kPiece;
    EXPECT_EQ(pwrite(files[side].get(), bytes.data(), kPiece, static_cast<off_t>(at)),
              static_cast<ssize_t>(kPiece));
    char byte = 0;
    EXPECT_EQ(pread(files[side].get(), &byte, 1, static_cast<off_t>(at)), 1);
    EXPECT_EQ(byte, bytes[0]);
  });
  EXPECT_LT(longest, std::chrono::seconds(2)) << "two calls";
  for (const std::string& content : {Content(In("f")), Content(Elsewhere("f"))}) {
    ASSERT_EQ(content.size(), static_cast<size_t>(pieces) * 2 * kPiece);
    for (size_t piece = 0; piece < static_cast<size_t>(pieces) * 2; ++piece) {
      const std::string expected(kPiece, static_cast<char>('a' + piece % 26));
      ASSERT_TRUE(content.compare(piece * kPiece, kPiece, expected) == 0) << "piece " << piece;
    }
  }
}

TEST_F(CoherenceTest, RecordsAppendedFromTwoSidesAreAllThere) {
  const int records = Rounds() * 2;
  File files[2] = {File(open(In("log").c_str(), O_WRONLY | O_APPEND | O_CREAT, 0644)),
                   File(open(Elsewhere("log").c_str(), O_WRONLY | O_APPEND))};
  Cross(records, [&](int side, int i) {
    char record[32];
    const int size = std::snprintf(record, sizeof(record), "side %d record %06d\n", side, i);
    EXPECT_EQ(write(files[side].get(), record, static_cast<size_t>(size)), size);
  });
  const std::string log = Content(Elsewhere("log"));
  std::set<std::string> found;
  for (size_t at = 0; at < log.size(); at += 21) found.insert(log.substr(at, 21));
  EXPECT_EQ(found.size(), static_cast<size_t>(records) * 2);
  EXPECT_EQ(log.size(), static_cast<size_t>(records) * 2 * 21);
}

}  // namespace
}  // namespace ringfs::posix
