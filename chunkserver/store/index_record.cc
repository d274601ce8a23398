#include "chunkserver/store/index_record.h"

#include "chunkserver/store/coding.h"

namespace ringfs::chunkserver::index_record {
namespace {

bool DecodeSlots(Decoder* in, BlockState* state) {
  const uint32_t clusters = CeilDiv(UnitCount(state->length), kUnitsPerCluster);
  state->clusters.resize(clusters);
  const auto runs = in->Little<uint32_t>();
  for (uint32_t i = 0; i < runs && in->ok(); ++i) {
    const auto first = in->Little<uint32_t>();
    const auto count = in->Little<uint32_t>();
    const auto address = in->Little<uint32_t>();
    const auto present = in->Little<uint16_t>();
    if (first > clusters || count > clusters - first || present == 0 ||
        address > kNoCluster - count) {
      return false;
    }
    for (uint32_t at = 0; at < count; ++at) {
      ClusterSlot& slot = state->clusters[first + at];
      if (slot.address != kNoCluster) {
        return false;
      }
      slot = ClusterSlot{address + at, present};
    }
  }
  return in->ok();
}

// No unit is stored that lies beyond the end.
bool SlotsFitLength(const BlockState& state) {
  const uint32_t units = UnitCount(state.length);
  if (units % kUnitsPerCluster == 0 || state.clusters.empty()) {
    return true;
  }
  return state.clusters.back().present >> units % kUnitsPerCluster == 0;
}

}  // namespace

std::string BucketPrefix(PoolId pool, BucketId bucket) {
  std::string key(1, kBlockFamily);
  PutBig(&key, pool);
  PutBig(&key, bucket);
  return key;
}

std::string BlockKeyOf(BucketId bucket, const BlockKey& key) {
  std::string bytes = BucketPrefix(key.pool, bucket);
  PutBig(&bytes, key.data);
  PutBig(&bytes, key.index);
  return bytes;
}

std::optional<BlockKey> ParseBlockKey(std::string_view bytes) {
  Decoder in(bytes);
  const auto family = in.Big<char>();
  BlockKey key;
  key.pool = in.Big<PoolId>();
  in.Big<BucketId>();
  key.data = in.Big<DataId>();
  key.index = in.Big<uint32_t>();
  if (!in.AtEnd() || family != kBlockFamily) {
    return std::nullopt;
  }
  return key;
}

std::string DataPrefix(PoolId pool, DataId data) {
  std::string key(1, kDataFamily);
  PutBig(&key, pool);
  PutBig(&key, data);
  return key;
}

std::string DataKeyOf(const BlockKey& key) {
  std::string bytes = DataPrefix(key.pool, key.data);
  PutBig(&bytes, key.index);
  return bytes;
}

std::string GroupKeyOf(const BlockKey& key, uint32_t group) {
  std::string bytes(1, kGroupFamily);
  PutBig(&bytes, key.pool);
  PutBig(&bytes, key.data);
  PutBig(&bytes, key.index);
  PutBig(&bytes, group);
  return bytes;
}

std::optional<uint32_t> GroupOfKey(std::string_view bytes, const BlockKey& key) {
  Decoder in(bytes);
  const auto family = in.Big<char>();
  const auto pool = in.Big<PoolId>();
  const auto data = in.Big<DataId>();
  const auto index = in.Big<uint32_t>();
  const auto group = in.Big<uint32_t>();
  if (!in.AtEnd() || family != kGroupFamily || BlockKey{pool, data, index} != key) {
    return std::nullopt;
  }
  return group;
}

std::string TagKeyOf(SessionId session, uint32_t channel) {
  std::string key(1, kTagFamily);
  PutBig(&key, session);
  PutBig(&key, channel);
  return key;
}

bool GroupIsUsed(const BlockState& state, uint32_t group) {
  constexpr uint32_t kClustersPerGroup = kUnitsPerGroup / kUnitsPerCluster;
  for (uint32_t i = 0; i < kClustersPerGroup; ++i) {
    const uint32_t cluster = group * kClustersPerGroup + i;
    if (cluster < state.clusters.size() && state.clusters[cluster].present != 0) {
      return true;
    }
  }
  return false;
}

std::string EncodeBlock(const BlockState& state) {
  std::string runs;
  uint32_t count = 0;
  for (uint32_t first = 0; first < state.clusters.size();) {
    const ClusterSlot& slot = state.clusters[first];
    uint32_t end = first + 1;
    if (slot.address != kNoCluster) {
      // Neighbours on the disk that are alike share a run.
      while (end < state.clusters.size() && state.clusters[end].present == slot.present &&
             state.clusters[end].address == slot.address + (end - first)) {
        ++end;
      }
      PutLittle(&runs, first);
      PutLittle(&runs, end - first);
      PutLittle(&runs, slot.address);
      PutLittle(&runs, slot.present);
      ++count;
    }
    first = end;
  }
  std::string out;
  PutLittle(&out, state.version.bucket_version);
  PutLittle(&out, state.version.counter);
  PutLittle(&out, state.length);
  PutLittle(&out, state.digest);
  PutLittle(&out, count);
  out += runs;
  return out;
}

bool DecodeBlock(std::string_view bytes, BlockState* state) {
  Decoder in(bytes);
  state->present = true;
  state->version.bucket_version = in.Little<uint64_t>();
  state->version.counter = in.Little<uint64_t>();
  state->length = in.Little<uint32_t>();
  state->digest = in.Little<uint64_t>();
  return in.ok() && state->length <= kMaxBlockSize && DecodeSlots(&in, state) && in.AtEnd() &&
         SlotsFitLength(*state);
}

std::string EncodeGroup(const ChecksumGroup& group) {
  std::string out;
  out.reserve(group.crcs.size() * sizeof(uint32_t));
  for (const uint32_t crc : group.crcs) {
    PutLittle(&out, crc);
  }
  return out;
}

bool DecodeGroup(std::string_view bytes, ChecksumGroup* group) {
  Decoder in(bytes);
  for (uint32_t& crc : group->crcs) {
    crc = in.Little<uint32_t>();
  }
  return in.AtEnd();
}

std::string EncodeTag(const LastWrite& last) {
  std::string out;
  PutLittle(&out, last.sequence);
  PutLittle(&out, last.key.pool);
  PutLittle(&out, last.key.data);
  PutLittle(&out, last.key.index);
  PutLittle(&out, last.version.bucket_version);
  PutLittle(&out, last.version.counter);
  return out;
}

std::optional<std::pair<std::pair<SessionId, uint32_t>, LastWrite>> DecodeTag(
    std::string_view key, std::string_view value) {
  Decoder key_in(key);
  key_in.Bytes(1);
  const auto session = key_in.Big<SessionId>();
  const auto channel = key_in.Big<uint32_t>();
  Decoder in(value);
  LastWrite last;
  last.sequence = in.Little<uint64_t>();
  last.key.pool = in.Little<PoolId>();
  last.key.data = in.Little<DataId>();
  last.key.index = in.Little<uint32_t>();
  last.version.bucket_version = in.Little<uint64_t>();
  last.version.counter = in.Little<uint64_t>();
  if (!key_in.AtEnd() || !in.AtEnd()) {
    return std::nullopt;
  }
  return std::pair(std::pair(session, channel), last);
}

}  // namespace ringfs::chunkserver::index_record
