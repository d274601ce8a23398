#include <fmt/format.h>

#include <algorithm>

#include "cli/commands/block_survey.h"
#include "cli/commands/check.h"
#include "cli/format.h"
#include "cli/json.h"
#include "common/ring/ring.h"
#include "proto/fsck.pb.h"

namespace ringfs::cli {
namespace {

constexpr uint32_t kFilesAPage = 4096;
constexpr int kSweptAtOnce = 65536;
constexpr size_t kShown = 20;
// Of one file in buckets that nobody serves: which of its blocks hold anything is not known.
constexpr uint64_t kMostBlocksOfAFile = 1 << 20;

struct Orphan {
  BlockSurvey::Content content;
  uint64_t blocks = 0;
  wire::ContentState state = wire::CONTENT_UNKNOWN;
};

struct Comparison {
  uint64_t files = 0;
  uint64_t garbage = 0;  // contents that wait to be removed
  std::vector<Orphan> orphans;
  int64_t lifetime_ms = 0;
  std::map<BlockSurvey::Content, uint64_t> inodes;  // of the content of listed blocks
};

void AddLost(const wire::FileContent& file, BlockSurvey& survey) {
  if (survey.lost_buckets.empty() || file.block_size() == 0) return;
  uint32_t bits = 0;
  for (const wire::Pool& pool : survey.map.pools()) {
    if (pool.id() == file.pool()) bits = pool.bucket_bits();
  }
  const uint64_t blocks =
      std::min((file.size() + file.block_size() - 1) / file.block_size(), kMostBlocksOfAFile);
  for (uint64_t i = 0; i < blocks; ++i) {
    const BlockKey key{PoolId{file.pool()}, DataId{file.data()}, static_cast<uint32_t>(i)};
    const BucketId bucket = BucketOf(key.data, key.index, bits);
    if (!survey.lost_buckets.contains({key.pool, bucket})) continue;
    survey.Add(TroubledBlock{Trouble::kLost, key, "no server serves its bucket"});
  }
}

// The files are asked for after the blocks: a block that was there is of a file that was.
Result<void> ReadFiles(Master& master, BlockSurvey& survey, Comparison& comparison) {
  wire::ListFilesRequest request;
  request.set_limit(kFilesAPage);
  for (;;) {
    const auto page = master.Ask<wire::ListFilesReply>(wire::MASTER_LIST_FILES, request);
    if (!page) return Fail(page.error());
    for (const wire::FileContent& file : page->files()) {
      ++comparison.files;
      const BlockSurvey::Content content{PoolId{file.pool()}, DataId{file.data()}};
      survey.contents.erase(content);
      AddLost(file, survey);
      if (survey.troubled.contains(content)) comparison.inodes[content] = file.inode();
    }
    if (page->end()) return {};
    request.set_after(page->last());
  }
}

// What is left in the survey is in no file; the master says what it is.
Result<void> SweepOrphans(Master& master, const BlockSurvey& survey, Comparison& comparison) {
  auto at = survey.contents.begin();
  do {
    wire::SweepRequest request;
    std::vector<Orphan> asked;
    for (; at != survey.contents.end() && request.contents_size() < kSweptAtOnce; ++at) {
      wire::ContentId& id = *request.add_contents();
      id.set_pool(Raw(at->first.first));
      id.set_data(Raw(at->first.second));
      asked.push_back(Orphan{at->first, at->second});
    }
    const auto reply = master.Ask<wire::SweepReply>(wire::MASTER_SWEEP, request);
    if (!reply) return Fail(reply.error());
    if (reply->states_size() != request.contents_size()) {
      return Fail(Errc::kProtocol, "the master's answer does not fit the question");
    }
    comparison.lifetime_ms = reply->lifetime_ms();
    for (size_t i = 0; i < asked.size(); ++i) {
      asked[i].state = reply->states(static_cast<int>(i));
      if (asked[i].state == wire::CONTENT_GARBAGE) ++comparison.garbage;
      const bool owned =
          asked[i].state == wire::CONTENT_GARBAGE || asked[i].state == wire::CONTENT_LIVE;
      if (!owned) comparison.orphans.push_back(asked[i]);
    }
  } while (at != survey.contents.end());
  return {};
}

std::string_view WordOf(Trouble trouble) {
  switch (trouble) {
    case Trouble::kLost:
      return "lost";
    case Trouble::kUnderReplicated:
      return "under-replicated";
    case Trouble::kDivergent:
      return "divergent";
  }
  return "unknown";
}

std::string_view WordOf(wire::ContentState state) {
  switch (state) {
    case wire::CONTENT_REMOVED:
      return "is being removed now";
    case wire::CONTENT_FOREIGN:
      return "was not made by this master: stays";
    default:
      return "is removed when it is found again later";
  }
}

uint64_t CountOf(const BlockSurvey& survey, Trouble trouble) {
  const auto found = survey.counts.find(trouble);
  return found == survey.counts.end() ? 0 : found->second;
}

std::string Describe(const BlockSurvey& survey, const Comparison& comparison) {
  std::string text = Labelled({
      {"files", std::to_string(comparison.files)},
      {"blocks", fmt::format("{}, stored {} times", survey.blocks, survey.copies)},
      {"lost", std::to_string(CountOf(survey, Trouble::kLost))},
      {"under-replicated", std::to_string(CountOf(survey, Trouble::kUnderReplicated))},
      {"divergent", std::to_string(CountOf(survey, Trouble::kDivergent))},
      {"orphaned", Count(comparison.orphans.size(), "content")},
      {"garbage", Count(comparison.garbage, "deleted file") + " whose blocks are being removed"},
  });
  for (const auto& [server, why] : survey.silent) {
    text += fmt::format("server {} did not answer: {}\n", server, why);
  }
  for (size_t i = 0; i < std::min(kShown, survey.listed.size()); ++i) {
    const TroubledBlock& block = survey.listed[i];
    const auto inode = comparison.inodes.find({block.key.pool, block.key.data});
    text += fmt::format("{}: block {} of data {} (inode {}): {}\n", WordOf(block.trouble),
                        block.key.index, Raw(block.key.data),
                        inode == comparison.inodes.end() ? "none" : std::to_string(inode->second),
                        block.story);
  }
  for (size_t i = 0; i < std::min(kShown, comparison.orphans.size()); ++i) {
    const Orphan& orphan = comparison.orphans[i];
    text += fmt::format("orphaned: data {} with {}, {}\n", Raw(orphan.content.second),
                        Count(orphan.blocks, "block"), WordOf(orphan.state));
  }
  return text;
}

Json FsckJson(const BlockSurvey& survey, const Comparison& comparison, bool clean) {
  Json json;
  json["clean"] = clean;
  json["files"] = comparison.files;
  json["blocks"] = survey.blocks;
  json["copies"] = survey.copies;
  json["lost"] = CountOf(survey, Trouble::kLost);
  json["under_replicated"] = CountOf(survey, Trouble::kUnderReplicated);
  json["divergent"] = CountOf(survey, Trouble::kDivergent);
  json["orphaned"] = comparison.orphans.size();
  json["garbage"] = comparison.garbage;
  json["sweep_lifetime_ms"] = comparison.lifetime_ms;
  json["troubled_blocks"] = Json::array();
  for (const TroubledBlock& block : survey.listed) {
    Json entry;
    entry["trouble"] = std::string(WordOf(block.trouble));
    entry["pool"] = Raw(block.key.pool);
    entry["data"] = Raw(block.key.data);
    entry["index"] = block.key.index;
    const auto inode = comparison.inodes.find({block.key.pool, block.key.data});
    if (inode != comparison.inodes.end()) entry["inode"] = inode->second;
    entry["story"] = block.story;
    json["troubled_blocks"].push_back(std::move(entry));
  }
  json["orphans"] = Json::array();
  for (const Orphan& orphan : comparison.orphans) {
    Json entry;
    entry["pool"] = Raw(orphan.content.first);
    entry["data"] = Raw(orphan.content.second);
    entry["blocks"] = orphan.blocks;
    entry["removed"] = orphan.state == wire::CONTENT_REMOVED;
    json["orphans"].push_back(std::move(entry));
  }
  json["silent_servers"] = Json::array();
  for (const auto& [server, why] : survey.silent) json["silent_servers"].push_back(server);
  return json;
}

}  // namespace

Result<Finding> Fsck(Master& master, Output output, int64_t answer_ms) {
  BlockSurvey survey(master, answer_ms);
  const Result<void> surveyed = survey.Run();
  if (!surveyed) return Fail(surveyed.error());
  Comparison comparison;
  const Result<void> read = ReadFiles(master, survey, comparison);
  if (!read) return Fail(read.error());
  const Result<void> swept = SweepOrphans(master, survey, comparison);
  if (!swept) return Fail(swept.error());
  const bool clean =
      survey.counts.empty() && comparison.orphans.empty() && survey.silent.empty();
  Finding finding;
  finding.text = output == Output::kJson ? ToText(FsckJson(survey, comparison, clean))
                                         : Describe(survey, comparison);
  if (!clean) finding.verdict = Fail(Errc::kCorrupted, "files and blocks do not fit together");
  return finding;
}

}  // namespace ringfs::cli
