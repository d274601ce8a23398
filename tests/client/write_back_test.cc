#include "client/write_back/write_back.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <asio/io_context.hpp>
#include <cstring>
#include <deque>
#include <map>
#include <random>

#include "tests/client/world.h"

namespace ringfs::client {
namespace {

constexpr InodeId kFile{7};

// What DirtyRanges holds, laid over a file of dots.
std::string Laid(const DirtyRanges& ranges, size_t size) {
  std::vector<Buffer> under;
  under.push_back(BufferOf(std::string(size, '.')));
  return Text(Overlaid(0, std::move(under), ranges.Within(0, size)));
}

TEST(DirtyRangesTest, TheNewestBytesOfEachPlaceCount) {
  DirtyRanges ranges;

  ranges.Put(2, BufferOf("aaaaaa"));
  ranges.Put(4, BufferOf("bb"));
  ranges.Put(8, BufferOf("cc"));
  ranges.PutUnder({FilePiece{0, BufferOf("dddddddddddd")}});

  EXPECT_EQ(Laid(ranges, 14), "ddaabbaaccdd..");
  EXPECT_EQ(ranges.Within(5, 1).size(), 1u);
  EXPECT_EQ(ranges.Within(12, 100).size(), 0u);
}

TEST(DirtyRangesTest, AgreesWithAnArrayOfBytes) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    DirtyRanges ranges;
    std::string model(300, '.');
    uint64_t next = 0;
    for (int i = 0; i < 60; ++i) {
      const bool follows = random() % 2 == 0;
      const uint64_t offset = follows ? next % 250 : random() % 250;
      const std::string bytes = std::string(1 + random() % 50, static_cast<char>('a' + i % 26));
      if (random() % 4 != 0) {
        ranges.Put(offset, BufferOf(bytes));
        model.replace(offset, bytes.size(), bytes);
        next = offset + bytes.size();
      } else {
        const std::string before = Laid(ranges, 300);
        ranges.PutUnder({FilePiece{offset, BufferOf(bytes)}});
        for (size_t at = 0; at < bytes.size(); ++at) {
          if (before[offset + at] == '.') model[offset + at] = bytes[at];
        }
      }
      ASSERT_EQ(Laid(ranges, 300), model) << "step " << i;
    }
  }
}

TEST(DirtyRangesTest, KeepsLargeWritesByReferenceAndJoinsSmallOnes) {
  DirtyRanges large;
  const Buffer bytes = BufferOf(Noise(1 << 20, 1));
  large.Put(0, bytes);
  EXPECT_EQ(large.All().at(0).bytes.data(), bytes.data());

  DirtyRanges small;
  for (int i = 0; i < 64; ++i) small.Put(i * 1000, BufferOf(std::string(1000, 'x')));
  EXPECT_LT(small.All().size(), 6u);
  EXPECT_LT(small.memory_bytes(), 200'000u);
}

// One file, the master and the blocks as one string, and a store that does as the test says.
class WriteBackTest : public testing::Test {
 protected:
  WriteBackTest() : background(io.get_executor()), released(io.get_executor()) {
    attributes.set_inode(Raw(kFile));
    attributes.set_mode(S_IFREG | 04755);
    attributes.set_block_size(kMinBlockSize);
    inode = std::make_shared<Inode>(io.get_executor(), kFile);
    Make(8 << 20);
  }
  ~WriteBackTest() override {
    holding = false;
    released.NotifyAll();
    background.Stop();
    Run([this] { return ended; }, background.Join());
  }

  void Make(uint64_t dirty_bytes) {
    WriteBackHooks hooks;
    hooks.owned = [this](InodeId) { return leased ? &attributes : nullptr; };
    hooks.now_ns = [this] { return now_ns; };
    hooks.changed = [this](const wire::Attributes& changed) { attributes = changed; };
    hooks.lost = [this](InodeId) {
      ++losses;
      attributes.set_size(stored.size());
    };
    hooks.emptied = [](const std::shared_ptr<Inode>&) {};
    hooks.stored = [](const std::shared_ptr<Inode>&, const std::vector<FilePiece>&) {};
    hooks.store = [this](std::shared_ptr<Inode>, HeldChange change, Deadline) {
      return Store(std::move(change));
    };
    hooks.space = [this] { return Space(); };
    write_back = std::make_unique<WriteBack>(io.get_executor(), clock, background,
                                             WriteBack::Limits{dirty_bytes, 30'000}, hooks);
  }

  asio::awaitable<Result<wire::StatFsReply>> Space() {
    ++looks;
    wire::StatFsReply space;
    space.set_capacity_bytes(1 << 30);
    space.set_free_bytes(free_bytes);
    co_return space;
  }

  asio::awaitable<Result<void>> Store(HeldChange change) {
    ++stores;
    while (holding) co_await released.Wait();
    if (!failures.empty()) {
      const Errc code = failures.front();
      failures.pop_front();
      if (code != Errc::kOk) co_return Fail(code);
    }
    // Bytes before the size: what the size covers must be there.
    std::string blocks = stored;
    blocks.resize(std::max<uint64_t>(blocks.size(), change.end), '\0');
    for (const FilePiece& piece : change.pieces) {
      std::memcpy(blocks.data() + piece.offset, piece.bytes.data(), piece.bytes.size());
    }
    stored = std::move(blocks);
    newest = std::move(change);
    co_return Result<void>();
  }

  template <typename Condition>
  void RunUntil(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it did not happen";
      io.restart();
      io.run_one_for(std::chrono::milliseconds(100));
    }
  }
  void Run(std::function<bool()> until, asio::awaitable<void> work) {
    auto run = [](asio::awaitable<void> inner, bool* done) -> asio::awaitable<void> {
      co_await std::move(inner);
      *done = true;
    };
    Spawn(io.get_executor(), run(std::move(work), &ended), "test");
    RunUntil(until);
  }
  template <typename T>
  Pending<T> Begin(asio::awaitable<T> work) {
    auto pending = std::make_shared<std::optional<T>>();
    auto run = [](Pending<T> into, asio::awaitable<T> inner) -> asio::awaitable<void> {
      T value = co_await std::move(inner);
      into->emplace(std::move(value));
    };
    Spawn(io.get_executor(), run(pending, std::move(work)), "test");
    io.restart();
    io.poll();
    return pending;
  }
  template <typename T>
  T Await(asio::awaitable<T> work) {
    auto pending = Begin(std::move(work));
    RunUntil([&] { return pending->has_value(); });
    return std::move(**pending);
  }

  Deadline Soon(int64_t ms = 30'000) { return Deadline(clock, ms); }
  static WriteBack::Write WriteOf(uint64_t offset, const std::string& bytes) {
    WriteBack::Write write;
    write.offset = offset;
    write.bytes = BufferOf(bytes);
    return write;
  }
  Result<std::optional<uint64_t>> Hold(uint64_t offset, const std::string& bytes) {
    return Await(write_back->Hold(inode, WriteOf(offset, bytes), Soon()));
  }
  std::string Read() {
    std::string under = stored;
    under.resize(attributes.size(), '\0');
    std::vector<Buffer> pieces;
    if (!under.empty()) pieces.push_back(BufferOf(under));
    return Text(Overlaid(0, std::move(pieces), write_back->Within(kFile, 0, attributes.size())));
  }

  asio::io_context io;
  SystemClock clock;
  Background background;
  Event released;
  wire::Attributes attributes;  // as cached under the lease
  std::shared_ptr<Inode> inode;
  bool leased = true;
  bool holding = false;  // stores wait
  bool ended = false;
  int64_t now_ns = 1000;
  std::deque<Errc> failures;  // of the next stores
  std::string stored;
  HeldChange newest;
  int stores = 0;
  int losses = 0;
  int looks = 0;
  uint64_t free_bytes = 1 << 30;
  std::unique_ptr<WriteBack> write_back;
};

TEST_F(WriteBackTest, AnswersAtOnceAndStoresSoon) {
  holding = true;
  ASSERT_TRUE(Hold(0, "abc"));
  ASSERT_TRUE(Hold(3, "def"));

  EXPECT_EQ(stored, "");
  EXPECT_EQ(attributes.size(), 6u);
  EXPECT_EQ(Read(), "abcdef");
  holding = false;
  RunUntil([this] { return write_back->empty(); });
  EXPECT_EQ(stored, "abcdef");
  EXPECT_EQ(stores, 1);
  EXPECT_EQ(write_back->memory_bytes(), 0u);
  EXPECT_FALSE(inode->holds_back);
}

TEST_F(WriteBackTest, GoesThroughWithoutAWriteLeaseAndBesideAPassage) {
  leased = false;
  EXPECT_EQ(*Hold(0, "abc"), std::nullopt);
  leased = true;
  ASSERT_TRUE(*Hold(0, "abc"));

  auto passage = Await(write_back->Pass(inode, Soon()));
  ASSERT_TRUE(passage);
  EXPECT_EQ(stored, "abc");
  EXPECT_EQ(*Hold(0, "xyz"), std::nullopt);
}

TEST_F(WriteBackTest, HoldsNothingBackWhereSpaceRunsLow) {
  ASSERT_TRUE(*Hold(0, "abc"));
  RunUntil([this] { return looks == 1; });
  EXPECT_TRUE(*Hold(3, "def"));

  free_bytes = (1 << 30) / 16 - 1;
  RunUntil([this] { return !*Hold(0, "x"); });
  EXPECT_EQ(looks, 2);
}

TEST_F(WriteBackTest, HoldsNothingBackAfterAServerWasFull) {
  ASSERT_TRUE(*Hold(0, "abc"));
  failures = {Errc::kNoSpace};
  EXPECT_EQ(Await(write_back->Flush(kFile, Soon())).code(), Errc::kNoSpace);

  EXPECT_FALSE(*Hold(0, "abc"));
}

TEST_F(WriteBackTest, TimesGrowAndTheStoredOnesAreThoseThatWereSeen) {
  attributes.set_mtime_ns(5000);
  attributes.set_ctime_ns(5000);
  ASSERT_TRUE(Hold(0, "abc"));
  const int64_t first = attributes.mtime_ns();
  ASSERT_TRUE(Hold(0, "abd"));
  const int64_t second = attributes.mtime_ns();

  EXPECT_GT(first, 5000);
  EXPECT_GT(second, first);
  ASSERT_TRUE(Await(write_back->Flush(kFile, Soon())));
  EXPECT_EQ(newest.attributes.mtime_ns, second);
  EXPECT_EQ(newest.attributes.ctime_ns, second);
}

TEST_F(WriteBackTest, ATimeSetAfterTheWriteStays) {
  ASSERT_TRUE(Hold(0, "abc"));
  {
    auto turn = Await(write_back->BeginSetAttributes(kFile, Soon()));
    ASSERT_TRUE(turn);
    wire::MetaRequest request;
    request.mutable_set_attributes()->set_inode(Raw(kFile));
    request.mutable_set_attributes()->set_mtime_ns(77);
    wire::MetaReply reply;
    *reply.mutable_attributes() = attributes;
    reply.mutable_attributes()->set_mtime_ns(77);
    write_back->Answered(request, reply);
    EXPECT_EQ(reply.attributes().mtime_ns(), 77);
    EXPECT_EQ(reply.attributes().size(), 3u);
  }

  ASSERT_TRUE(Await(write_back->Flush(kFile, Soon())));
  EXPECT_EQ(newest.attributes.mtime_ns, std::nullopt);
  ASSERT_TRUE(Hold(0, "x"));
  ASSERT_TRUE(Await(write_back->Flush(kFile, Soon())));
  EXPECT_TRUE(newest.attributes.mtime_ns);
}

TEST_F(WriteBackTest, AChangeOfAttributesWaitsForTheFlushThatIsUnderWay) {
  ASSERT_TRUE(Hold(0, "abc"));
  holding = true;
  auto flush = Begin(write_back->Flush(kFile, Soon()));

  auto turn = Begin(write_back->BeginSetAttributes(kFile, Soon()));
  EXPECT_FALSE(turn->has_value());
  holding = false;
  released.NotifyAll();
  RunUntil([&] { return turn->has_value(); });
  EXPECT_EQ(stored, "abc");
}

TEST_F(WriteBackTest, SetIdBitsAreSeenToGoWithTheWrite) {
  WriteBack::Write write = WriteOf(0, "abc");
  write.kill_set_ids = true;
  ASSERT_TRUE(Await(write_back->Hold(inode, std::move(write), Soon())));

  EXPECT_EQ(attributes.mode(), S_IFREG | 0755u);
  ASSERT_TRUE(Await(write_back->Flush(kFile, Soon())));
  EXPECT_TRUE(newest.attributes.kill_set_ids);
}

TEST_F(WriteBackTest, AppendsAtTheEndThatIsHeldBack) {
  ASSERT_TRUE(Hold(0, "abc"));
  WriteBack::Write write = WriteOf(99, "def");
  write.append = true;

  const auto at = Await(write_back->Hold(inode, std::move(write), Soon()));

  EXPECT_EQ(*at, 3u);
  EXPECT_EQ(Read(), "abcdef");
}

TEST_F(WriteBackTest, WhatIsWrittenDuringAFlushIsSeenAndStoredByTheNext) {
  ASSERT_TRUE(Hold(0, "aaaa"));
  holding = true;
  auto first = Begin(write_back->Flush(kFile, Soon()));
  ASSERT_TRUE(Hold(1, "bb"));

  EXPECT_EQ(Read(), "abba");
  auto second = Begin(write_back->Flush(kFile, Soon()));
  holding = false;
  released.NotifyAll();
  RunUntil([&] { return second->has_value(); });
  EXPECT_TRUE(**first);
  EXPECT_EQ(stored, "abba");
  EXPECT_EQ(stores, 2);
}

TEST_F(WriteBackTest, AFlushThatFoundNothingLeftLeavesNothingBehind) {
  ASSERT_TRUE(Hold(0, "abc"));
  holding = true;
  auto first = Begin(write_back->Flush(kFile, Soon()));
  auto second = Begin(write_back->Flush(kFile, Soon()));
  holding = false;
  released.NotifyAll();

  RunUntil([&] { return second->has_value(); });

  EXPECT_FALSE(write_back->Holds(kFile));
}

TEST_F(WriteBackTest, AWriterOverTheBoundWaits) {
  write_back.reset();
  Make(64 << 10);
  holding = true;
  ASSERT_TRUE(Hold(0, std::string(50'000, 'a')));

  auto second = Begin(write_back->Hold(inode, WriteOf(50'000, std::string(50'000, 'b')), Soon()));
  EXPECT_FALSE(second->has_value());
  EXPECT_LE(write_back->memory_bytes(), 64u << 10);
  auto third = Begin(write_back->Hold(inode, WriteOf(0, std::string(50'000, 'c')), Soon(1)));
  RunUntil([&] { return third->has_value(); });
  EXPECT_EQ((**third).code(), Errc::kTimedOut);
  holding = false;
  released.NotifyAll();
  RunUntil([&] { return second->has_value(); });
  RunUntil([this] { return write_back->empty(); });
  EXPECT_EQ(stored, std::string(50'000, 'a') + std::string(50'000, 'b'));
}

TEST_F(WriteBackTest, ALossIsToldOnceAHandle) {
  OpenFiles files(io.get_executor());
  OpenMode mode;
  mode.write = true;
  const auto one = files.Add(inode, mode);
  const auto other = files.Add(inode, mode);
  ASSERT_TRUE(Hold(0, "abc"));
  failures = {Errc::kNoSpace};

  EXPECT_EQ(Await(write_back->Flush(kFile, Soon())).code(), Errc::kNoSpace);

  EXPECT_EQ(OpenFiles::TakeWriteError(*one).code(), Errc::kNoSpace);
  EXPECT_TRUE(OpenFiles::TakeWriteError(*one));
  EXPECT_EQ(OpenFiles::TakeWriteError(*other).code(), Errc::kNoSpace);
  EXPECT_TRUE(OpenFiles::TakeWriteError(*files.Add(inode, mode)));
  EXPECT_EQ(losses, 1);
  EXPECT_TRUE(write_back->empty());
}

TEST_F(WriteBackTest, AfterAnErrorThatMayPassTheBytesAreTriedAgain) {
  ASSERT_TRUE(Hold(0, "aaaa"));
  failures = {Errc::kTimedOut};
  EXPECT_EQ(Await(write_back->Flush(kFile, Soon())).code(), Errc::kTimedOut);
  ASSERT_TRUE(Hold(1, "bb"));

  EXPECT_EQ(Read(), "abba");
  EXPECT_EQ(inode->write_errors, 1u);
  RunUntil([this] { return write_back->empty(); });
  EXPECT_EQ(stored, "abba");
  EXPECT_EQ(losses, 0);
}

TEST_F(WriteBackTest, WhatTheSessionLosesIsDroppedAndNothingOfItComesLater) {
  ASSERT_TRUE(Hold(0, "abc"));
  holding = true;
  auto flush = Begin(write_back->Flush(kFile, Soon()));
  failures = {Errc::kFenced};

  write_back->Drop();

  EXPECT_EQ(write_back->memory_bytes(), 0u);
  EXPECT_EQ(losses, 1);
  holding = false;
  released.NotifyAll();
  RunUntil([&] { return flush->has_value(); });
  EXPECT_EQ((**flush).code(), Errc::kFenced);
  EXPECT_EQ(stored, "");
  EXPECT_TRUE(write_back->empty());
}

// Writes, appends, reads, flushes, and flushes that fail, in any order, against a plain string.
TEST_F(WriteBackTest, ReadsWhatWasWrittenWhateverFlushesDo) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::string model = stored;
    for (int i = 0; i < 80; ++i) {
      switch (random() % 6) {
        case 0:
        case 1:
        case 2: {
          const std::string bytes = Noise(1 + random() % 3000, random());
          WriteBack::Write write = WriteOf(random() % 20'000, bytes);
          write.append = random() % 3 == 0;
          const uint64_t at = write.append ? model.size() : write.offset;
          ASSERT_EQ(Await(write_back->Hold(inode, std::move(write), Soon())).operator*(), at);
          model.resize(std::max(model.size(), at + bytes.size()), '\0');
          model.replace(at, bytes.size(), bytes);
          break;
        }
        case 3:
          holding = !holding;
          if (!holding) released.NotifyAll();
          break;
        case 4:
          failures.push_back(random() % 2 == 0 ? Errc::kUnavailable : Errc::kOk);
          break;
        case 5:
          Begin(write_back->Flush(kFile, Soon()));
          break;
      }
      ASSERT_EQ(attributes.size(), model.size());
      ASSERT_EQ(Read(), model) << "step " << i;
    }
    holding = false;
    failures.clear();
    released.NotifyAll();
    ASSERT_TRUE(Await(write_back->Flush(kFile, Soon())));
    ASSERT_EQ(stored, model);
  }
}

}  // namespace
}  // namespace ringfs::client
