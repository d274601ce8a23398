// Special files, statfs(2), and what is refused rather than done by halves.
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <cstring>

#include "posix_fixture.h"

namespace ringfs::posix {
namespace {

class SpecialTest : public PosixTest {};

TEST_F(SpecialTest, NodesKeepTheirKindAndNumber) {
  ASSERT_EQ(ErrorOf(mknod(In("c").c_str(), S_IFCHR | 0600, makedev(1, 3))), 0);
  ASSERT_EQ(ErrorOf(mknod(In("b").c_str(), S_IFBLK | 0600, makedev(250, 260))), 0);
  ASSERT_EQ(ErrorOf(mkfifo(In("p").c_str(), 0600)), 0);

  EXPECT_EQ(StatOf(Elsewhere("c")).st_mode, S_IFCHR | 0600u);
  EXPECT_EQ(StatOf(Elsewhere("c")).st_rdev, makedev(1, 3));
  EXPECT_EQ(StatOf(Elsewhere("b")).st_rdev, makedev(250, 260));
  EXPECT_EQ(StatOf(Elsewhere("p")).st_mode, S_IFIFO | 0600u);
  const std::string path = In("d");
  EXPECT_EQ(As(Person(), [&] { return ErrorOf(mknod(path.c_str(), S_IFCHR, makedev(1, 3))); }),
            EACCES);
}

TEST_F(SpecialTest, AFifoAndASocketConnectProcesses) {
  ASSERT_EQ(mkfifo(In("p").c_str(), 0600), 0);
  const File reader(open(In("p").c_str(), O_RDONLY | O_NONBLOCK));
  const File writer(open(In("p").c_str(), O_WRONLY));
  ASSERT_EQ(write(writer.get(), "hello", 5), 5);
  char bytes[5];
  EXPECT_EQ(read(reader.get(), bytes, 5), 5);

  ASSERT_EQ(chdir(folder().c_str()), 0);  // a socket's address is short
  sockaddr_un address{AF_UNIX, "s"};
  const File listener(socket(AF_UNIX, SOCK_STREAM, 0));
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  ASSERT_EQ(ErrorOf(bind(listener.get(), name, sizeof address)), 0);
  ASSERT_EQ(ErrorOf(listen(listener.get(), 1)), 0);
  const File caller(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_EQ(ErrorOf(connect(caller.get(), name, sizeof address)), 0);
  ASSERT_EQ(chdir("/"), 0);
}

TEST_F(SpecialTest, StatfsTellsSizes) {
  struct statfs filesystem {};

  ASSERT_EQ(ErrorOf(statfs(folder().c_str(), &filesystem)), 0);

  EXPECT_EQ(filesystem.f_namelen, 255);
  EXPECT_GT(filesystem.f_blocks, 0u);
  EXPECT_LE(filesystem.f_bfree, filesystem.f_blocks);
  EXPECT_LE(filesystem.f_bavail, filesystem.f_bfree);
  EXPECT_GT(filesystem.f_ffree, 0u);
  EXPECT_LE(filesystem.f_ffree, filesystem.f_files);
  EXPECT_GT(filesystem.f_bsize, 0);
}

// Elsewhere the kernel has never heard of the file.
TEST_F(SpecialTest, AFileHandleIsGoodOnAnyMount) {
  Fill(In("f"), "content");
  alignas(file_handle) char memory[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* handle = reinterpret_cast<file_handle*>(memory);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  ASSERT_EQ(ErrorOf(name_to_handle_at(AT_FDCWD, In("f").c_str(), handle, &mount, 0)), 0);
  const File elsewhere(open(Elsewhere("").c_str(), O_RDONLY | O_DIRECTORY));

  const File file(open_by_handle_at(elsewhere.get(), handle, O_RDONLY));

  ASSERT_TRUE(file.ok()) << errno;
  char bytes[16] = {};
  EXPECT_EQ(read(file.get(), bytes, sizeof bytes), 7);
  EXPECT_STREQ(bytes, "content");
  ASSERT_EQ(unlink(In("f").c_str()), 0);
}

TEST_F(SpecialTest, AnUnknownIoctlIsRefused) {
  Fill(In("f"), "x");
  const File file(open(In("f").c_str(), O_RDWR));

  EXPECT_EQ(ErrorOf(ioctl(file.get(), _IO('r', 250), 0)), ENOTTY);
}

TEST_F(SpecialTest, ACloneIsRefusedAndChangesNothing) {
  Fill(In("from"), "content");
  Fill(In("to"), "other");
  const File from(open(In("from").c_str(), O_RDONLY));
  const File to(open(In("to").c_str(), O_RDWR));

  EXPECT_EQ(ErrorOf(ioctl(to.get(), FICLONE, from.get())), EOPNOTSUPP);

  EXPECT_EQ(Content(In("to")), "other");
}

TEST_F(SpecialTest, AFileDoesNotRunWhileItIsWrittenNorIsWrittenWhileItRuns) {
  Fill(In("f"), "#!/bin/sh\nexit 7\n", 0755);
  const std::string path = In("f");

  const auto run = [&] {
    execl(path.c_str(), "f", nullptr);
    return errno;
  };
  EXPECT_EQ(As(Person(), run), 7);
  const File file(open(path.c_str(), O_WRONLY));
  EXPECT_EQ(As(Person(), run), ETXTBSY);
}

}  // namespace
}  // namespace ringfs::posix
