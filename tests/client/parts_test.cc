#include <gtest/gtest.h>

#include <asio/io_context.hpp>

#include "client/checksums.h"
#include "client/cluster_view.h"
#include "client/extend_queue.h"
#include "client/meta_kind.h"
#include "client/open_files.h"
#include "client/ranges.h"
#include "client/retry.h"
#include "client/slots.h"
#include "common/crc32c.h"
#include "common/ring/ring.h"
#include "tests/client/world.h"

namespace ringfs::client {
namespace {

Layout SmallBlocks() {
  Layout layout;
  layout.data = DataId{7};
  layout.block_size = kMinBlockSize;
  return layout;
}

TEST(OpenFilesTest, KnowNothingOfAFileThatIsClosed) {
  asio::io_context io;
  OpenFiles files(io.get_executor());
  std::shared_ptr<Handle> first = files.Add(files.Get(InodeId{7}), OpenMode());
  std::shared_ptr<Handle> second = files.Add(files.Get(InodeId{7}), OpenMode());

  files.Remove(std::move(first));
  EXPECT_NE(files.Find(InodeId{7}), nullptr);
  files.Remove(std::move(second));
  EXPECT_EQ(files.Find(InodeId{7}), nullptr);
}

TEST(RangesTest, SplitsAtBlockBoundaries) {
  const auto ranges = SplitRange(SmallBlocks(), kMinBlockSize - 10, kMinBlockSize + 30);

  ASSERT_TRUE(ranges);
  const PoolId pool{1};
  const std::vector<BlockRange> expected = {
      {{pool, DataId{7}, 0}, kMinBlockSize - 10, 10, kMinBlockSize - 10},
      {{pool, DataId{7}, 1}, 0, kMinBlockSize, kMinBlockSize},
      {{pool, DataId{7}, 2}, 0, 20, 2 * kMinBlockSize}};
  EXPECT_EQ(*ranges, expected);
}

TEST(RangesTest, RefusesWhatNoIndexReaches) {
  const Layout layout = SmallBlocks();
  const uint64_t largest = LargestSize(layout.block_size);

  EXPECT_TRUE(SplitRange(layout, largest - 1, 1));
  EXPECT_EQ(SplitRange(layout, largest, 1).code(), Errc::kFileTooLarge);
  EXPECT_EQ(SplitRange(layout, UINT64_MAX, 2).code(), Errc::kFileTooLarge);
  EXPECT_EQ(SplitRange(layout, 1, UINT64_MAX).code(), Errc::kFileTooLarge);
}

TEST(RangesTest, RefusesBlockSizesThatThereAreNot) {
  wire::Attributes attributes;
  attributes.set_mode(0100644);
  attributes.set_data(1);
  for (const uint32_t size : {0u, 1u, kMinBlockSize - 1, kMinBlockSize * 3, kMaxBlockSize * 2}) {
    attributes.set_block_size(size);
    EXPECT_EQ(LayoutOf(attributes).code(), Errc::kCorrupted) << size;
  }
  attributes.set_block_size(kMinBlockSize);
  EXPECT_TRUE(LayoutOf(attributes));
  attributes.set_mode(0040755);
  EXPECT_EQ(LayoutOf(attributes).code(), Errc::kIsDirectory);
}

TEST(ChecksumsTest, CutsPiecesAtMultiplesOfTheUnitOfTheBlock) {
  const Buffer data = BufferOf(Noise(10'000, 1));
  const auto bytes = data.bytes();

  const auto checksums = PieceChecksums(4000, {data});
  const auto of_two = PieceChecksums(4000, {data.Slice(0, 1000), data.Slice(1000, 9000)});

  const std::vector<uint32_t> expected = {
      Crc32c(bytes.subspan(0, 96)), Crc32c(bytes.subspan(96, 4096)),
      Crc32c(bytes.subspan(4192, 4096)), Crc32c(bytes.subspan(8288))};
  EXPECT_EQ(checksums, expected);
  EXPECT_EQ(of_two, expected);
}

TEST(ChecksumsTest, FindsOneFlippedBit) {
  const Buffer data = BufferOf(Noise(10'000, 1));
  const auto checksums = Crc32cUnits(data.bytes());
  ASSERT_TRUE(VerifyUnits(data.bytes(), checksums));
  data.data()[9'999] ^= std::byte{4};

  EXPECT_EQ(VerifyUnits(data.bytes(), checksums).code(), Errc::kCorrupted);
  EXPECT_EQ(VerifyUnits(data.bytes(), std::span(checksums).first(2)).code(), Errc::kCorrupted);
}

TEST(RetryTest, PausesGrowUpToABound) {
  EXPECT_EQ(PauseMs(0), 2);
  EXPECT_EQ(PauseMs(3), 16);
  EXPECT_EQ(PauseMs(8), 500);
  EXPECT_EQ(PauseMs(1000), 500);
}

TEST(RetryTest, DoesNotRetryAnAnswer) {
  for (const Errc code : {Errc::kNotFound, Errc::kNoSpace, Errc::kFenced, Errc::kCorrupted,
                          Errc::kStale, Errc::kBusy, Errc::kCancelled}) {
    EXPECT_FALSE(MayRetry(code)) << Name(code);
  }
  EXPECT_TRUE(MayRetry(Errc::kUnavailable));
  EXPECT_TRUE(MayRetry(Errc::kNotHead));
}

TEST(MetaKindTest, QueriesAndMemoryNeedNoSlot) {
  wire::MetaRequest request;
  request.mutable_lookup();
  EXPECT_EQ(KindOf(request), MetaKind::kQuery);
  request.mutable_begin_append();
  EXPECT_EQ(KindOf(request), MetaKind::kMemory);
  request.mutable_open();
  EXPECT_EQ(KindOf(request), MetaKind::kMemory);
  request.mutable_open()->set_truncate(true);
  EXPECT_EQ(KindOf(request), MetaKind::kChange);
  request.mutable_cut_done();
  EXPECT_EQ(KindOf(request), MetaKind::kEnding);
  EXPECT_EQ(OperationName(request), "cut_done");
}

wire::ClusterMap SmallMap() {
  wire::ClusterMap map;
  map.set_epoch(5);
  map.set_complete(true);
  wire::Pool& pool = *map.add_pools();
  pool.set_id(1);
  pool.set_bucket_bits(1);
  wire::BucketTable& table = *map.add_tables();
  table.set_pool(1);
  for (uint32_t id = 0; id < 2; ++id) {
    wire::Bucket& bucket = *table.add_buckets();
    bucket.set_id(id);
    bucket.set_version(3);
    const wire::MemberState states[] = {wire::MEMBER_OFFLINE, wire::MEMBER_SERVING,
                                        wire::MEMBER_SYNCING, wire::MEMBER_SERVING};
    for (uint32_t server = 1; server <= 4; ++server) {
      bucket.add_servers(server);
      bucket.add_states(states[server - 1]);
    }
  }
  return map;
}

TEST(ClusterViewTest, TheFirstServingMemberIsTheHead) {
  ClusterView view;
  ASSERT_TRUE(view.Apply(SmallMap()));

  const auto place = view.Find(BlockKey{PoolId{1}, DataId{9}, 0});

  ASSERT_TRUE(place);
  EXPECT_EQ(place->version, 3u);
  EXPECT_EQ(place->head, ServerId{2});
  EXPECT_EQ(place->serving, (std::vector<ServerId>{ServerId{2}, ServerId{4}}));
  EXPECT_EQ(view.ServersOf(PoolId{1}),
            (std::vector<ServerId>{ServerId{2}, ServerId{3}, ServerId{4}}));
}

TEST(ClusterViewTest, TakesChangesAndNothingOlder) {
  ClusterView view;
  ASSERT_TRUE(view.Apply(SmallMap()));
  const BlockKey key{PoolId{1}, DataId{9}, 0};
  wire::ClusterMap change = SmallMap();
  change.set_complete(false);
  change.set_epoch(6);
  wire::Bucket bucket = change.tables(0).buckets(static_cast<int>(Raw(BucketOf(key.data, 0, 1))));
  bucket.set_version(4);
  bucket.set_states(0, wire::MEMBER_SERVING);
  change.mutable_tables(0)->clear_buckets();
  *change.mutable_tables(0)->add_buckets() = bucket;

  ASSERT_TRUE(view.Apply(change));
  ASSERT_TRUE(view.Apply(SmallMap()));

  EXPECT_EQ(view.epoch(), Epoch{6});
  EXPECT_EQ(view.Find(key)->head, ServerId{1});
  EXPECT_EQ(view.map().tables(0).buckets_size(), 2);
}

TEST(ClusterViewTest, RefusesMapsThatContradictThemselves) {
  ClusterView view;
  ASSERT_TRUE(view.Apply(SmallMap()));
  wire::ClusterMap missing = SmallMap();
  missing.mutable_tables(0)->mutable_buckets()->RemoveLast();
  wire::ClusterMap stateless = SmallMap();
  stateless.mutable_tables(0)->mutable_buckets(0)->clear_states();
  wire::ClusterMap beyond = SmallMap();
  beyond.set_complete(false);
  beyond.mutable_tables(0)->mutable_buckets(0)->set_id(2);
  wire::ClusterMap huge = SmallMap();
  huge.mutable_pools(0)->set_bucket_bits(31);

  for (wire::ClusterMap* map : {&missing, &stateless, &beyond, &huge}) {
    map->set_epoch(7);
    EXPECT_EQ(view.Apply(*map).code(), Errc::kCorrupted);
  }
  EXPECT_EQ(view.epoch(), Epoch{5});
}

TEST(ClusterViewTest, APoolWithoutServersSaysSo) {
  ClusterView view;
  wire::ClusterMap map = SmallMap();
  map.mutable_tables(0)->clear_buckets();
  ASSERT_TRUE(view.Apply(map));
  EXPECT_EQ(view.Find(BlockKey{}).code(), Errc::kNoServers);
  EXPECT_EQ(view.Find(BlockKey{PoolId{2}, DataId{1}, 0}).code(), Errc::kNoServers)
      << "a newer map may have it";

  wire::ClusterMap change = SmallMap();
  change.set_complete(false);
  change.set_epoch(6);
  ASSERT_TRUE(view.Apply(change));

  EXPECT_TRUE(view.Find(BlockKey{}));
}

TEST(SlotsTest, ServesInOrderAndKeepsSomeForEndings) {
  World world;
  const auto slots = std::make_shared<Slots>(world.io.get_executor(), 4);
  std::vector<Pending<std::optional<Slots::Lease>>> taken;
  for (int i = 0; i < 5; ++i) {
    taken.push_back(world.Begin(slots->Take(Slots::Use::kOrdinary, 5000)));
  }
  auto ending = world.Begin(slots->Take(Slots::Use::kEnding, 5000));
  world.Settle();
  EXPECT_TRUE(taken[2]->has_value());
  EXPECT_FALSE(taken[3]->has_value());
  ASSERT_TRUE(ending->has_value());
  EXPECT_EQ((**ending)->slot(), 3u);

  const uint32_t slot = (**taken[1])->slot();
  taken[1]->reset();
  world.Settle();

  ASSERT_TRUE(taken[3]->has_value());
  EXPECT_EQ((**taken[3])->slot(), slot);
  EXPECT_EQ((**taken[3])->sequence(), 2u);
  EXPECT_FALSE(taken[4]->has_value());
  taken[0]->reset();
  world.Settle();
  EXPECT_TRUE(taken[4]->has_value());
}

TEST(SlotsTest, GivesUpAfterTheTimeout) {
  World world;
  const auto slots = std::make_shared<Slots>(world.io.get_executor(), 2);
  auto first = world.Begin(slots->Take(Slots::Use::kOrdinary, 5000));
  auto second = world.Begin(slots->Take(Slots::Use::kOrdinary, 10));

  world.RunUntil([&] { return second->has_value(); });

  EXPECT_TRUE((*first)->has_value());
  EXPECT_FALSE((*second)->has_value());
}

TEST(ExtendQueueTest, PutsTogetherWhatWaits) {
  World world;
  ExtendQueue queue(world.io.get_executor());
  Event answer(world.io.get_executor());
  std::vector<uint64_t> sent;
  struct Sender {
    static asio::awaitable<ExtendQueue::Answer> Send(Event* event, std::vector<uint64_t>* ends,
                                                     wire::Extend extend) {
      ends->push_back(extend.end());
      co_await event->Wait();
      wire::Attributes attributes;
      attributes.set_size(extend.end());
      co_return attributes;
    }
  };
  const ExtendQueue::Send send = [&](wire::Extend extend) {
    return Sender::Send(&answer, &sent, std::move(extend));
  };
  std::vector<Pending<ExtendQueue::Answer>> calls;
  for (const uint64_t end : {10, 30, 20}) {
    wire::Extend extend;
    extend.set_data(1);
    extend.set_end(end);
    calls.push_back(world.Begin(queue.Run(extend, send)));
  }
  wire::Extend other;
  other.set_data(2);
  other.set_end(5);
  calls.push_back(world.Begin(queue.Run(other, send)));
  world.Settle();
  EXPECT_EQ(sent, (std::vector<uint64_t>{10}));
  EXPECT_FALSE(calls[0]->has_value());

  while (!calls[3]->has_value()) {
    answer.NotifyAll();
    world.Settle();
  }

  EXPECT_EQ(sent, (std::vector<uint64_t>{10, 30, 5}));
  EXPECT_EQ((**calls[2])->size(), 30u);
}

}  // namespace
}  // namespace ringfs::client
