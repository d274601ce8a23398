#include "chunkserver/store/index.h"

#include <fmt/format.h>
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <string_view>

#include "chunkserver/store/coding.h"
#include "chunkserver/store/index_record.h"
#include "chunkserver/store/leveldb_env.h"

namespace ringfs::chunkserver {
namespace {

constexpr char kFolder[] = "index";
constexpr size_t kWriteBufferBytes = 8 << 20;
constexpr size_t kCacheBytes = 16 << 20;
constexpr int kMaxOpenFiles = 128;
constexpr int kFilterBitsPerKey = 10;

Failure FromStatus(const leveldb::Status& status) {
  return Fail(status.IsCorruption() ? Errc::kCorrupted : Errc::kIo, "index: " + status.ToString());
}

Failure BadRecord(const BlockKey& key) {
  return Fail(Errc::kCorrupted, fmt::format("index: the record of block {}/{}/{} makes no sense",
                                            Raw(key.pool), Raw(key.data), key.index));
}

std::string_view View(const leveldb::Slice& slice) { return {slice.data(), slice.size()}; }

leveldb::ReadOptions Checked() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

}  // namespace

IndexBatch::IndexBatch(const BucketFunction& bucket_of)
    : bucket_of_(bucket_of), batch_(std::make_unique<leveldb::WriteBatch>()) {}

IndexBatch::~IndexBatch() = default;

void IndexBatch::PutBlock(const BlockKey& key, const BlockState& state) {
  const std::string block_key = index_record::BlockKeyOf(bucket_of_(key), key);
  const std::string data_key = index_record::DataKeyOf(key);
  if (state.present) {
    batch_->Put(block_key, index_record::EncodeBlock(state));
    batch_->Put(data_key, "");
  } else {
    batch_->Delete(block_key);
    batch_->Delete(data_key);
  }
  for (uint32_t group = 0; group < state.indexed_groups; ++group) {
    const std::string group_key = index_record::GroupKeyOf(key, group);
    if (group >= state.groups.size() || !index_record::GroupIsUsed(state, group)) {
      batch_->Delete(group_key);
    } else if (state.groups[group]->generation == state.generation) {
      batch_->Put(group_key, index_record::EncodeGroup(*state.groups[group]));
    }
  }
}

void IndexBatch::PutTag(const TagKey& tag, const LastWrite& last) {
  batch_->Put(index_record::TagKeyOf(tag.first, tag.second), index_record::EncodeTag(last));
}

void IndexBatch::DeleteTag(const TagKey& tag) {
  batch_->Delete(index_record::TagKeyOf(tag.first, tag.second));
}

void IndexBatch::PutGeneration(uint64_t generation) {
  std::string value;
  PutLittle(&value, generation);
  batch_->Put(index_record::kGenerationKey, value);
}

Index::Index(Disk& disk, BucketFunction bucket_of)
    : bucket_of_(std::move(bucket_of)),
      env_(MakeLevelDbEnv(disk)),
      cache_(leveldb::NewLRUCache(kCacheBytes)),
      filter_(leveldb::NewBloomFilterPolicy(kFilterBitsPerKey)) {}

Index::~Index() = default;

Result<std::unique_ptr<Index>> Index::Open(Disk& disk, BucketFunction bucket_of, bool create) {
  std::unique_ptr<Index> index(new Index(disk, std::move(bucket_of)));
  leveldb::Options options;
  options.create_if_missing = create;
  options.paranoid_checks = true;
  options.env = index->env_.get();
  options.write_buffer_size = kWriteBufferBytes;
  options.max_open_files = kMaxOpenFiles;
  options.block_cache = index->cache_.get();
  options.filter_policy = index->filter_.get();
  options.compression = leveldb::kNoCompression;  // checksums do not compress
  leveldb::DB* db = nullptr;
  if (const leveldb::Status status = leveldb::DB::Open(options, kFolder, &db); !status.ok()) {
    return FromStatus(status);
  }
  index->db_.reset(db);
  return index;
}

Result<std::shared_ptr<BlockState>> Index::Load(const BlockKey& key) const {
  std::string value;
  const leveldb::Status status =
      db_->Get(Checked(), index_record::BlockKeyOf(bucket_of_(key), key), &value);
  auto state = std::make_shared<BlockState>();
  if (status.IsNotFound()) {
    return state;
  }
  if (!status.ok()) {
    return FromStatus(status);
  }
  if (!index_record::DecodeBlock(value, state.get())) {
    return BadRecord(key);
  }
  if (Result<void> loaded = LoadChecksums(key, state.get()); !loaded) {
    return Fail(loaded.error());
  }
  return state;
}

Result<void> Index::LoadChecksums(const BlockKey& key, BlockState* state) const {
  const uint32_t count = CeilDiv(UnitCount(state->length), kUnitsPerGroup);
  state->indexed_groups = count;
  for (uint32_t i = 0; i < count; ++i) {
    state->groups.push_back(std::make_shared<ChecksumGroup>());
  }
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(Checked()));
  uint32_t used = 0;
  for (uint32_t group = 0; group < count; ++group) {
    used += index_record::GroupIsUsed(*state, group) ? 1 : 0;
  }
  for (at->Seek(index_record::GroupKeyOf(key, 0)); used > 0 && at->Valid(); at->Next()) {
    const std::optional<uint32_t> group = index_record::GroupOfKey(View(at->key()), key);
    if (!group || *group >= count || !index_record::GroupIsUsed(*state, *group) ||
        !index_record::DecodeGroup(View(at->value()), state->groups[*group].get())) {
      return BadRecord(key);
    }
    --used;
  }
  if (!at->status().ok()) {
    return FromStatus(at->status());
  }
  return used == 0 ? Result<void>() : BadRecord(key);
}

Result<void> Index::Write(const IndexBatch& batch) {
  leveldb::WriteOptions options;
  options.sync = true;
  if (const leveldb::Status status = db_->Write(options, batch.batch_.get()); !status.ok()) {
    return FromStatus(status);
  }
  return {};
}

Result<uint64_t> Index::Generation() const {
  std::string value;
  const leveldb::Status status = db_->Get(Checked(), index_record::kGenerationKey, &value);
  if (status.IsNotFound()) {
    return Fail(Errc::kNotFound, "index: it has no generation");
  }
  if (!status.ok()) {
    return FromStatus(status);
  }
  Decoder in(value);
  const auto generation = in.Little<uint64_t>();
  if (!in.AtEnd()) {
    return Fail(Errc::kCorrupted, "index: the generation makes no sense");
  }
  return generation;
}

Result<std::vector<BlockInfo>> Index::ListBucket(PoolId pool, BucketId bucket,
                                                 std::optional<BlockKey> after,
                                                 size_t limit) const {
  const std::string prefix = index_record::BucketPrefix(pool, bucket);
  const std::string start = after ? index_record::BlockKeyOf(bucket, *after) : prefix;
  std::vector<BlockInfo> blocks;
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(Checked()));
  for (at->Seek(start); at->Valid() && blocks.size() < limit; at->Next()) {
    const std::string_view key = View(at->key());
    if (key.substr(0, prefix.size()) != prefix) {
      break;
    }
    const std::optional<BlockKey> found = index_record::ParseBlockKey(key);
    if (!found) {
      return Fail(Errc::kCorrupted, "index: a key that makes no sense");
    }
    if (after && *found == *after) {
      continue;
    }
    BlockState state;
    if (!index_record::DecodeBlock(View(at->value()), &state)) {
      return BadRecord(*found);
    }
    blocks.push_back({*found, state.version, state.length, state.digest});
  }
  if (!at->status().ok()) {
    return FromStatus(at->status());
  }
  return blocks;
}

Result<std::vector<BlockKey>> Index::ListData(PoolId pool, DataId data, uint32_t from,
                                              size_t limit) const {
  const std::string prefix = index_record::DataPrefix(pool, data);
  std::vector<BlockKey> keys;
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(Checked()));
  for (at->Seek(index_record::DataKeyOf({pool, data, from})); at->Valid() && keys.size() < limit;
       at->Next()) {
    const std::string_view key = View(at->key());
    if (key.substr(0, prefix.size()) != prefix) {
      break;
    }
    Decoder in(key.substr(prefix.size()));
    const auto number = in.Big<uint32_t>();
    if (!in.AtEnd()) {
      return Fail(Errc::kCorrupted, "index: a key that makes no sense");
    }
    keys.push_back({pool, data, number});
  }
  if (!at->status().ok()) {
    return FromStatus(at->status());
  }
  return keys;
}

Result<std::optional<BlockInfo>> Index::Find(const BlockKey& key) const {
  std::string value;
  const leveldb::Status status =
      db_->Get(Checked(), index_record::BlockKeyOf(bucket_of_(key), key), &value);
  if (status.IsNotFound()) {
    return std::optional<BlockInfo>();
  }
  if (!status.ok()) {
    return FromStatus(status);
  }
  BlockState state;
  if (!index_record::DecodeBlock(value, &state)) {
    return BadRecord(key);
  }
  return std::optional(BlockInfo{key, state.version, state.length, state.digest});
}

Result<void> Index::ForEachBlock(
    const std::function<Result<void>(const BlockKey&, const BlockState&)>& visit) const {
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(Checked()));
  const std::string prefix(1, index_record::kBlockFamily);
  for (at->Seek(prefix); at->Valid() && at->key().starts_with(prefix); at->Next()) {
    const std::optional<BlockKey> key = index_record::ParseBlockKey(View(at->key()));
    BlockState state;
    if (!key) {
      return Fail(Errc::kCorrupted, "index: a key that makes no sense");
    }
    if (!index_record::DecodeBlock(View(at->value()), &state)) {
      return BadRecord(*key);
    }
    if (Result<void> visited = visit(*key, state); !visited) {
      return visited;
    }
  }
  return at->status().ok() ? Result<void>() : FromStatus(at->status());
}

Result<void> Index::ForEachTag(
    const std::function<void(const TagKey&, const LastWrite&)>& visit) const {
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(Checked()));
  const std::string prefix(1, index_record::kTagFamily);
  for (at->Seek(prefix); at->Valid() && at->key().starts_with(prefix); at->Next()) {
    const auto tag = index_record::DecodeTag(View(at->key()), View(at->value()));
    if (!tag) {
      return Fail(Errc::kCorrupted, "index: a write tag that makes no sense");
    }
    visit(tag->first, tag->second);
  }
  return at->status().ok() ? Result<void>() : FromStatus(at->status());
}

}  // namespace ringfs::chunkserver
