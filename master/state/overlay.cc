#include "master/state/overlay.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "master/state/status.h"

namespace ringfs::master {
namespace {

leveldb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ToView(const leveldb::Slice& slice) { return {slice.data(), slice.size()}; }

}  // namespace

Overlay::Overlay(Database database) : database_(std::move(database)) {}

Result<std::optional<std::string>> Overlay::Get(std::string_view key) const {
  if (auto found = gathered_.find(key); found != gathered_.end()) return found->second;
  for (auto layer = on_their_way_.rbegin(); layer != on_their_way_.rend(); ++layer) {
    if (auto found = layer->find(key); found != layer->end()) return found->second;
  }
  std::string value;
  leveldb::Status status = database_.db->Get({}, ToSlice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return Fail(FromStatus(status));
  return std::optional<std::string>(std::move(value));
}

Result<void> Overlay::Scan(std::string_view prefix, std::string_view from,
                           const Visitor& visit) const {
  std::string_view start = std::max(prefix, from);
  // The layers, newest first: the first that has a key decides.
  std::vector<std::pair<Changes::const_iterator, Changes::const_iterator>> layers;
  layers.emplace_back(gathered_.lower_bound(start), gathered_.end());
  for (auto layer = on_their_way_.rbegin(); layer != on_their_way_.rend(); ++layer) {
    layers.emplace_back(layer->lower_bound(start), layer->end());
  }
  std::unique_ptr<leveldb::Iterator> stored(database_.db->NewIterator({}));
  for (stored->Seek(ToSlice(start));;) {
    std::optional<std::string_view> key;
    for (const auto& [at, end] : layers) {
      if (at != end && (!key || at->first < *key)) key = at->first;
    }
    bool in_database = stored->Valid() && (!key || ToView(stored->key()) <= *key);
    if (in_database) key = ToView(stored->key());
    if (!key || !key->starts_with(prefix)) break;

    const std::optional<std::string>* change = nullptr;
    for (const auto& [at, end] : layers) {
      if (at == end || at->first != *key) continue;
      change = &at->second;
      break;
    }
    if (change == nullptr) {
      if (!visit(*key, ToView(stored->value()))) return {};
    } else if (change->has_value()) {
      if (!visit(*key, **change)) return {};
    }
    // The key that the database holds is gone once its iterator moves.
    for (auto& [at, end] : layers) {
      if (at != end && at->first == *key) ++at;
    }
    if (in_database) stored->Next();
  }
  if (!stored->status().ok()) return Fail(FromStatus(stored->status()));
  return {};
}

void Overlay::Set(std::string_view key, std::optional<std::string> value) {
  auto found = gathered_.lower_bound(key);
  bool known = found != gathered_.end() && found->first == key;
  if (in_command_) {
    Undo undo{std::string(key), {}};
    if (known) undo.before = std::move(found->second);
    undo_.push_back(std::move(undo));
  }
  if (known) {
    found->second = std::move(value);
  } else {
    gathered_.emplace_hint(found, std::string(key), std::move(value));
  }
}

void Overlay::Put(std::string_view key, std::string value) { Set(key, std::move(value)); }
void Overlay::Delete(std::string_view key) { Set(key, std::nullopt); }

void Overlay::Begin() {
  RINGFS_CHECK(!in_command_);
  in_command_ = true;
}

bool Overlay::Accept() {
  bool changed = !undo_.empty();
  in_command_ = false;
  undo_.clear();
  return changed;
}

void Overlay::Rollback() {
  for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) {
    if (undo->before) {
      gathered_[undo->key] = std::move(*undo->before);
    } else {
      gathered_.erase(undo->key);
    }
  }
  Accept();
}

Overlay::Batch Overlay::Take(uint64_t index) {
  RINGFS_CHECK(!in_command_);
  Batch batch;
  batch.index = index;
  for (const auto& [key, value] : gathered_) {
    if (value) {
      batch.writes.Put(key, *value);
    } else {
      batch.writes.Delete(key);
    }
  }
  on_their_way_.push_back(std::move(gathered_));
  gathered_.clear();
  return batch;
}

Result<void> Overlay::Commit(Batch& batch) {
  leveldb::WriteOptions options;
  options.sync = true;
  leveldb::Status status = database_.db->Write(options, &batch.writes);
  if (!status.ok()) return Fail(FromStatus(status));
  return {};
}

void Overlay::Committed() {
  RINGFS_CHECK(!on_their_way_.empty());
  on_their_way_.pop_front();
}

}  // namespace ringfs::master
