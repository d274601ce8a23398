#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "client/report.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/explain.pb.h"

namespace ringfs::cli {
namespace {

constexpr size_t kXattrBytesMax = 64 * 1024;

std::string LocalTime(int64_t wall_ns) {
  const auto seconds = static_cast<std::time_t>(wall_ns / kNsPerSecond);
  std::tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03}", local, wall_ns % kNsPerSecond / kNsPerMs);
}

std::string Where(const std::string& mountpoint, const wire::ErrorStory& story) {
  std::string where = "a file";
  if (story.path().starts_with('?')) {
    where = "..." + Shown(story.path().substr(1));
  } else if (!story.path().empty()) {
    where = (mountpoint == "/" ? "" : Printable(mountpoint)) + Shown(story.path());
  }
  if (story.inode() != 0) where += fmt::format(" (inode {})", story.inode());
  return where;
}

std::string Describe(const std::string& mountpoint, const wire::ErrorStory& story) {
  std::string text = fmt::format("{}  {}  {} of {}\n", LocalTime(story.last_ns()),
                                 Shown(story.errno_name()), Shown(story.operation()),
                                 Where(mountpoint, story));
  std::vector<std::pair<std::string, std::string>> lines;
  if (story.times() > 1) {
    lines.emplace_back("times", fmt::format("{}, the first at {}", story.times(),
                                            LocalTime(story.first_ns())));
  }
  if (story.pid() != 0) lines.emplace_back("process", std::to_string(story.pid()));
  if (story.has_block()) {
    lines.emplace_back("block", fmt::format("{} of data {} in pool {}", story.block().index(),
                                            story.block().data_id(), story.block().pool()));
  }
  for (const wire::AskedServer& asked : story.asked()) {
    lines.emplace_back("asked", Shown(asked.server()) + ": " + Shown(asked.said()));
  }
  // What the servers said is told already.
  if (story.asked().empty()) lines.emplace_back("cause", Shown(story.cause()));
  lines.emplace_back("remedy", Shown(story.remedy()));
  for (auto& line : lines) line.first.insert(0, "  ");
  return text + Labelled(lines);
}

Result<wire::ErrorPage> ReadAll(const ReadErrors& read) {
  wire::ErrorPage all;
  uint64_t known = 0;
  for (bool more = true; more;) {
    const auto value = read(std::string(client::kErrorsAttribute) + std::to_string(known));
    if (!value) return Fail(value.error());
    wire::ErrorPage page;
    if (!page.ParseFromString(*value)) {
      return Fail(Errc::kVersion, "the mount's answer is not understood: it is of another version");
    }
    all.mutable_stories()->MergeFrom(page.stories());
    all.set_forgotten(page.forgotten());
    more = page.more() && page.stories_size() > 0;
    if (more) known = page.stories(page.stories_size() - 1).number();
  }
  return all;
}

}  // namespace

Result<std::string> ReadOfMount(const std::string& mountpoint, const std::string& attribute) {
  std::string value(kXattrBytesMax, '\0');
  const ssize_t size = getxattr(mountpoint.c_str(), attribute.c_str(), value.data(), value.size());
  if (size >= 0) {
    value.resize(static_cast<size_t>(size));
    return value;
  }
  const int number = errno;
  std::string why = std::strerror(number);
  if (number == ENOTCONN) why = "its client has died; mount it again";
  if (number == EACCES) why = "only root and who mounted it may ask it";
  if (number == ENODATA || number == EOPNOTSUPP) why = "its client is of a version without this";
  return Fail(ErrcFromErrno(number), Printable(mountpoint) + ": " + why);
}

Result<std::string> Explain(const std::string& mountpoint, const ReadErrors& read, Output output) {
  const auto all = ReadAll(read);
  if (!all) return Fail(all.error());
  if (output == Output::kJson) {
    Json json = ToJson(*all);
    json.erase("more");
    json["mountpoint"] = mountpoint;
    return ToText(json);
  }
  std::string text;
  if (all->forgotten() > 0) text += Count(all->forgotten(), "older error") + " forgotten\n";
  for (const wire::ErrorStory& story : all->stories()) text += Describe(mountpoint, story);
  return text.empty() ? "no call has failed here for a reason that lies in the cluster\n" : text;
}

}  // namespace ringfs::cli
