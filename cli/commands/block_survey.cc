#include "cli/commands/block_survey.h"

#include <fmt/format.h>

#include <algorithm>

#include "proto/session.pb.h"

namespace ringfs::cli {
namespace {

constexpr uint32_t kInspectedAtOnce = 4096;
constexpr int kLooks = 5;
constexpr int64_t kLookAgainMs = 200;
constexpr int kBucketTries = 3;

BlockKey KeyOf(const wire::BlockId& id) {
  return BlockKey{PoolId{id.pool()}, DataId{id.data()}, id.index()};
}

wire::BlockId IdOf(const BlockKey& key) {
  wire::BlockId id;
  id.set_pool(Raw(key.pool));
  id.set_data(Raw(key.data));
  id.set_index(key.index);
  return id;
}

bool SameContent(const wire::BlockInfo& a, const wire::BlockInfo& b) {
  return a.version().bucket_version() == b.version().bucket_version() &&
         a.version().counter() == b.version().counter() && a.length() == b.length() &&
         a.digest() == b.digest();
}

// On a serving member a block that is not there is a hole: what others have must be there too.
bool Equal(const std::map<uint32_t, wire::BlockInfo>& copies, size_t members) {
  return copies.empty() ||
         (copies.size() == members &&
          std::all_of(copies.begin(), copies.end(), [&](const auto& copy) {
            return SameContent(copy.second, copies.begin()->second);
          }));
}

std::string StoryOf(const std::map<uint32_t, wire::BlockInfo>& copies) {
  std::string story;
  for (const auto& [server, info] : copies) {
    story += fmt::format("{}server {} has version {}.{}, {} bytes{}", story.empty() ? "" : "; ",
                         server, info.version().bucket_version(), info.version().counter(),
                         info.length(), info.rotten() ? ", rotten" : "");
  }
  return story;
}

}  // namespace

void BlockSurvey::Add(TroubledBlock block) {
  ++counts[block.trouble];
  if (listed.size() == kListed) return;
  troubled.insert({block.key.pool, block.key.data});
  listed.push_back(std::move(block));
}

Result<void> BlockSurvey::RefreshMap() {
  auto fresh = master_.Ask<wire::ClusterMap>(wire::MASTER_GET_MAP, wire::GetMapRequest());
  if (!fresh) return Fail(fresh.error());
  map = std::move(*fresh);
  return {};
}

const wire::Bucket* BlockSurvey::Find(uint32_t pool, uint32_t bucket) const {
  for (const wire::BucketTable& table : map.tables()) {
    if (table.pool() != pool) continue;
    for (const wire::Bucket& candidate : table.buckets()) {
      if (candidate.id() == bucket) return &candidate;
    }
  }
  return nullptr;
}

Result<wire::InspectReply> BlockSurvey::Ask(uint32_t server, const wire::InspectRequest& request) {
  std::unique_ptr<Master>& connection = servers_[server];
  if (!connection) {
    std::vector<std::string> addresses;
    for (const wire::Server& known : map.servers()) {
      if (known.id() == server) addresses.push_back(known.address());
    }
    if (addresses.empty()) return Fail(Errc::kNotFound, "the map does not have it");
    connection = std::make_unique<Master>(std::move(addresses), answer_ms_,
                                          fmt::format("chunkserver {}", server));
  }
  return connection->Ask<wire::InspectReply>(wire::CHUNK_INSPECT, request);
}

// What one server has of the bucket, into its column of `table`.
Result<void> BlockSurvey::AddAll(uint32_t server, wire::InspectRequest request, Table& table) {
  request.set_limit(kInspectedAtOnce);
  for (;;) {
    const auto reply = Ask(server, request);
    if (!reply) return Fail(reply.error());
    for (const wire::BlockInfo& info : reply->blocks()) table[KeyOf(info.block())][server] = info;
    if (reply->end() || reply->blocks().empty()) return {};
    *request.mutable_after() = reply->blocks().rbegin()->block();
  }
}

Result<void> BlockSurvey::LookAgain(const std::set<uint32_t>& servers, Table& table,
                                    std::vector<BlockKey>& differing) {
  for (int look = 0; look < kLooks && !differing.empty(); ++look) {
    master_.Pause(kLookAgainMs);
    for (size_t first = 0; first < differing.size(); first += kInspectedAtOnce) {
      const size_t end = std::min<size_t>(differing.size(), first + kInspectedAtOnce);
      wire::InspectRequest request;
      for (size_t i = first; i < end; ++i) {
        *request.add_only() = IdOf(differing[i]);
        table[differing[i]].clear();
      }
      for (const uint32_t server : servers) {
        const auto reply = Ask(server, request);
        if (!reply) return Fail(reply.error());
        for (const wire::BlockInfo& info : reply->blocks()) {
          table[KeyOf(info.block())][server] = info;
        }
      }
    }
    std::erase_if(differing, [&](const BlockKey& key) { return Equal(table[key], servers.size()); });
  }
  return {};
}

void BlockSurvey::Count(const wire::Pool& pool, const wire::Bucket& bucket, size_t answered,
                        const Table& table, const std::vector<BlockKey>& differing) {
  const auto serving = static_cast<size_t>(
      std::count(bucket.states().begin(), bucket.states().end(), wire::MEMBER_SERVING));
  for (const auto& [key, held] : table) {
    if (held.empty()) continue;  // gone while it was looked at
    ++blocks;
    copies += held.size();
    ++contents[{key.pool, key.data}];
    const auto rotten = static_cast<size_t>(std::count_if(
        held.begin(), held.end(), [](const auto& copy) { return copy.second.rotten(); }));
    if (rotten == held.size() && held.size() == answered) {
      Add(TroubledBlock{Trouble::kLost, key, StoryOf(held)});
    } else if (std::binary_search(differing.begin(), differing.end(), key)) {
      Add(TroubledBlock{Trouble::kDivergent, key, StoryOf(held)});
    } else if (serving - std::min(serving, rotten) < pool.replicas()) {
      Add(TroubledBlock{Trouble::kUnderReplicated, key, StoryOf(held)});
    }
  }
}

// False: the members have changed meanwhile.
Result<bool> BlockSurvey::Compare(const wire::Pool& pool, uint32_t id) {
  const wire::Bucket* found = Find(pool.id(), id);
  if (found == nullptr || found->servers().empty()) return true;  // nothing was ever in it
  const wire::Bucket bucket = *found;
  std::set<uint32_t> answered;
  Table table;
  bool serves = false;
  for (int i = 0; i < bucket.servers_size() && i < bucket.states_size(); ++i) {
    if (bucket.states(i) != wire::MEMBER_SERVING) continue;
    serves = true;
    if (silent.contains(bucket.servers(i))) continue;
    wire::InspectRequest request;
    request.set_pool(pool.id());
    request.set_bucket(id);
    const Result<void> added = AddAll(bucket.servers(i), request, table);
    if (added) {
      answered.insert(bucket.servers(i));
    } else {
      silent[bucket.servers(i)] = added.error().ToString();
      for (auto& [key, held] : table) held.erase(bucket.servers(i));
    }
  }
  if (!serves || answered.empty()) {
    lost_buckets.insert({PoolId{pool.id()}, BucketId{id}});
    return true;
  }
  std::vector<BlockKey> differing;
  for (const auto& [key, held] : table) {
    if (!Equal(held, answered.size())) differing.push_back(key);
  }
  const Result<void> again = LookAgain(answered, table, differing);
  if (!again) return Fail(again.error());
  if (!differing.empty()) {
    const Result<void> refreshed = RefreshMap();
    if (!refreshed) return Fail(refreshed.error());
    const wire::Bucket* now = Find(pool.id(), id);
    if (now == nullptr || now->version() != bucket.version()) return false;
  }
  Count(pool, bucket, answered.size(), table, differing);
  return true;
}

Result<void> BlockSurvey::Run() {
  const Result<void> refreshed = RefreshMap();
  if (!refreshed) return refreshed;
  const std::vector<wire::Pool> pools(map.pools().begin(), map.pools().end());
  for (const wire::Pool& pool : pools) {
    for (uint32_t bucket = 0; bucket < uint32_t{1} << pool.bucket_bits(); ++bucket) {
      bool settled = false;
      for (int i = 0; i < kBucketTries && !settled; ++i) {
        const Result<bool> compared = Compare(pool, bucket);
        if (!compared) return Fail(compared.error());
        settled = *compared;
      }
      if (!settled) {
        return Fail(Errc::kBusy, fmt::format("the members of bucket {} keep changing", bucket));
      }
    }
  }
  return {};
}

}  // namespace ringfs::cli
