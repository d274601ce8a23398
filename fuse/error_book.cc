#include "fuse/error_book.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "client/report.h"

namespace ringfs::fuse {
namespace {

constexpr size_t kCauseBytesMax = 2000;
constexpr size_t kOperationBytesMax = 1100;  // with the name of an attribute
constexpr size_t kPathShownMax = 4096;
constexpr size_t kSaidBytesMax = 400;
constexpr size_t kAskedMax = 16;

// protobuf carries UTF-8 only in its strings; this is ASCII.
std::string Shortened(const std::string& text, size_t most) {
  std::string shown;
  for (const char each : text.substr(0, most)) {
    shown += each >= ' ' && each <= '~' ? each : '?';
  }
  return text.size() > most ? shown + "..." : shown;
}

bool IsSame(const wire::ErrorStory& one, const wire::ErrorStory& other) {
  return one.errno_name() == other.errno_name() && one.operation() == other.operation() &&
         one.inode() == other.inode() && one.path() == other.path() && one.pid() == other.pid() &&
         one.block().SerializeAsString() == other.block().SerializeAsString() &&
         one.remedy() == other.remedy();
}

}  // namespace

bool ErrorBook::Keeps(Errc code) {
  return ToErrno(code) != EINTR && (client::IsTrouble(code) || code == Errc::kStale);
}

void ErrorBook::Add(FailedCall call, const Error& error) {
  wire::ErrorStory story;
  const char* name = strerrorname_np(ToErrno(error.code));
  story.set_errno_name(name == nullptr ? "EIO" : name);
  story.set_operation(Shortened(call.operation, kOperationBytesMax));
  story.set_inode(call.inode);
  story.set_path(Shortened(call.path, kPathShownMax));
  story.set_pid(call.pid);
  story.set_first_ns(call.now_ns);
  story.set_last_ns(call.now_ns);
  story.set_times(1);
  story.set_cause(Shortened(error.ToString(), kCauseBytesMax));
  story.set_remedy(std::string(client::Remedy(error.code)));
  if (error.attempts) {
    story.mutable_block()->set_pool(error.attempts->pool);
    story.mutable_block()->set_data_id(error.attempts->data);
    story.mutable_block()->set_index(error.attempts->index);
    for (const auto& [server, said] : error.attempts->said) {
      if (story.asked_size() == static_cast<int>(kAskedMax)) break;
      wire::AskedServer& asked = *story.add_asked();
      asked.set_server(Shortened(server, kSaidBytesMax));
      asked.set_said(Shortened(said, kSaidBytesMax));
    }
  }
  if (!stories_.empty() && IsSame(stories_.back(), story)) {
    // The newest words, with the time of the first.
    story.set_first_ns(stories_.back().first_ns());
    story.set_times(stories_.back().times() + 1);
    story.set_number(stories_.back().number());
    stories_.back() = std::move(story);
    return;
  }
  story.set_number(++last_number_);
  stories_.push_back(std::move(story));
  if (stories_.size() > stories_max_) stories_.pop_front();
}

wire::ErrorPage ErrorBook::PageAfter(uint64_t known) const {
  wire::ErrorPage page;
  page.set_forgotten(last_number_ - stories_.size());
  size_t bytes = 0;
  for (const wire::ErrorStory& story : stories_) {
    if (story.number() <= known) continue;
    bytes += story.ByteSizeLong() + 8;
    if (bytes > kPageBytesMax) {
      page.set_more(true);
      break;
    }
    *page.add_stories() = story;
  }
  return page;
}

}  // namespace ringfs::fuse
