// mmap(2).
#include <sys/mman.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

constexpr size_t kPages = 3 * 4096;

class MappingTest : public PosixTest {
 protected:
  // Of the first kPages bytes; unmapped with the process.
  static char* Map(const File& file, int flags) {
    void* memory = mmap(nullptr, kPages, PROT_READ | PROT_WRITE, flags, file.get(), 0);
    EXPECT_NE(memory, MAP_FAILED);
    return static_cast<char*>(memory);
  }
};

TEST_F(MappingTest, AStoreIsInTheFile) {
  Fill(In("f"), std::string(kPages, 'x'));
  const File file(open(In("f").c_str(), O_RDWR));
  char* memory = Map(file, MAP_SHARED);

  memory[5000] = 'y';

  char byte = 0;
  EXPECT_EQ(pread(file.get(), &byte, 1, 5000), 1);
  EXPECT_EQ(byte, 'y');
  ASSERT_EQ(msync(memory, kPages, MS_SYNC), 0);
  EXPECT_EQ(Content(Elsewhere("f"))[5000], 'y');
  munmap(memory, kPages);
}

TEST_F(MappingTest, AWriteIsInTheMemory) {
  Fill(In("f"), std::string(kPages, 'x'));
  const File file(open(In("f").c_str(), O_RDWR));
  char* memory = Map(file, MAP_SHARED);
  EXPECT_EQ(memory[100], 'x');

  ASSERT_EQ(pwrite(file.get(), "zz", 2, 100), 2);

  EXPECT_EQ(std::string(memory + 99, 4), "xzzx");
  munmap(memory, kPages);
}

TEST_F(MappingTest, APrivateStoreStaysPrivate) {
  Fill(In("f"), std::string(kPages, 'x'));
  const File file(open(In("f").c_str(), O_RDWR));
  char* memory = Map(file, MAP_PRIVATE);

  memory[0] = 'y';
  ASSERT_EQ(msync(memory, kPages, MS_SYNC), 0);

  EXPECT_EQ(Content(In("f"))[0], 'x');
  munmap(memory, kPages);
}

TEST_F(MappingTest, TheLastPageEndsInZeros) {
  Fill(In("f"), std::string(100, 'x'));
  const File file(open(In("f").c_str(), O_RDWR));
  char* memory = Map(file, MAP_SHARED);

  EXPECT_EQ(memory[99], 'x');
  EXPECT_EQ(memory[100], '\0');
  memory[200] = 'y';  // beyond the end: not part of the file
  ASSERT_EQ(msync(memory, 4096, MS_SYNC), 0);
  ASSERT_EQ(ftruncate(file.get(), 300), 0);

  EXPECT_EQ(Content(Elsewhere("f")), std::string(100, 'x') + std::string(200, '\0'));
  munmap(memory, kPages);
}

TEST_F(MappingTest, WhatATruncationCutIsASigbus) {
  Fill(In("f"), std::string(kPages, 'x'));
  const File file(open(In("f").c_str(), O_RDWR));
  char* memory = Map(file, MAP_SHARED);
  EXPECT_EQ(memory[8192], 'x');

  ASSERT_EQ(ftruncate(file.get(), 4096), 0);

  const pid_t child = fork();
  if (child == 0) {
    signal(SIGBUS, [](int) { _exit(77); });
    _exit(const_cast<volatile char*>(memory)[8192]);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 77);
  EXPECT_EQ(memory[4095], 'x');
  munmap(memory, kPages);
}

}  // namespace
}  // namespace ringfs::posix
