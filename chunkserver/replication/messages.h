#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "chunkserver/store/block.h"
#include "common/buffer.h"
#include "common/ids.h"

// What chunkservers say to each other, apart from its form on the wire (proto/chunk.proto).
namespace ringfs::chunkserver {

// Head to member: make this change. `change.expected` is the version that the member must have.
struct Replication {
  ServerId head{0};
  uint64_t bucket_version = 0;
  BlockChange change;
  bool sync = false;
};

// Which blocks of a bucket a server has. Also tells it that `bucket_version` is in force: it takes
// no change of an older one afterwards, and none is still under way when it answers.
struct Listing {
  ServerId from{0};
  PoolId pool{0};
  BucketId bucket{0};
  uint64_t bucket_version = 0;
  std::optional<BlockKey> after;
  uint32_t limit = 0;       // 0: only the notice
  bool compulsory = false;  // syncing member to head: wait for my answers from now on
};

struct BlockPage {
  std::vector<BlockInfo> blocks;  // in order
  bool end = false;
};

// A whole block.
struct BlockCopy {
  BlockVersion version;
  Buffer data;
  std::vector<uint32_t> checksums;  // of `data`, verified
  std::vector<TagRecord> tags;
};

// A change that a client asks the head for.
struct WriteOrder {
  WriteTag tag;
  uint64_t bucket_version = 0;
  BlockChange change;  // without versions and tag
  bool sync = false;
};

// A client's order to remove the blocks of a data id from index `from` on.
struct DropRequest {
  SessionId session{0};
  uint64_t number = 0;  // of the session's drops; 0: not said
  uint64_t epoch = 0;   // of the map by which it was sent
  PoolId pool{0};
  DataId data{0};
  uint32_t from = 0;
};

}  // namespace ringfs::chunkserver
