#include <sys/stat.h>

#include "common/locks/lock_table.h"
#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

wire::Command MakeFileCommand(uint64_t session, uint32_t slot, uint64_t sequence,
                              const std::string& name) {
  wire::Command command;
  command.set_time_ns(5);
  wire::MetaRequest& request = *command.mutable_meta();
  request.set_session(session);
  request.set_slot(slot);
  request.set_sequence(sequence);
  request.mutable_create()->set_parent(kRoot);
  request.mutable_create()->set_name(name);
  request.mutable_create()->set_exclusive(true);
  request.mutable_create()->set_writing(true);
  return command;
}

TEST(Slots, AnswerARetryWithTheFirstAnswer) {
  TestMaster master;
  wire::Command create = MakeFileCommand(master.session(), 3, 1, "f");
  Outcome first = master.machine().Apply(create);
  Outcome retry = master.machine().Apply(create);
  EXPECT_FALSE(first.replayed);
  EXPECT_TRUE(retry.replayed);
  EXPECT_EQ(retry.error, Errc::kOk);
  EXPECT_EQ(retry.reply.SerializeAsString(), first.reply.SerializeAsString());

  master.Reopen();
  EXPECT_TRUE(master.machine().Apply(create).replayed);
  wire::Command failing = MakeFileCommand(master.session(), 3, 2, "f");
  EXPECT_EQ(master.machine().Apply(failing).error, Errc::kExists);
  master.Unlink(kRoot, "f");
  Outcome failed_again = master.machine().Apply(failing);
  EXPECT_TRUE(failed_again.replayed);
  EXPECT_EQ(failed_again.error, Errc::kExists);
  EXPECT_EQ(failed_again.detail, "the name exists");
}

TEST(Slots, RefuseWhatIsOldOrOutOfBounds) {
  TestMaster master;
  uint64_t session = master.session();
  EXPECT_EQ(master.machine().Apply(MakeFileCommand(session, 3, 4, "f")).error, Errc::kOk);
  EXPECT_EQ(master.machine().Apply(MakeFileCommand(session, 3, 3, "g")).error, Errc::kProtocol);
  EXPECT_EQ(master.machine().Apply(MakeFileCommand(session, 3, 0, "g")).error, Errc::kProtocol);
  EXPECT_EQ(master.machine().Apply(MakeFileCommand(session, kSlots, 1, "g")).error,
            Errc::kProtocol);
  EXPECT_EQ(master.Lookup(kRoot, "g"), Errc::kNotFound);
}

// The retry after a reconnect finds the file made, and must count its handle.
TEST(Slots, CountAnOpenOnceUnlessItWasForgotten) {
  TestMaster master;
  wire::Command create = MakeFileCommand(master.session(), 0, 1000, "f");
  InodeId inode{master.machine().Apply(create).reply.attributes().inode()};
  SessionId session{master.session()};
  master.machine().Apply(create);
  EXPECT_EQ(master.machine().opens().Of(session, inode).writers, 1u);

  master.machine().Reassert(session, {});
  EXPECT_FALSE(master.machine().opens().IsOpen(inode));
  master.machine().Apply(create);
  EXPECT_EQ(master.machine().opens().Of(session, inode).writers, 1u);

  master.Reopen();
  EXPECT_FALSE(master.machine().opens().IsOpen(inode));
  master.machine().Apply(create);
  EXPECT_EQ(master.machine().opens().Of(session, inode).writers, 1u);
}

TEST(Slots, DoNotRecordWhatIsHeld) {
  TestMaster master;
  uint64_t other = master.OpenSession();
  uint64_t file = master.MakeFile(kRoot, "f");
  master.Extend(file, 100);
  master.Resize(file, 50);
  wire::Command grow;
  wire::MetaRequest& request = *grow.mutable_meta();
  request.set_session(other);
  request.set_sequence(1);
  request.mutable_set_attributes()->set_inode(file);
  request.mutable_set_attributes()->set_size(80);
  uint64_t index = master.machine().applied();
  EXPECT_TRUE(master.machine().Apply(grow).held);
  EXPECT_EQ(master.machine().applied(), index);
  master.CutDone(file);
  Outcome applied = master.machine().Apply(grow);
  EXPECT_FALSE(applied.held);
  EXPECT_FALSE(applied.replayed);
  EXPECT_EQ(applied.reply.attributes().size(), 80u);
}

TEST(Sessions, OfOneRunOfAClientAreOne) {
  TestMaster master;
  wire::Command command;
  command.mutable_open_session()->set_client("abcdefghijklmnop");
  SessionId first = master.Apply(command).session;
  EXPECT_EQ(master.Apply(command).session, first);
  wire::Command fence;
  fence.mutable_fence_session()->set_session(Raw(first));
  master.Apply(fence);
  EXPECT_NE(master.Apply(command).session, first);
}

TEST(Sessions, AreRefusedWhenTheyMakeNoSense) {
  TestMaster master;
  master.MakeFile(kRoot, "file");
  struct Case {
    const char* name;
    std::string client, cluster, subdirectory;
    Errc error;
  };
  const std::string client = "abcdefghijklmnop";
  const Case cases[] = {
      {"short identity", "abc", "", "", Errc::kInvalid},
      {"another cluster", client, "fedcba9876543210", "", Errc::kWrongCluster},
      {"no such root", client, "", "/none", Errc::kNotFound},
      {"root is a file", client, "", "file", Errc::kNotDirectory},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    wire::Command command;
    command.mutable_open_session()->set_client(c.client);
    command.mutable_open_session()->set_cluster_id(c.cluster);
    command.mutable_open_session()->set_subdirectory(c.subdirectory);
    EXPECT_EQ(master.Apply(command).error, c.error);
  }
}

TEST(Sessions, MayHaveASubdirectoryAsRoot) {
  TestMaster master;
  uint64_t directory = master.MakeDirectory(kRoot, "d");
  wire::Command command;
  command.mutable_open_session()->set_client("abcdefghijklmnop");
  command.mutable_open_session()->set_subdirectory("/d/");
  EXPECT_EQ(master.Apply(command).root, InodeId{directory});
}

TEST(Sessions, ThatAreFencedAreNotHeard) {
  TestMaster master;
  wire::Command fence;
  fence.mutable_fence_session()->set_session(master.session());
  master.Apply(fence);
  EXPECT_EQ(master.MakeNode(kRoot, "f", S_IFREG).error, Errc::kFenced);
  master.Reopen();
  EXPECT_EQ(master.MakeNode(kRoot, "f", S_IFREG).error, Errc::kFenced);
  EXPECT_TRUE(master.machine().FindSession(SessionId{master.session()})->fenced());
  EXPECT_EQ(master.machine().Apply(MakeFileCommand(99, 0, 1, "f")).error, Errc::kFenced);
}

wire::MetaRequest LockRequest(uint64_t inode, uint64_t waiter) {
  wire::MetaRequest request;
  wire::SetLock& lock = *request.mutable_set_lock();
  lock.set_inode(inode);
  lock.set_kind(wire::LOCK_FLOCK);
  lock.set_type(wire::LOCK_EXCLUSIVE);
  lock.set_owner(1);
  lock.set_last(INT64_MAX);
  lock.set_wait(waiter != 0);
  lock.set_waiter(waiter);
  lock.set_handle(7);
  return request;
}

TEST(Sessions, PassTheirLocksOnWhenTheyEnd) {
  TestMaster master;
  uint64_t other = master.OpenSession();
  uint64_t file = master.MakeFile(kRoot, "f");
  EXPECT_FALSE(master.Do(LockRequest(file, 0)).reply.set_lock().queued());
  EXPECT_EQ(master.Do(LockRequest(file, 0), other).error, Errc::kWouldBlock);
  EXPECT_TRUE(master.Do(LockRequest(file, 5), other).reply.set_lock().queued());

  master.Reopen();
  EXPECT_EQ(master.machine().locks().size(), 2u);
  wire::Command end;
  end.mutable_end_session()->set_session(master.session());
  Outcome ended = master.Apply(end);

  ASSERT_EQ(ended.events.grants.size(), 1u);
  EXPECT_EQ(ended.events.grants[0].session(), other);
  EXPECT_EQ(ended.events.grants[0].waiter(), 5u);
  EXPECT_EQ(master.machine().FindSession(SessionId{master.session()}), nullptr);
  std::map<std::string, std::string> contents = master.Contents();
  EXPECT_EQ(master.machine().locks().size(), 1u);
  for (const auto& [key, value] : contents) {
    if (key[0] != 'R' && key[0] != 'S') continue;
    EXPECT_EQ(key.substr(1, 8), std::string("\0\0\0\0\0\0\0\2", 8)) << Hex(key);
  }
}

TEST(Locks, AreFreedByTheCloseOfTheirHandle) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  master.Do(LockRequest(file, 0));
  wire::MetaRequest close;
  close.mutable_close()->set_inode(file);
  close.mutable_close()->set_handle(8);
  SessionId session{master.session()};
  EXPECT_FALSE(master.machine().ClosesLocks(session, close.close()));
  close.mutable_close()->set_handle(7);
  EXPECT_TRUE(master.machine().ClosesLocks(session, close.close()));
  EXPECT_EQ(master.Do(close).error, Errc::kOk);
  EXPECT_EQ(master.machine().locks().size(), 0u);
  master.Reopen();
  EXPECT_EQ(master.machine().locks().size(), 0u);
}

TEST(Locks, KeepGrowingGrantsOverARestart) {
  TestMaster master;
  uint64_t file = master.MakeFile(kRoot, "f");
  uint64_t before = master.Do(LockRequest(file, 0)).reply.set_lock().grant();
  wire::MetaRequest close;
  close.mutable_release_locks()->set_inode(file);
  close.mutable_release_locks()->set_handle(7);
  master.Do(close);
  master.Reopen();
  EXPECT_GT(master.Do(LockRequest(file, 0)).reply.set_lock().grant(), before);
  EXPECT_EQ(master.Do(LockRequest(999, 0)).error, Errc::kStale);
}

TEST(Opens, AreCountedPerSession) {
  TestMaster master;
  InodeId file{master.MakeFile(kRoot, "f")};
  SessionId session{master.session()};
  wire::Open open;
  open.set_inode(Raw(file));
  open.set_writing(true);
  EXPECT_TRUE(master.machine().OpenInMemory(session, open));
  open.set_inode(999);
  EXPECT_EQ(master.machine().OpenInMemory(session, open).code(), Errc::kStale);
  EXPECT_THAT(master.machine().opens().Writing(session), testing::ElementsAre(file));

  wire::Close close;
  close.set_inode(Raw(file));
  master.machine().CloseInMemory(session, close);  // opened for writing: another handle
  EXPECT_TRUE(master.machine().opens().IsOpen(file));
  close.set_writing(true);
  master.machine().CloseInMemory(session, close);
  master.machine().CloseInMemory(session, close);
  EXPECT_FALSE(master.machine().opens().IsOpen(file));
}

}  // namespace
}  // namespace ringfs::master
