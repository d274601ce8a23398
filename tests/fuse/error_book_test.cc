#include "fuse/error_book.h"

#include <gtest/gtest.h>

namespace ringfs::fuse {
namespace {

FailedCall CallOf(const char* operation, uint64_t inode, int64_t now_ns) {
  FailedCall call;
  call.operation = operation;
  call.inode = inode;
  call.path = "/folder/file";
  call.pid = 5;
  call.now_ns = now_ns;
  return call;
}

Error LostBlock() {
  auto attempts = std::make_shared<Attempts>();
  attempts->pool = 1;
  attempts->data = 77;
  attempts->index = 3;
  attempts->said = {{"2 (10.0.0.2:4701)", "Unavailable: connection refused"},
                    {"3 (10.0.0.3:4701)", "Corrupted: checksum"}};
  return Error{Errc::kTimedOut, "read of block 3", attempts};
}

TEST(ErrorBookTest, KeepsWhatIsTheClustersFault) {
  EXPECT_TRUE(ErrorBook::Keeps(Errc::kIo));
  EXPECT_TRUE(ErrorBook::Keeps(Errc::kTimedOut));
  EXPECT_TRUE(ErrorBook::Keeps(Errc::kNoSpace));
  EXPECT_TRUE(ErrorBook::Keeps(Errc::kStale));
  EXPECT_TRUE(ErrorBook::Keeps(Errc::kFenced));
  EXPECT_FALSE(ErrorBook::Keeps(Errc::kNotFound));
  EXPECT_FALSE(ErrorBook::Keeps(Errc::kInterrupted));
  EXPECT_FALSE(ErrorBook::Keeps(Errc::kCancelled));
}

TEST(ErrorBookTest, TellsTheWholeStory) {
  ErrorBook book;
  book.Add(CallOf("read", 12, 100), LostBlock());

  const wire::ErrorPage page = book.PageAfter(0);

  ASSERT_EQ(page.stories_size(), 1);
  const wire::ErrorStory& story = page.stories(0);
  EXPECT_EQ(story.number(), 1u);
  EXPECT_EQ(story.errno_name(), "ETIMEDOUT");
  EXPECT_EQ(story.operation(), "read");
  EXPECT_EQ(story.path(), "/folder/file");
  EXPECT_EQ(story.inode(), 12u);
  EXPECT_EQ(story.pid(), 5);
  EXPECT_EQ(story.block().data_id(), 77u);
  EXPECT_EQ(story.block().index(), 3u);
  ASSERT_EQ(story.asked_size(), 2);
  EXPECT_EQ(story.asked(1).server(), "3 (10.0.0.3:4701)");
  EXPECT_EQ(story.asked(1).said(), "Corrupted: checksum");
  EXPECT_EQ(story.cause(), "TimedOut: read of block 3");
  EXPECT_FALSE(story.remedy().empty());
  EXPECT_FALSE(page.more());
}

TEST(ErrorBookTest, CountsRepetitions) {
  ErrorBook book;
  book.Add(CallOf("read", 12, 100), LostBlock());
  book.Add(CallOf("read", 12, 300), LostBlock());
  book.Add(CallOf("read", 13, 400), LostBlock());

  const wire::ErrorPage page = book.PageAfter(0);

  ASSERT_EQ(page.stories_size(), 2);
  EXPECT_EQ(page.stories(0).times(), 2u);
  EXPECT_EQ(page.stories(0).first_ns(), 100);
  EXPECT_EQ(page.stories(0).last_ns(), 300);
  EXPECT_EQ(page.stories(1).times(), 1u);
}

TEST(ErrorBookTest, ForgetsTheOldest) {
  ErrorBook book(3);
  for (uint64_t i = 1; i <= 5; ++i) book.Add(CallOf("write", i, 0), Error{Errc::kNoSpace, "full"});

  const wire::ErrorPage page = book.PageAfter(0);

  ASSERT_EQ(page.stories_size(), 3);
  EXPECT_EQ(page.stories(0).number(), 3u);
  EXPECT_EQ(page.forgotten(), 2u);
}

TEST(ErrorBookTest, PagesFitAnAttributeAndTellAll) {
  ErrorBook book;
  auto attempts = std::make_shared<Attempts>();
  attempts->said.assign(100, {std::string(5000, 's'), std::string(5000, '\xff')});
  for (uint64_t i = 1; i <= 50; ++i) {
    FailedCall call = CallOf("write", i, 0);
    call.path = std::string(10'000, 'p');
    book.Add(std::move(call), Error{Errc::kIo, std::string(100'000, 'd'), attempts});
  }

  uint64_t known = 0;
  uint64_t told = 0;
  bool more = true;
  while (more) {
    const wire::ErrorPage page = book.PageAfter(known);
    ASSERT_GT(page.stories_size(), 0);
    EXPECT_LE(page.ByteSizeLong(), 64u * 1024);
    for (const wire::ErrorStory& story : page.stories()) {
      EXPECT_EQ(story.number(), ++told);
      EXPECT_LE(story.ByteSizeLong(), ErrorBook::kStoryBytesMax);
    }
    known = told;
    more = page.more();
  }
  EXPECT_EQ(told, 50u);
}

}  // namespace
}  // namespace ringfs::fuse
