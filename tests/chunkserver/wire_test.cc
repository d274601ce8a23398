#include "chunkserver/wire.h"

#include <gtest/gtest.h>

#include "common/crc32c.h"

namespace ringfs::chunkserver {
namespace {

Buffer BytesOf(size_t size) {
  const std::string text(size, 'x');
  return Buffer::CopyOf(std::as_bytes(std::span(text.data(), text.size())));
}

wire::WriteRequest RequestOf(uint32_t offset, uint32_t length) {
  wire::WriteRequest request;
  request.set_session(3);
  wire::Change& change = *request.mutable_change();
  change.mutable_block()->set_pool(1);
  change.mutable_block()->set_data(9);
  change.set_offset(offset);
  change.set_length(length);
  const Buffer bytes = BytesOf(length);
  for (const uint32_t checksum : PieceChecksums(offset, bytes.bytes())) {
    change.add_checksums(checksum);
  }
  return request;
}

TEST(PieceChecksums, CutAtTheUnitsOfTheBlock) {
  const Buffer bytes = BytesOf(8000);

  const auto checksums = PieceChecksums(4000, bytes.bytes());

  ASSERT_EQ(checksums.size(), 3u);
  EXPECT_EQ(checksums[0], Crc32c(bytes.bytes().subspan(0, 96)));
  EXPECT_EQ(checksums[1], Crc32c(bytes.bytes().subspan(96, 4096)));
  EXPECT_EQ(checksums[2], Crc32c(bytes.bytes().subspan(4192)));
}

TEST(WriteFromWire, TakesWhatFitsTogether) {
  const auto order = FromWire(RequestOf(4000, 8000), BytesOf(8000));

  ASSERT_TRUE(order);
  EXPECT_EQ(order->change.key, (BlockKey{PoolId{1}, DataId{9}, 0}));
  EXPECT_EQ(order->change.length, 8000u);
}

TEST(WriteFromWire, RefusesWhatDoesNot) {
  wire::WriteRequest beyond = RequestOf(0, 4096);
  beyond.mutable_change()->set_offset(kMaxBlockSize);
  wire::WriteRequest replaces = RequestOf(0, 4096);
  replaces.mutable_change()->set_kind(wire::CHANGE_REPLACE);
  wire::WriteRequest channel = RequestOf(0, 4096);
  channel.set_channel(kMaxChannels);
  wire::WriteRequest nameless = RequestOf(0, 4096);
  nameless.mutable_change()->mutable_block()->set_data(0);
  wire::WriteRequest checksums = RequestOf(0, 4096);
  checksums.mutable_change()->add_checksums(1);
  wire::WriteRequest kind = RequestOf(0, 4096);
  kind.mutable_change()->set_kind(static_cast<wire::ChangeKind>(77));

  for (const auto* request : {&beyond, &replaces, &channel, &nameless, &checksums, &kind}) {
    EXPECT_EQ(FromWire(*request, BytesOf(4096)).code(), Errc::kInvalid)
        << request->ShortDebugString();
  }
  EXPECT_EQ(FromWire(RequestOf(0, 4096), BytesOf(4095)).code(), Errc::kInvalid);
}

TEST(ReplicationOnTheWire, ComesOutAsItWentIn) {
  Replication message;
  message.head = ServerId{2};
  message.bucket_version = 8;
  message.sync = true;
  message.change.key = BlockKey{PoolId{1}, DataId{9}, 4};
  message.change.kind = ChangeKind::kReplace;
  message.change.version = BlockVersion{8, 3};
  message.change.expected = BlockVersion{7, 2};
  message.change.length = 5000;
  message.change.data.push_back(BytesOf(5000));
  message.change.checksums = Crc32cUnits(message.change.data.front().bytes());
  message.change.copied_tags.push_back(TagRecord{WriteTag{SessionId{3}, 1, 77}, BlockVersion{8, 3}});

  const auto back = FromWire(ToWire(message), message.change.data.front());

  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_EQ(back->head, message.head);
  EXPECT_EQ(back->change.kind, ChangeKind::kReplace);
  EXPECT_EQ(back->change.version, message.change.version);
  EXPECT_EQ(back->change.expected, message.change.expected);
  EXPECT_EQ(back->change.checksums, message.change.checksums);
  EXPECT_EQ(back->change.copied_tags, message.change.copied_tags);
  EXPECT_FALSE(back->change.tag);
  EXPECT_TRUE(back->sync);
}

TEST(TruncationOnTheWire, NamesItsEnd) {
  wire::WriteRequest request = RequestOf(0, 0);
  request.mutable_change()->set_kind(wire::CHANGE_TRUNCATE);
  request.mutable_change()->set_offset(4711);

  const auto order = FromWire(request, Buffer());

  ASSERT_TRUE(order);
  EXPECT_EQ(order->change.kind, ChangeKind::kTruncate);
  EXPECT_EQ(order->change.length, 4711u);
}

}  // namespace
}  // namespace ringfs::chunkserver
