// What is kept under leases, and held back under write leases, between a client and a fake master.
#include <gmock/gmock.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include <cstring>

#include "client/lease_cache.h"
#include "tests/client/world.h"

namespace ringfs::client {
namespace {

using Operation = wire::MetaRequest::OperationCase;

class CacheTest : public testing::Test {
 protected:
  CacheTest() {
    world.options.caching = true;
    world.master.grants = wire::LEASE_WRITE;
    RINGFS_CHECK(world.Connect());
    world.fs->SetForgetInKernel([this](InodeId inode, bool pages) { return Forget(inode, pages); });
  }

  asio::awaitable<void> Forget(InodeId inode, bool pages) {
    forgotten.emplace_back(inode, pages);
    answers_when_forgotten = world.master.lease_answers.size();
    while (slow_kernel) co_await asio::post(world.io, asio::use_awaitable);
  }

  static InodeId Of(const Opened& file) { return InodeId{file.attributes.inode()}; }
  // Takes the lease away, and waits until that is answered.
  const wire::LeaseAnswer& Recall(InodeId inode, wire::LeaseKind keep = wire::LEASE_NONE) {
    const size_t before = world.master.lease_answers.size();
    world.master.PushRecall(Raw(inode), keep);
    world.RunUntil([&] { return world.master.lease_answers.size() > before; });
    return world.master.lease_answers.back();
  }
  std::string Stored(const Opened& file) const {
    const wire::Attributes& attributes = world.master.files.at(Raw(Of(file)));
    BlockKey key;
    key.pool = PoolId{attributes.pool()};
    key.data = DataId{attributes.data()};
    const auto found = world.blocks.blocks.find(key);
    if (found == world.blocks.blocks.end()) return "";
    const auto* bytes = reinterpret_cast<const char*>(found->second.bytes.data());
    return std::string(bytes, strnlen(bytes, found->second.bytes.size()));
  }
  int Asked() const { return static_cast<int>(world.master.asked.size()); }

  World world;
  std::vector<std::pair<InodeId, bool>> forgotten;
  size_t answers_when_forgotten = 0;
  bool slow_kernel = false;
};

TEST_F(CacheTest, AsksOnceForWhatNobodyChanges) {
  const Opened file = world.Create("a");
  const int before = Asked();

  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(world.Await(world.fs->Lookup(kRootInode, "a", {})));
    EXPECT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));
  }

  EXPECT_EQ(Asked(), before);
  ASSERT_NE(world.fs->Kept(Of(file)), nullptr);
  EXPECT_EQ(world.fs->KeptName(kRootInode, "a"), Of(file));
  EXPECT_GT(world.fs->KeepNs(), 0);
}

TEST_F(CacheTest, AsksForNoExtendedAttributesOfWhatHasNone) {
  const Opened file = world.Create("a");
  world.master.files.at(Raw(Of(file))).set_plain(true);
  const Opened plain = world.Create("a");
  const int before = Asked();

  EXPECT_EQ(world.Await(world.fs->GetXattr(Of(plain), "security.capability")).code(),
            Errc::kNoAttribute);
  EXPECT_TRUE(world.Await(world.fs->ListXattrs(Of(plain)))->empty());
  EXPECT_EQ(Asked(), before);
}

TEST_F(CacheTest, GivesTheLeaseOfAFileBackThatItRemoved) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "held back"));
  ASSERT_TRUE(world.Await(world.fs->Release(file.handle, {})));
  world.master.removed = Raw(Of(file));

  ASSERT_TRUE(world.Await(world.fs->Unlink(kRootInode, "a", {})));

  world.RunUntil([&] { return !world.master.lease_answers.empty(); });
  EXPECT_EQ(world.master.lease_answers.back().inode(), Raw(Of(file)));
  EXPECT_EQ(world.master.lease_answers.back().kept(), wire::LEASE_NONE);
  EXPECT_TRUE(forgotten.empty());
  // Nobody can read what was held back.
  EXPECT_TRUE(world.Await(world.fs->SyncAll()));
  EXPECT_EQ(Stored(file), "");
}

TEST_F(CacheTest, KeepsTheLeaseOfAFileThatItRemovedAndHasOpen) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "held back"));
  world.master.removed = Raw(Of(file));

  ASSERT_TRUE(world.Await(world.fs->Unlink(kRootInode, "a", {})));
  EXPECT_EQ(world.Read(file.handle, 0, 100), "held back");
  EXPECT_TRUE(world.Await(world.fs->SyncAll()));

  EXPECT_TRUE(world.master.lease_answers.empty());
  EXPECT_EQ(Stored(file), "held back");
}

TEST_F(CacheTest, MakesTheKernelForgetNoNamesForADirectoryThatIsGone) {
  const Opened file = world.Create("a");
  world.master.files.at(Raw(Of(file))).set_mode(S_IFDIR | 0755);
  world.master.removed = Raw(Of(file));
  ASSERT_TRUE(world.Await(world.fs->Unlink(kRootInode, "a", {})));

  Recall(Of(file));

  EXPECT_TRUE(forgotten.empty());
}

TEST_F(CacheTest, KeepsThatANameIsAbsentUntilItIsMade) {
  EXPECT_EQ(world.Await(world.fs->Lookup(kRootInode, "a", {})).code(), Errc::kNotFound);
  EXPECT_EQ(world.Await(world.fs->Lookup(kRootInode, "a", {})).code(), Errc::kNotFound);
  EXPECT_EQ(world.master.Count(Operation::kLookup), 1);
  EXPECT_EQ(world.fs->KeptName(kRootInode, "a"), InodeId{0});

  const Opened file = world.Create("a");
  auto found = world.Await(world.fs->Lookup(kRootInode, "a", {}));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->inode(), Raw(Of(file)));

  ASSERT_TRUE(world.Await(world.fs->Unlink(kRootInode, "a", {})));
  EXPECT_EQ(world.Await(world.fs->Lookup(kRootInode, "a", {})).code(), Errc::kNotFound);
  EXPECT_EQ(world.master.Count(Operation::kLookup), 1);
}

TEST_F(CacheTest, ForgetsInTheKernelBeforeItAnswersARecall) {
  const Opened file = world.Create("a");

  const wire::LeaseAnswer answer = Recall(Of(file));

  EXPECT_EQ(answer.kept(), wire::LEASE_NONE);
  ASSERT_EQ(forgotten.size(), 1u);
  EXPECT_EQ(forgotten[0], std::pair(Of(file), true));
  EXPECT_EQ(answers_when_forgotten, 0u);
  EXPECT_EQ(world.fs->Kept(Of(file)), nullptr);
  const int before = Asked();
  EXPECT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));
  EXPECT_EQ(Asked(), before + 1);
}

TEST_F(CacheTest, GivesNothingWhileALeaseIsGoing) {
  const Opened file = world.Create("a");
  slow_kernel = true;
  world.master.PushRecall(Raw(Of(file)), wire::LEASE_NONE);
  world.RunUntil([&] { return !forgotten.empty(); });

  EXPECT_EQ(world.fs->Kept(Of(file)), nullptr);
  EXPECT_EQ(world.Read(file.handle, 0, 4), "");
  EXPECT_FALSE(world.fs->PagesMayStay(file.handle));
  for (const wire::MetaRequest& request : world.master.asked) {
    EXPECT_FALSE(request.get_attributes().for_pages()) << "it would wait for the recall";
  }
  EXPECT_TRUE(world.master.lease_answers.empty());
  slow_kernel = false;
  world.RunUntil([&] { return !world.master.lease_answers.empty(); });
}

TEST_F(CacheTest, TellsWhatItOpenedUnderALeaseWithTheAnswerToTheRecall) {
  const Opened file = world.Create("a");
  const Opened reading = *world.Await(world.fs->Open(Of(file), OpenMode{}, {}));
  const Opened closed = *world.Await(world.fs->Open(Of(file), OpenMode{}, {}));
  const OpenMode write{.read = true, .write = true};
  const Opened writing = *world.Await(world.fs->Open(Of(file), write, {}));
  ASSERT_TRUE(world.Await(world.fs->Release(closed.handle, {})));
  EXPECT_EQ(world.master.Count(Operation::kOpen), 0);
  EXPECT_EQ(world.master.Count(Operation::kClose), 0);

  const wire::LeaseAnswer answer = Recall(Of(file));

  EXPECT_EQ(answer.readers(), 1u);
  EXPECT_EQ(answer.writers(), 1u);
  ASSERT_TRUE(world.Await(world.fs->Release(reading.handle, {})));
  ASSERT_TRUE(world.Await(world.fs->Release(writing.handle, {})));
  EXPECT_EQ(world.master.Count(Operation::kClose), 2);
}

TEST_F(CacheTest, KeepsNoReadLeaseOfWhatItWrites) {
  const Opened file = world.Create("a");
  const OpenMode write{.read = true, .write = true};
  const Opened writing = *world.Await(world.fs->Open(Of(file), write, {}));

  const wire::LeaseAnswer answer = Recall(Of(file), wire::LEASE_READ);
  EXPECT_EQ(answer.kept(), wire::LEASE_NONE);
  EXPECT_EQ(answer.writers(), 1u);

  world.master.grants = wire::LEASE_READ;
  EXPECT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));
  EXPECT_EQ(world.fs->Kept(Of(file)), nullptr);
  ASSERT_TRUE(world.Await(world.fs->Release(writing.handle, {})));
  ASSERT_TRUE(world.Await(world.fs->Release(file.handle, {})));
  EXPECT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));
  EXPECT_NE(world.fs->Kept(Of(file)), nullptr);
}

TEST_F(CacheTest, GivesAReadLeaseBackWhenItOpensForWriting) {
  const Opened created = world.Create("a");
  ASSERT_TRUE(world.Await(world.fs->Release(created.handle, {})));
  Recall(Of(created));
  world.master.grants = wire::LEASE_READ;
  EXPECT_TRUE(world.Await(world.fs->GetAttributes(Of(created))));
  ASSERT_NE(world.fs->Kept(Of(created)), nullptr);
  const size_t answers = world.master.lease_answers.size();

  const OpenMode write{.read = true, .write = true};
  const auto opened = world.Await(world.fs->Open(Of(created), write, {}));
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->uncached);
  world.RunUntil([&] { return world.master.lease_answers.size() > answers; });
  EXPECT_EQ(world.master.lease_answers.back().kept(), wire::LEASE_NONE);
}

TEST_F(CacheTest, OpensForWritingUnderAReadLeaseAtTheMaster) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Await(world.fs->Release(file.handle, {})));
  Recall(Of(file), wire::LEASE_READ);
  world.master.grants = wire::LEASE_READ;
  EXPECT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));

  ASSERT_TRUE(world.Await(world.fs->Open(Of(file), OpenMode{}, {})));
  EXPECT_EQ(world.master.Count(Operation::kOpen), 0);
  const OpenMode write{.read = true, .write = true};
  ASSERT_TRUE(world.Await(world.fs->Open(Of(file), write, {})));
  EXPECT_EQ(world.master.Count(Operation::kOpen), 1);
}

TEST_F(CacheTest, HoldsWritesBackAndStoresThemBeforeARecallIsAnswered) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "hello"));

  EXPECT_TRUE(world.fs->PagesMayStay(file.handle));
  EXPECT_EQ(world.master.Count(Operation::kExtend), 0);
  EXPECT_EQ(Stored(file), "");
  EXPECT_EQ(world.Await(world.fs->GetAttributes(Of(file)))->size(), 5u);
  EXPECT_EQ(world.Read(file.handle, 0, 10), "hello");

  bool stored_first = false;
  world.master.before = [&](const wire::MetaRequest& request) -> std::optional<Error> {
    if (request.has_extend()) stored_first = Stored(file) == "hello";
    return std::nullopt;
  };
  Recall(Of(file));

  EXPECT_TRUE(stored_first);
  EXPECT_EQ(world.master.Count(Operation::kExtend), 1);
  EXPECT_TRUE(world.master.Last(Operation::kExtend)->extend().held_back());
  EXPECT_EQ(world.master.files.at(Raw(Of(file))).size(), 5u);
}

TEST_F(CacheTest, LeavesAReaderTheLeaseWhenOnlyTheWritesAreWanted) {
  const Opened written = world.Create("a");
  const Opened file = *world.Await(world.fs->Open(Of(written), OpenMode{}, {}));
  ASSERT_TRUE(world.Write(written.handle, 0, "hello"));
  ASSERT_TRUE(world.Await(world.fs->Release(written.handle, {})));

  EXPECT_EQ(Recall(Of(file), wire::LEASE_READ).kept(), wire::LEASE_READ);

  EXPECT_EQ(Stored(file), "hello");
  const int before = Asked();
  EXPECT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));
  EXPECT_EQ(Asked(), before + 1) << "what was held back is the master's to say now";
  EXPECT_EQ(world.Read(file.handle, 0, 10), "hello");
  EXPECT_TRUE(world.fs->PagesMayStay(file.handle));
}

TEST_F(CacheTest, StoresWhatIsHeldBackOnFsyncAndSoonAfterAClose) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "hello"));
  ASSERT_TRUE(world.Await(world.fs->Fsync(Of(file), file.handle, false)));
  EXPECT_EQ(Stored(file), "hello");

  ASSERT_TRUE(world.Write(file.handle, 5, " world"));
  ASSERT_TRUE(world.Await(world.fs->Flush(file.handle, 1)));
  world.RunUntil([&] { return Stored(file) == "hello world"; });
}

TEST_F(CacheTest, ReadsASmallFileThatItHasWrittenWithoutAskingForIt) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "hello"));
  ASSERT_TRUE(world.Await(world.fs->SyncAll()));
  ASSERT_TRUE(world.Write(file.handle, 5, " world"));
  ASSERT_TRUE(world.Await(world.fs->SyncAll()));
  ASSERT_EQ(Stored(file), "hello world");

  // Another has no way to change it so.
  world.blocks.blocks.clear();
  EXPECT_EQ(world.Read(file.handle, 0, 100), "hello world");
  ASSERT_TRUE(world.Write(file.handle, 0, "J"));
  EXPECT_EQ(world.Read(file.handle, 0, 5), "Jello");

  // A change that goes past it ends that.
  ASSERT_TRUE(world.Await(world.fs->Fallocate(file.handle, FALLOC_FL_ZERO_RANGE, 0, 1)));
  EXPECT_NE(world.Read(file.handle, 0, 5), "Jello");
}

TEST_F(CacheTest, StoresDirectAndSynchronousWritesBeforeTheyReturn) {
  const Opened direct = world.Create("a", {.read = true, .write = true, .direct = true});
  ASSERT_TRUE(world.Write(direct.handle, 0, "hello"));
  EXPECT_EQ(Stored(direct), "hello");

  const Opened sync = world.Create("b", {.read = true, .write = true, .sync = true});
  ASSERT_TRUE(world.Write(sync.handle, 0, "hello"));
  EXPECT_EQ(Stored(sync), "hello");
}

TEST_F(CacheTest, HoldsChangesOfAttributesBack) {
  const Opened file = world.Create("a");
  AttributeChange change;
  change.mode = 0600;
  change.mtime_ns = 77;
  auto changed = world.Await(world.fs->SetAttributes(Of(file), change, {}));

  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->mode(), S_IFREG | 0600u);
  EXPECT_EQ(world.Await(world.fs->GetAttributes(Of(file)))->mtime_ns(), 77);
  EXPECT_EQ(world.master.Count(Operation::kSetAttributes), 0);
  EXPECT_EQ(world.master.Count(Operation::kExtend), 0);

  Recall(Of(file));
  EXPECT_EQ(world.master.files.at(Raw(Of(file))).mode(), S_IFREG | 0600u);
  EXPECT_EQ(world.master.files.at(Raw(Of(file))).mtime_ns(), 77);
}

TEST_F(CacheTest, HoldsChangesOfAFileBackThatIsNotOpenAnyMore) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Await(world.fs->Release(file.handle, {})));
  AttributeChange change;
  change.mode = 0600;

  ASSERT_TRUE(world.Await(world.fs->SetAttributes(Of(file), change, {})));
  Recall(Of(file));

  EXPECT_EQ(world.master.files.at(Raw(Of(file))).mode(), S_IFREG | 0600u);
}

TEST_F(CacheTest, AppendsAtTheEndThatIsHeldBack) {
  const Opened file = world.Create("a", {.read = true, .write = true, .append = true});

  EXPECT_EQ(*world.Write(file.handle, 0, "hello"), 0u);
  EXPECT_EQ(*world.Write(file.handle, 0, " world"), 5u);

  EXPECT_EQ(world.master.Count(Operation::kBeginAppend), 0);
  EXPECT_EQ(world.Read(file.handle, 0, 20), "hello world");
}

TEST_F(CacheTest, AsksOnceForPagesOfAFileThatHasNoName) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "hello"));
  ASSERT_TRUE(world.Await(world.fs->SyncAll()));
  Recall(Of(file));
  const Opened reader = world.Create("a", OpenMode{.read = true});
  ASSERT_TRUE(world.Await(world.fs->Release(file.handle, {})));
  Recall(Of(file));
  world.master.grants.reset();
  world.master.files.at(Raw(Of(file))).set_links(0);
  const int before = Asked();

  EXPECT_EQ(world.Read(reader.handle, 0, 100), "hello");

  // Once for the pages, and once for a read without a lease.
  EXPECT_LE(Asked(), before + 2);
}

TEST_F(CacheTest, PagesReadWithoutALeaseAreDropped) {
  world.master.grants.reset();
  const Opened written = world.Create("a");
  ASSERT_TRUE(world.Write(written.handle, 0, "hello"));
  EXPECT_FALSE(world.fs->PagesMayStay(written.handle));
  ASSERT_TRUE(world.Await(world.fs->Release(written.handle, {})));
  const Opened file = *world.Await(world.fs->Open(Of(written), OpenMode{}, {}));
  EXPECT_TRUE(file.uncached);
  EXPECT_EQ(world.Read(file.handle, 0, 10), "hello");
  EXPECT_FALSE(world.fs->PagesMayStay(file.handle));

  slow_kernel = true;
  auto first = world.Begin([](Filesystem* fs, InodeId inode) -> asio::awaitable<bool> {
    co_await fs->DropPages(inode);
    co_return true;
  }(world.fs.get(), Of(file)));
  world.AwaitVoid(world.fs->DropPages(Of(file)));
  world.master.grants = wire::LEASE_READ;
  ASSERT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));
  EXPECT_EQ(world.Read(file.handle, 0, 10), "hello");
  EXPECT_FALSE(world.fs->PagesMayStay(file.handle)) << "the kernel may have older ones";
  EXPECT_FALSE(world.fs->KeepsPages(Of(file)));
  slow_kernel = false;
  world.Finish(first);

  EXPECT_EQ(forgotten.size(), 2u) << "what came while the first was under way goes with a second";
  EXPECT_EQ(world.Read(file.handle, 0, 10), "hello");
  EXPECT_TRUE(world.fs->PagesMayStay(file.handle));
}

TEST_F(CacheTest, AnExpiredSessionTakesWhatWasHeldBackWithIt) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "hello"));
  const uint64_t old_session = world.master.session;

  world.master.expired.insert(old_session);
  world.master.peer->Close();
  world.RunUntil([&] { return world.master.session != old_session; });

  EXPECT_EQ(world.Await(world.fs->Write(file.handle, 5, BufferOf("x"), false)).code(),
            Errc::kFenced);
  EXPECT_EQ(world.fs->Kept(Of(file)), nullptr);
  EXPECT_EQ(Stored(file), "");
}

TEST_F(CacheTest, ReturnsWithItsWriteLeases) {
  const Opened file = world.Create("a");
  ASSERT_TRUE(world.Write(file.handle, 0, "hello"));

  world.master.peer->Close();
  world.RunUntil([&] { return world.master.sessions_opened.size() == 2; });

  const wire::OpenSessionRequest& back = world.master.sessions_opened.back();
  EXPECT_TRUE(back.caching());
  EXPECT_THAT(back.writing(), testing::Contains(Raw(Of(file))));
  ASSERT_EQ(back.open_size(), 1);
  EXPECT_EQ(back.open(0).writers(), 1u);
}

TEST_F(CacheTest, TellsAMasterThatRestartedWhenNothingIsLeft) {
  world.master.Restart();
  world.RunUntil([&] { return world.master.all_dropped == 1; });

  world.master.grants = wire::LEASE_READ;
  const Opened file = world.Create("a");
  forgotten.clear();
  slow_kernel = true;
  world.master.Restart();
  world.RunUntil([&] { return !forgotten.empty(); });
  world.master.Restart();
  world.RunUntil([&] { return world.master.sessions_opened.size() == 4; });
  ASSERT_TRUE(world.Await(world.fs->GetAttributes(Of(file))));
  EXPECT_EQ(world.master.all_dropped, 1) << "the kernel still has something";
  EXPECT_EQ(world.fs->Kept(Of(file)), nullptr);

  slow_kernel = false;
  world.RunUntil([&] { return world.master.all_dropped == 2; });
}

// What is known of the names of one directory.
class NamesTest : public testing::Test {
 protected:
  NamesTest() : background(io.get_executor()), leases(io.get_executor(), background, 100, Hooks()) {
    wire::LeaseGrant grant;
    grant.set_inode(Raw(kDirectory));
    grant.set_kind(wire::LEASE_READ);
    grant.set_number(1);
    RINGFS_CHECK(leases.Take(grant));
  }

  LeaseHooks Hooks() {
    LeaseHooks hooks;
    hooks.wants_read = [](InodeId) { return true; };
    hooks.dropped = [this](InodeId inode) { cache.Drop(inode); };
    hooks.forget_in_kernel = [](InodeId, bool) -> asio::awaitable<void> { co_return; };
    return hooks;
  }
  void List(uint64_t cookie, const std::vector<std::string>& names, bool end) {
    wire::ReadDirectory asked;
    asked.set_inode(Raw(kDirectory));
    asked.set_cookie(cookie);
    wire::MetaReply page;
    for (const std::string& name : names) {
      wire::Entry& entry = *page.add_entries();
      entry.set_name(name);
      entry.set_inode(10 + cookie);
      entry.set_cookie(++cookie);
    }
    page.set_end(end);
    cache.KeepListing(asked, page);
  }
  // 0: it is absent; nothing: not known.
  std::optional<uint64_t> Find(const std::string& name) {
    const auto found = cache.Name(kDirectory, name);
    return found ? std::optional<uint64_t>(Raw(*found)) : std::nullopt;
  }

  static constexpr InodeId kDirectory{7};
  static constexpr auto kNotKnown = std::optional<uint64_t>();
  asio::io_context io;
  Background background;
  Leases leases;
  LeaseCache cache{leases, 4};
};

TEST_F(NamesTest, ADirectoryJustMadeIsKnownToBeEmpty) {
  EXPECT_EQ(Find("a"), kNotKnown);
  cache.KeepEmpty(kDirectory);
  EXPECT_EQ(Find("a"), 0u);

  cache.KeepName(kDirectory, "a", InodeId{9});
  EXPECT_EQ(Find("a"), 9u);
  cache.KeepName(kDirectory, "a", InodeId{0});
  EXPECT_EQ(Find("a"), 0u);
  // Of these the master says more than that they are not there.
  EXPECT_EQ(Find(".."), kNotKnown);
  EXPECT_EQ(Find(std::string(256, 'x')), kNotKnown);
}

TEST_F(NamesTest, AListingFromBeginningToEndTellsWhatIsNotThere) {
  List(0, {"a", "b"}, false);
  EXPECT_EQ(Find("a"), 10u);
  EXPECT_EQ(Find("c"), kNotKnown);
  List(2, {"c"}, true);
  EXPECT_EQ(Find("c"), 12u);
  EXPECT_EQ(Find("d"), 0u);
}

TEST_F(NamesTest, AListingWithAGapTellsNothingOfTheRest) {
  List(0, {"a"}, false);
  List(2, {"c"}, true);
  EXPECT_EQ(Find("d"), kNotKnown);
}

TEST_F(NamesTest, ANameThatIsDroppedIsNotTakenForAbsent) {
  List(0, {"a"}, false);
  cache.DropName(kDirectory, "a");
  List(1, {"b"}, true);
  EXPECT_EQ(Find("a"), kNotKnown);
  cache.DropName(kDirectory, "b");
  EXPECT_EQ(Find("b"), kNotKnown);
  EXPECT_EQ(Find("c"), 0u);
}

TEST_F(NamesTest, AListingIsNotAskedForBehindItsEnd) {
  EXPECT_FALSE(cache.EndsAt(kDirectory, 0));
  List(0, {"a", "b"}, true);
  EXPECT_FALSE(cache.EndsAt(kDirectory, 1));
  EXPECT_TRUE(cache.EndsAt(kDirectory, 2));
  List(2, {}, true);
  EXPECT_TRUE(cache.EndsAt(kDirectory, 2));
  cache.Grew(kDirectory);
  EXPECT_FALSE(cache.EndsAt(kDirectory, 2));

  cache.KeepEmpty(kDirectory);
  EXPECT_TRUE(cache.EndsAt(kDirectory, 0));
}

TEST_F(NamesTest, ADirectoryOfMoreNamesThanMayBeKeptIsNotKnownAsAWhole) {
  cache.KeepEmpty(kDirectory);
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    cache.KeepName(kDirectory, name, InodeId{9});
  }
  EXPECT_EQ(Find("x"), kNotKnown);
  List(0, {"a", "b", "c", "d", "e", "f"}, true);
  EXPECT_EQ(Find("x"), kNotKnown);
}

TEST_F(NamesTest, WithTheLeaseAllIsForgotten) {
  cache.KeepEmpty(kDirectory);
  leases.DropAll();
  EXPECT_EQ(Find("a"), kNotKnown);
}

}  // namespace
}  // namespace ringfs::client
