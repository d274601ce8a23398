#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/ring/ring.h"

namespace ringfs::cli {
namespace {

constexpr uint64_t kBlocksShown = 32;
constexpr uint64_t kBlocksMax = 1 << 20;

// What the master has said about a file and the cluster.
struct Place {
  std::string path;
  wire::Attributes attributes;
  std::map<uint32_t, wire::Server> servers;
  std::vector<wire::Bucket> buckets;  // of the file's pool, by number
  uint32_t bucket_bits = 0;
  uint64_t blocks = 0;  // from the start to the end of the file, holes counted
  uint64_t shown = 0;

  BucketId BucketAt(uint64_t block) const {
    return BucketOf(DataId{attributes.data()}, static_cast<uint32_t>(block), bucket_bits);
  }
};

// -1: no member serves.
int HeadOf(const wire::Bucket& bucket) {
  for (int i = 0; i < bucket.servers_size() && i < bucket.states_size(); ++i) {
    if (bucket.states(i) == wire::MEMBER_SERVING) return i;
  }
  return -1;
}

std::string StateOf(const wire::Bucket& bucket, int member) {
  if (member >= bucket.states_size()) return "unknown";
  switch (bucket.states(member)) {
    case wire::MEMBER_SERVING:
      return "serving";
    case wire::MEMBER_SYNCING:
      return "syncing";
    case wire::MEMBER_OFFLINE:
      return "offline";
    default:
      return "unknown";
  }
}

Result<void> TakeTable(const wire::ClusterMap& map, Place* place) {
  for (const wire::Server& server : map.servers()) place->servers[server.id()] = server;
  const wire::Pool* pool = nullptr;
  for (const wire::Pool& one : map.pools()) {
    if (one.id() == place->attributes.pool()) pool = &one;
  }
  if (pool == nullptr || pool->bucket_bits() > kMaxBucketBits) {
    return Fail(Errc::kProtocol, fmt::format("the cluster's map has no pool {} that can be used",
                                             place->attributes.pool()));
  }
  place->bucket_bits = pool->bucket_bits();
  place->buckets.resize(size_t{1} << pool->bucket_bits());
  for (const wire::BucketTable& table : map.tables()) {
    if (table.pool() != pool->id()) continue;
    for (const wire::Bucket& bucket : table.buckets()) {
      if (bucket.id() < place->buckets.size()) place->buckets[bucket.id()] = bucket;
    }
  }
  return {};
}

Result<Place> Find(Master& master, const std::string& path, bool all) {
  wire::WhereRequest request;
  request.set_path(path);
  const auto reply = master.Ask<wire::WhereReply>(wire::MASTER_WHERE, request);
  if (!reply) return Fail(reply.code(), Printable(path) + ": " + reply.error().detail);
  const auto map = master.Ask<wire::ClusterMap>(wire::MASTER_GET_MAP, wire::GetMapRequest());
  if (!map) return Fail(map.error());
  Place place;
  place.path = path;
  place.attributes = reply->attributes();
  if (place.attributes.data() == 0) return place;
  if (place.attributes.block_size() == 0) {
    return Fail(Errc::kProtocol, "the master says that blocks have no size");
  }
  const Result<void> taken = TakeTable(*map, &place);
  if (!taken) return Fail(taken.error());
  const uint64_t size = place.attributes.size();
  const uint64_t block_size = place.attributes.block_size();
  place.blocks = size / block_size + (size % block_size != 0 ? 1 : 0);
  place.shown = std::min(place.blocks, all ? kBlocksMax : kBlocksShown);
  return place;
}

std::string Members(const Place& place, const wire::Bucket& bucket) {
  const int head = HeadOf(bucket);
  std::string text;
  for (int i = 0; i < bucket.servers_size(); ++i) {
    const auto server = place.servers.find(bucket.servers(i));
    text += fmt::format("{}{} {} {}", i == 0 ? "" : ", ", bucket.servers(i),
                        server == place.servers.end() ? "-" : Shown(server->second.address()),
                        i == head ? "head" : StateOf(bucket, i));
  }
  return text.empty() ? "none yet" : text;
}

std::string Describe(const Place& place) {
  const wire::Attributes& file = place.attributes;
  std::string text = Labelled({
      {"path", Printable(place.path)},
      {"inode", std::to_string(file.inode())},
      {"data id", std::to_string(file.data())},
      {"size", fmt::format("{} ({} bytes)", Bytes(file.size()), file.size())},
  });
  if (file.data() == 0) return text + "it has no content, so there are no blocks\n";
  text += fmt::format("blocks   {} of {}\n", place.blocks, Bytes(file.block_size()));
  if (place.blocks == 0) return text;
  using Align = Table::Align;
  Table table({{"BLOCK", Align::kRight},
               {"OFFSET", Align::kRight},
               {"BUCKET", Align::kRight},
               {"VERSION", Align::kRight},
               {"MEMBERS (server, address, state)"}});
  for (uint64_t block = 0; block < place.shown; ++block) {
    const uint32_t id = Raw(place.BucketAt(block));
    const wire::Bucket& bucket = place.buckets[id];
    table.Add({std::to_string(block), std::to_string(block * file.block_size()), std::to_string(id),
               std::to_string(bucket.version()), Members(place, bucket)});
  }
  text += "\n" + table.ToString();
  if (place.shown < place.blocks) {
    text += fmt::format("and {}{}\n", Count(place.blocks - place.shown, "more block"),
                        place.shown == kBlocksMax ? "" : " (--all shows them)");
  }
  return text;
}

Json JsonOf(const Place& place) {
  Json json;
  json["path"] = Printable(place.path);
  json["attributes"] = cli::ToJson(place.attributes);
  json["block_count"] = place.blocks;
  Json& blocks = json["blocks"] = Json::array();
  for (uint64_t index = 0; index < place.shown; ++index) {
    const uint32_t id = Raw(place.BucketAt(index));
    const wire::Bucket& bucket = place.buckets[id];
    const int head = HeadOf(bucket);
    Json block;
    block["index"] = index;
    block["offset"] = index * place.attributes.block_size();
    block["bucket"] = id;
    block["version"] = bucket.version();
    Json& members = block["members"] = Json::array();
    for (int i = 0; i < bucket.servers_size(); ++i) {
      const auto server = place.servers.find(bucket.servers(i));
      Json member;
      member["server"] = bucket.servers(i);
      member["address"] = server == place.servers.end() ? "" : server->second.address();
      member["state"] = StateOf(bucket, i);
      member["head"] = i == head;
      members.push_back(std::move(member));
    }
    blocks.push_back(std::move(block));
  }
  return json;
}

}  // namespace

Result<std::string> ShowWhere(Master& master, const std::string& path, bool all, Output output) {
  const Result<Place> place = Find(master, path, all);
  if (!place) return Fail(place.error());
  return output == Output::kText ? Describe(*place) : ToText(JsonOf(*place));
}

}  // namespace ringfs::cli
