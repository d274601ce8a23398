#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cli/commands/check.h"
#include "cli/json.h"
#include "common/ring/ring.h"
#include "proto/chunk.pb.h"
#include "proto/fsck.pb.h"
#include "tests/cli/fake_server.h"

namespace ringfs::cli {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kFsckBits = 1;
constexpr uint64_t kFsckData = 5;

// A cluster of two chunkservers that serve the buckets, and a file of one block.
class FsckTest : public ::testing::Test {
 protected:
  FsckTest() {
    wire::Pool& pool = *map_.add_pools();
    pool.set_id(1);
    pool.set_replicas(2);
    pool.set_bucket_bits(kFsckBits);
    map_.add_tables()->set_pool(1);
    for (uint32_t id = 0; id < 1u << kFsckBits; ++id) {
      wire::Bucket& bucket = *map_.mutable_tables(0)->add_buckets();
      bucket.set_id(id);
      bucket.set_version(3);
      for (const uint32_t server : {1, 2}) {
        bucket.add_servers(server);
        bucket.add_states(wire::MEMBER_SERVING);
      }
    }
    for (uint32_t i = 0; i < 2; ++i) {
      wire::Server& server = *map_.add_servers();
      server.set_id(i + 1);
      server.set_address(servers_[i].address());
      servers_[i].AnswerWith(wire::CHUNK_INSPECT, [this, i](const std::string& body) {
        return Inspected(blocks_[i], body);
      });
    }
    wire::FileContent& file = *files_.add_files();
    file.set_inode(77);
    file.set_pool(1);
    file.set_data(kFsckData);
    file.set_size(100);
    file.set_block_size(4096);
    files_.set_end(true);
    Store(0, kFsckData);
    Store(1, kFsckData);
  }

  static std::string Inspected(const std::map<uint64_t, wire::BlockInfo>& blocks,
                               const std::string& body) {
    wire::InspectRequest request;
    EXPECT_TRUE(request.ParseFromString(body));
    wire::InspectReply reply;
    reply.set_end(true);
    for (const auto& [data, info] : blocks) {
      bool wanted = request.only().empty() &&
                    Raw(BucketOf(DataId{data}, 0, kFsckBits)) == request.bucket();
      for (const wire::BlockId& only : request.only()) wanted = wanted || only.data() == data;
      if (wanted) *reply.add_blocks() = info;
    }
    return reply.SerializeAsString();
  }
  wire::BlockInfo& Store(size_t server, uint64_t data) {
    wire::BlockInfo& info = blocks_[server][data];
    info.mutable_block()->set_pool(1);
    info.mutable_block()->set_data(data);
    info.mutable_version()->set_bucket_version(3);
    info.mutable_version()->set_counter(1);
    info.set_length(100);
    info.set_digest(data);
    return info;
  }
  wire::Bucket& BucketOfData() {
    const auto id = static_cast<int>(Raw(BucketOf(DataId{kFsckData}, 0, kFsckBits)));
    return *map_.mutable_tables(0)->mutable_buckets(id);
  }

  Json Run(Errc expected) {
    master_server_.Answer(wire::MASTER_GET_MAP, map_);
    master_server_.Answer(wire::MASTER_LIST_FILES, files_);
    master_server_.AnswerWith(wire::MASTER_SWEEP, [this](const std::string& body) {
      wire::SweepRequest request;
      EXPECT_TRUE(request.ParseFromString(body));
      wire::SweepReply reply;
      for (int i = 0; i < request.contents_size(); ++i) reply.add_states(swept_);
      return reply.SerializeAsString();
    });
    const auto finding = Fsck(master_, Output::kJson, 200);
    EXPECT_TRUE(finding) << finding.error().ToString();
    if (!finding) return Json();
    EXPECT_EQ(finding->verdict.code(), expected) << finding->text;
    return Json::parse(finding->text);
  }

  FakeServer master_server_;
  FakeServer servers_[2];
  std::map<uint64_t, wire::BlockInfo> blocks_[2];
  wire::ClusterMap map_;
  wire::ListFilesReply files_;
  wire::ContentState swept_ = wire::CONTENT_ORPHAN;
  Master master_{{master_server_.address()}};
};

TEST_F(FsckTest, IsCleanWhenAllMembersHaveTheSame) {
  const Json json = Run(Errc::kOk);

  EXPECT_EQ(json["clean"], true);
  EXPECT_EQ(json["files"], 1);
  EXPECT_EQ(json["blocks"], 1);
  EXPECT_EQ(json["copies"], 2);
}

TEST_F(FsckTest, FindsCopiesThatDiffer) {
  blocks_[1][kFsckData].set_digest(99);

  const Json json = Run(Errc::kCorrupted);

  EXPECT_EQ(json["divergent"], 1);
  EXPECT_EQ(json["troubled_blocks"][0]["inode"], 77);
  EXPECT_EQ(json["troubled_blocks"][0]["trouble"], "divergent");
}

TEST_F(FsckTest, FindsACopyThatIsNotThere) {
  blocks_[1].clear();

  EXPECT_EQ(Run(Errc::kCorrupted)["divergent"], 1);
}

TEST_F(FsckTest, FindsBlocksWithFewerCopiesThanWanted) {
  BucketOfData().set_states(1, wire::MEMBER_SYNCING);
  blocks_[1].clear();

  const Json json = Run(Errc::kCorrupted);

  EXPECT_EQ(json["under_replicated"], 1);
  EXPECT_EQ(json["divergent"], 0);
}

TEST_F(FsckTest, CountsARottenCopyAsNone) {
  blocks_[1][kFsckData].set_rotten(true);
  EXPECT_EQ(Run(Errc::kCorrupted)["under_replicated"], 1);

  blocks_[0][kFsckData].set_rotten(true);
  const Json json = Run(Errc::kCorrupted);
  EXPECT_EQ(json["lost"], 1);
  EXPECT_EQ(json["under_replicated"], 0);
}

TEST_F(FsckTest, FindsBlocksThatNobodyServes) {
  BucketOfData().set_states(0, wire::MEMBER_OFFLINE);
  BucketOfData().set_states(1, wire::MEMBER_OFFLINE);

  const Json json = Run(Errc::kCorrupted);

  EXPECT_EQ(json["lost"], 1);
  EXPECT_EQ(json["troubled_blocks"][0]["data"], kFsckData);
}

TEST_F(FsckTest, TellsTheMasterOfBlocksThatAreInNoFile) {
  Store(0, 4);
  Store(1, 4);

  const Json json = Run(Errc::kCorrupted);
  swept_ = wire::CONTENT_GARBAGE;
  const Json deleted = Run(Errc::kOk);

  EXPECT_EQ(json["orphaned"], 1);
  EXPECT_EQ(json["orphans"][0]["data"], 4);
  EXPECT_EQ(json["orphans"][0]["removed"], false);
  EXPECT_EQ(deleted["orphaned"], 0);
  EXPECT_EQ(deleted["garbage"], 1);
}

TEST_F(FsckTest, IsNotCleanWhenAServerDoesNotAnswer) {
  map_.mutable_servers(1)->set_address("127.0.0.1:1");

  const Json json = Run(Errc::kCorrupted);

  EXPECT_EQ(json["silent_servers"][0], 2);
  EXPECT_EQ(json["divergent"], 0);
}

}  // namespace
}  // namespace ringfs::cli
