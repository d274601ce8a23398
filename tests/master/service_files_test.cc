#include <gtest/gtest.h>

#include "proto/fsck.pb.h"
#include "service_support.h"

namespace ringfs::master {
namespace {

class Files : public ::testing::Test {
 protected:
  Files() : server_(master_, 's'), client_(master_, 'a'), administrator_(master_) {
    EXPECT_TRUE(server_.Register());
    client_.Open(kTtlMs);
  }

  Result<wire::SweepReply> Sweep(std::vector<uint64_t> contents) {
    wire::SweepRequest request;
    for (const uint64_t data : contents) {
      request.add_contents()->set_pool(1);
      request.mutable_contents()->rbegin()->set_data(data);
    }
    return administrator_.Call<wire::SweepReply>(wire::MASTER_SWEEP, request);
  }
  wire::ContentState StateOf(uint64_t data) {
    const auto reply = Sweep({data});
    EXPECT_TRUE(reply);
    return reply ? reply->states(0) : wire::CONTENT_UNKNOWN;
  }
  wire::ListFilesReply List(uint64_t after, uint32_t limit) {
    wire::ListFilesRequest request;
    request.set_after(after);
    request.set_limit(limit);
    const auto reply =
        administrator_.Call<wire::ListFilesReply>(wire::MASTER_LIST_FILES, request);
    EXPECT_TRUE(reply);
    return reply ? *reply : wire::ListFilesReply();
  }

  // Not open any more, so that the end of the session changes nothing.
  wire::Attributes MakeClosedFile(const std::string& name) {
    const wire::Attributes file = client_.MakeFile(name);
    wire::MetaRequest close = client_.Request();
    close.mutable_close()->set_inode(file.inode());
    close.mutable_close()->set_writing(true);
    EXPECT_TRUE(client_.Meta(close));
    return file;
  }
  // A little later its content is garbage.
  void Unlink(const std::string& name) {
    wire::MetaRequest unlink = client_.Request();
    unlink.mutable_unlink()->set_parent(Raw(kRootInode));
    unlink.mutable_unlink()->set_name(name);
    ASSERT_TRUE(client_.Meta(unlink));
    master_.PassTime(200);
  }

  static constexpr int64_t kTtlMs = 3'000;
  TestMaster master_;
  TestServer server_;
  TestClient client_;
  TestPeer administrator_;
};

TEST_F(Files, AreListedInPages) {
  const wire::Attributes first = client_.MakeFile("a", 5'000);
  const wire::Attributes second = client_.MakeFile("b");

  std::vector<uint64_t> data;
  uint64_t after = 0;
  for (bool end = false; !end;) {
    const wire::ListFilesReply page = List(after, 1);
    for (const wire::FileContent& file : page.files()) data.push_back(file.data());
    after = page.last();
    end = page.end();
  }

  EXPECT_EQ(data, (std::vector<uint64_t>{first.data(), second.data()}));
  const wire::ListFilesReply all = List(0, 1000);
  ASSERT_EQ(all.files_size(), 2);
  EXPECT_TRUE(all.end());
  EXPECT_EQ(all.files(0).inode(), first.inode());
  EXPECT_EQ(all.files(0).block_size(), first.block_size());
}

TEST_F(Files, OwnTheirContentAlsoWhenItIsGarbage) {
  const wire::Attributes file = MakeClosedFile("a");
  EXPECT_EQ(StateOf(file.data()), wire::CONTENT_LIVE);

  Unlink("a");

  EXPECT_EQ(StateOf(file.data()), wire::CONTENT_GARBAGE);
}

TEST_F(Files, ContentThatIsNobodysIsRemovedAtTheSecondSweep) {
  const wire::Attributes kept = MakeClosedFile("kept");
  const wire::Attributes gone = MakeClosedFile("gone");
  Unlink("gone");
  server_.ConfirmGarbage(server_.TakePush<wire::GarbagePush>(wire::MASTER_PUSH_GARBAGE));

  EXPECT_EQ(StateOf(gone.data()), wire::CONTENT_ORPHAN);
  EXPECT_EQ(StateOf(gone.data()), wire::CONTENT_ORPHAN) << "too soon";
  const auto reply = Sweep({kept.data(), gone.data()});
  ASSERT_TRUE(reply);
  EXPECT_FALSE(server_.HasPush(wire::MASTER_PUSH_GARBAGE));
  master_.PassTime(reply->lifetime_ms() + 1);
  ASSERT_TRUE(server_.Register());
  const auto second = Sweep({kept.data(), gone.data()});

  ASSERT_TRUE(second);
  EXPECT_EQ(second->states(0), wire::CONTENT_LIVE);
  EXPECT_EQ(second->states(1), wire::CONTENT_REMOVED);
  const auto push = server_.TakePush<wire::GarbagePush>(wire::MASTER_PUSH_GARBAGE);
  ASSERT_EQ(push.items_size(), 1);
  EXPECT_EQ(push.items(0).data(), gone.data());
  EXPECT_EQ(push.items(0).from_index(), 0u);
}

// A master whose database is older than the blocks must not take them for rubbish.
TEST_F(Files, ContentOfANumberThatWasNotGivenOutStays) {
  const wire::Attributes file = MakeClosedFile("a");

  EXPECT_EQ(StateOf(file.data() + 1), wire::CONTENT_FOREIGN);
  master_.PassTime(60'000);
  EXPECT_EQ(StateOf(file.data() + 1), wire::CONTENT_FOREIGN);
}

}  // namespace
}  // namespace ringfs::master
