#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/remote.h"
#include "common/ids.h"
#include "proto/chunk.pb.h"
#include "proto/cluster.pb.h"

namespace ringfs::cli {

enum class Trouble { kLost, kUnderReplicated, kDivergent };

struct TroubledBlock {
  Trouble trouble = Trouble::kLost;
  BlockKey key;
  std::string story;  // for people: who has what
};

// What the chunkservers of a cluster have, compared bucket by bucket.
//
// Owns: connections to them.
class BlockSurvey {
 public:
  using Content = std::pair<PoolId, DataId>;
  using BucketName = std::pair<PoolId, BucketId>;
  static constexpr size_t kListed = 1000;

  // `answer_ms`: how long to wait for a chunkserver. One that is silent once is not asked again.
  BlockSurvey(Master& master, int64_t answer_ms) : master_(master), answer_ms_(answer_ms) {}

  // Asks everybody about everything. Writes may go on: what differs is looked at again before it
  // counts.
  Result<void> Run();
  void Add(TroubledBlock block);

  uint64_t blocks = 0;
  uint64_t copies = 0;
  std::map<Trouble, uint64_t> counts;
  std::vector<TroubledBlock> listed;     // the first kListed
  std::set<Content> troubled;            // whose the listed are
  std::map<Content, uint64_t> contents;  // the number of blocks of each
  std::set<BucketName> lost_buckets;     // nobody serves them
  std::map<uint32_t, std::string> silent;  // serving members that did not answer, and why
  wire::ClusterMap map;

 private:
  using Copies = std::map<uint32_t, wire::BlockInfo>;  // by server
  using Table = std::map<BlockKey, Copies>;

  Result<bool> Compare(const wire::Pool& pool, uint32_t bucket);
  Result<void> LookAgain(const std::set<uint32_t>& servers, Table& table,
                         std::vector<BlockKey>& differing);
  Result<wire::InspectReply> Ask(uint32_t server, const wire::InspectRequest& request);
  Result<void> AddAll(uint32_t server, wire::InspectRequest request, Table& table);
  Result<void> RefreshMap();
  const wire::Bucket* Find(uint32_t pool, uint32_t bucket) const;
  void Count(const wire::Pool& pool, const wire::Bucket& bucket, size_t answered,
             const Table& table, const std::vector<BlockKey>& differing);

  Master& master_;
  const int64_t answer_ms_;
  std::map<uint32_t, std::unique_ptr<Master>> servers_;
};

}  // namespace ringfs::cli
