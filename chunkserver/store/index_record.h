#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "chunkserver/store/block.h"
#include "chunkserver/store/block_state.h"

// Keys and values of the index: docs/formats/store.md. What decodes gives nothing for bytes that
// are not what it expects.
namespace ringfs::chunkserver::index_record {

inline constexpr char kBlockFamily = 'B';
inline constexpr char kGroupFamily = 'C';
inline constexpr char kDataFamily = 'D';
inline constexpr char kTagFamily = 'T';
inline constexpr char kGenerationKey[] = "G";

std::string BucketPrefix(PoolId pool, BucketId bucket);
std::string BlockKeyOf(BucketId bucket, const BlockKey& key);
std::optional<BlockKey> ParseBlockKey(std::string_view bytes);
std::string DataPrefix(PoolId pool, DataId data);
std::string DataKeyOf(const BlockKey& key);
std::string GroupKeyOf(const BlockKey& key, uint32_t group);
// The group, if the key is that of a group of this block.
std::optional<uint32_t> GroupOfKey(std::string_view bytes, const BlockKey& key);
std::string TagKeyOf(SessionId session, uint32_t channel);

// Whether any unit of the group is stored.
bool GroupIsUsed(const BlockState& state, uint32_t group);

std::string EncodeBlock(const BlockState& state);  // without checksums and pending units
bool DecodeBlock(std::string_view bytes, BlockState* state);
std::string EncodeGroup(const ChecksumGroup& group);
bool DecodeGroup(std::string_view bytes, ChecksumGroup* group);
std::string EncodeTag(const LastWrite& last);
std::optional<std::pair<std::pair<SessionId, uint32_t>, LastWrite>> DecodeTag(
    std::string_view key, std::string_view value);

}  // namespace ringfs::chunkserver::index_record
