#include <sys/stat.h>

#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

constexpr uint64_t kMaxSize = uint64_t{4 << 20} << 32;

class ContentTest : public testing::Test {
 protected:
  Outcome Create(std::string_view name, bool exclusive, bool truncate, bool writing) {
    wire::MetaRequest request;
    wire::Create& create = *request.mutable_create();
    create.set_parent(kRoot);
    create.set_name(name.data(), name.size());
    create.set_mode(0644);
    create.set_exclusive(exclusive);
    create.set_truncate(truncate);
    create.set_writing(writing);
    return master_.Do(request);
  }

  Outcome Claim(uint64_t session) {
    wire::MetaRequest request;
    request.mutable_claim_cut()->set_inode(file_);
    return master_.Do(request, session);
  }

  Outcome End(uint64_t session, std::vector<uint64_t> writing = {}) {
    wire::Command command;
    command.mutable_end_session()->set_session(session);
    for (uint64_t inode : writing) command.mutable_end_session()->add_writing(inode);
    return master_.Apply(command);
  }

  TestMaster master_;
  uint64_t file_ = master_.MakeFile(kRoot, "f");
  uint64_t other_ = master_.OpenSession();
};

TEST_F(ContentTest, TakesWhatWasHeldBackAsItWas) {
  const wire::Attributes before = master_.Attributes(file_);
  wire::MetaRequest request;
  wire::Extend& extend = *request.mutable_extend();
  extend.set_inode(file_);
  extend.set_data(before.data());
  extend.set_generation(before.generation());
  extend.set_end(100);
  extend.set_held_back(true);
  extend.set_mtime_ns(77);
  extend.set_ctime_ns(before.ctime_ns() + 5);
  extend.set_mode(04711);
  extend.set_uid(9);
  extend.set_gid(8);
  extend.set_atime_ns(66);
  const wire::Attributes after = master_.Do(request).reply.attributes();

  EXPECT_EQ(after.size(), 100u);
  EXPECT_EQ(after.mtime_ns(), 77);
  EXPECT_EQ(after.atime_ns(), 66);
  EXPECT_EQ(after.ctime_ns(), before.ctime_ns() + 5);
  EXPECT_EQ(after.mode(), S_IFREG | 04711u) << "the owner was changed before the mode";
  EXPECT_EQ(after.uid(), 9u);
  EXPECT_EQ(after.gid(), 8u);
  EXPECT_EQ(master_.Attributes(file_).SerializeAsString(), after.SerializeAsString());

  // An older one: time does not go back, what is not named stays.
  extend.clear_mtime_ns();
  extend.clear_mode();
  extend.set_ctime_ns(1);
  const wire::Attributes again = master_.Do(request).reply.attributes();
  EXPECT_EQ(again.mtime_ns(), 77);
  EXPECT_EQ(again.ctime_ns(), after.ctime_ns());
  EXPECT_EQ(again.mode(), after.mode());
}

TEST_F(ContentTest, GrowsByExtend) {
  const wire::Attributes grown = master_.Extend(file_, 100).reply.attributes();
  EXPECT_EQ(grown.size(), 100u);
  EXPECT_EQ(grown.mtime_ns(), master_.now_ns());
  EXPECT_EQ(master_.Extend(file_, 50).reply.attributes().size(), 100u);
  EXPECT_EQ(master_.Extend(file_, 0).reply.attributes().size(), 100u);
  EXPECT_EQ(master_.machine().statistics().files_bytes, 100u);
}

TEST_F(ContentTest, RefusesAnExtendOfOtherContent) {
  wire::MetaRequest request;
  request.mutable_extend()->set_inode(file_);
  request.mutable_extend()->set_data(master_.Attributes(file_).data() + 1);
  request.mutable_extend()->set_generation(1);
  EXPECT_EQ(master_.Do(request).error, Errc::kStale);
  request.mutable_extend()->set_data(master_.Attributes(file_).data());
  request.mutable_extend()->set_generation(2);
  EXPECT_EQ(master_.Do(request).error, Errc::kStale);
}

TEST_F(ContentTest, HasALargestSize) {
  EXPECT_EQ(master_.Resize(file_, kMaxSize + 1).error, Errc::kFileTooLarge);
  EXPECT_EQ(master_.Extend(file_, kMaxSize + 1).error, Errc::kFileTooLarge);
  EXPECT_EQ(master_.Resize(file_, kMaxSize).error, Errc::kOk);
}

TEST_F(ContentTest, IsOnlyOfRegularFiles) {
  EXPECT_EQ(master_.Resize(kRoot, 5).error, Errc::kIsDirectory);
  uint64_t pipe = master_.MakeNode(kRoot, "p", S_IFIFO | 0600).reply.attributes().inode();
  EXPECT_EQ(master_.Resize(pipe, 5).error, Errc::kInvalid);
}

TEST_F(ContentTest, IsNewAfterTruncationToZero) {
  master_.Extend(file_, 100);
  const wire::Attributes before = master_.Attributes(file_);
  Outcome outcome = master_.Resize(file_, 0);
  const wire::Attributes& after = outcome.reply.attributes();
  EXPECT_NE(after.data(), before.data());
  EXPECT_GT(after.generation(), before.generation());
  EXPECT_EQ(after.size(), 0u);
  EXPECT_FALSE(after.has_cut());
  EXPECT_TRUE(outcome.events.garbage_added);
  EXPECT_EQ(master_.machine().Garbage(0, 9)->at(0).data(), before.data());
  EXPECT_EQ(master_.machine().statistics().files_bytes, 0u);

  EXPECT_EQ(master_.Resize(file_, 0).reply.attributes().data(), after.data());
}

TEST_F(ContentTest, WaitsForACutBeforeItGrows) {
  master_.Extend(file_, 100);
  const wire::Attributes cut = master_.Resize(file_, 60).reply.attributes();
  EXPECT_EQ(cut.cut().session(), master_.session());
  EXPECT_EQ(cut.cut().from(), 60u);
  EXPECT_EQ(cut.generation(), 2u);

  EXPECT_EQ(master_.Extend(file_, 60, other_).error, Errc::kOk);
  for (const Outcome& outcome :
       {master_.Extend(file_, 61, other_), master_.Resize(file_, 61, other_),
        master_.Resize(file_, 10, other_), Claim(other_)}) {
    EXPECT_TRUE(outcome.held);
    EXPECT_EQ(outcome.held_for, InodeId{file_});
  }
  EXPECT_EQ(Claim(master_.session()).error, Errc::kOk);
  Outcome done = master_.CutDone(file_);
  EXPECT_THAT(done.events.cuts_settled, testing::ElementsAre(InodeId{file_}));
  EXPECT_FALSE(done.reply.attributes().has_cut());
  EXPECT_EQ(done.reply.attributes().generation(), 3u);
  EXPECT_EQ(master_.Extend(file_, 61, other_).error, Errc::kOk);
}

TEST_F(ContentTest, TruncationToZeroEndsACut) {
  master_.Extend(file_, 100);
  uint64_t generation = master_.Resize(file_, 60).reply.attributes().generation();
  Outcome outcome = master_.Resize(file_, 0, other_);
  EXPECT_THAT(outcome.events.cuts_settled, testing::ElementsAre(InodeId{file_}));
  // The cut that was overtaken is reported too late, and harms nobody.
  wire::MetaRequest request;
  request.mutable_cut_done()->set_inode(file_);
  request.mutable_cut_done()->set_generation(generation);
  EXPECT_EQ(master_.Do(request).error, Errc::kOk);
  EXPECT_EQ(master_.Extend(file_, 10, other_).error, Errc::kOk);
}

TEST_F(ContentTest, ACutOfASessionThatEndedIsClaimed) {
  master_.Extend(file_, 100);
  master_.Resize(file_, 60, other_);
  Outcome ended = End(other_);
  EXPECT_THAT(ended.events.cuts_settled, testing::ElementsAre(InodeId{file_}));
  Outcome refused = master_.Extend(file_, 61);
  EXPECT_EQ(refused.error, Errc::kBusy);
  EXPECT_FALSE(refused.held);
  master_.Reopen();
  EXPECT_EQ(Claim(0).reply.attributes().cut().session(), master_.session());
  master_.CutDone(file_);
  EXPECT_EQ(master_.Extend(file_, 61).error, Errc::kOk);
}

TEST_F(ContentTest, GetsACutWhenAWriterExpires) {
  master_.Extend(file_, 100);
  uint64_t empty = master_.MakeFile(kRoot, "empty");
  uint64_t data = master_.Attributes(empty).data();
  End(other_, {file_, empty, kRoot, 999});

  const wire::Attributes cut = master_.Attributes(file_);
  EXPECT_EQ(cut.cut().session(), 0u);
  EXPECT_EQ(cut.cut().from(), 100u);
  EXPECT_EQ(cut.generation(), 2u);
  EXPECT_NE(master_.Attributes(empty).data(), data);
  EXPECT_FALSE(master_.Attributes(kRoot).has_cut());
}

TEST_F(ContentTest, IsCutTwiceWhenAWriterExpiresDuringACut) {
  master_.Extend(file_, 100);
  master_.Resize(file_, 60);
  End(other_, {file_});
  EXPECT_EQ(master_.Attributes(file_).cut().session(), master_.session());
  master_.CutDone(file_);
  EXPECT_EQ(master_.Attributes(file_).cut().session(), 0u);
  Claim(0);
  EXPECT_FALSE(master_.CutDone(file_).reply.attributes().has_cut());
}

TEST_F(ContentTest, CreateOpensWhatExists) {
  Outcome made = Create("new", false, false, true);
  EXPECT_TRUE(made.reply.created());
  uint64_t inode = made.reply.attributes().inode();
  master_.Extend(inode, 10);
  EXPECT_EQ(Create("new", true, false, true).error, Errc::kExists);
  Outcome again = Create("new", false, false, false);
  EXPECT_FALSE(again.reply.created());
  EXPECT_EQ(again.reply.attributes().inode(), inode);
  EXPECT_EQ(again.reply.attributes().size(), 10u);
  EXPECT_EQ(Create("new", false, true, true).reply.attributes().size(), 0u);
  master_.MakeDirectory(kRoot, "d");
  EXPECT_EQ(Create("d", false, false, true).error, Errc::kIsDirectory);
  master_.MakeNode(kRoot, "l", S_IFLNK, "x");
  EXPECT_EQ(Create("l", false, false, true).error, Errc::kStale);

  OpenTable::Handles handles =
      master_.machine().opens().Of(SessionId{master_.session()}, InodeId{inode});
  EXPECT_EQ(handles.writers, 2u);
  EXPECT_EQ(handles.readers, 1u);
}

TEST_F(ContentTest, CreateDoesNotOpenWhatTheCallerMayNot) {
  Create("new", false, false, true);
  master_.who().set_uid(1000);
  EXPECT_EQ(Create("new", false, false, true).error, Errc::kStale);
  EXPECT_EQ(Create("new", false, false, false).error, Errc::kOk);
}

TEST_F(ContentTest, OpenTruncates) {
  master_.Extend(file_, 10);
  wire::MetaRequest request;
  request.mutable_open()->set_inode(file_);
  request.mutable_open()->set_writing(true);
  request.mutable_open()->set_truncate(true);
  EXPECT_EQ(master_.Do(request).reply.attributes().size(), 0u);
  EXPECT_TRUE(master_.machine().opens().IsOpen(InodeId{file_}));
}

}  // namespace
}  // namespace ringfs::master
