#include "chunkserver/replication/context.h"

namespace ringfs::chunkserver {

std::string Describe(const BlockKey& key) {
  return std::to_string(Raw(key.pool)) + "/" + std::to_string(Raw(key.data)) + "/" +
         std::to_string(key.index);
}

Failure StaleEpoch(const Context& context, const BucketKey& key) {
  return Fail(Errc::kStaleEpoch, "bucket " + std::to_string(Raw(key.bucket)) + " is at version " +
                                     std::to_string(context.map.Find(key).version) + " in epoch " +
                                     std::to_string(context.map.epoch()));
}

Result<void> Context::CheckServing(const BucketKey& key, uint64_t bucket_version) {
  if (stopped) return Fail(Errc::kUnavailable, "the server is ending");
  if (!lease.Valid(Now())) return Fail(Errc::kNotServing, "no contact with the master");
  const Bucket& bucket = map.Find(key);
  const bool deposed = states.At(key).seen() > bucket_version;
  if (bucket.version != bucket_version || deposed) return StaleEpoch(*this, key);
  if (bucket.StateOf(self) != MemberState::kServing) {
    return Fail(Errc::kNotServing,
                "not a serving member of bucket " + std::to_string(Raw(key.bucket)));
  }
  if (seams.blocks.MayMiss(key.pool, key.bucket)) {
    return Fail(Errc::kNotServing, "a failed disk may have held blocks of the bucket");
  }
  return {};
}

Result<void> Context::CheckHead(const BucketKey& key, uint64_t bucket_version) {
  Result<void> serving = CheckServing(key, bucket_version);
  if (!serving) return serving;
  if (map.Find(key).head() != self) return Fail(Errc::kNotHead);
  return {};
}

std::vector<ServerId> Context::Required(const BucketKey& key, uint64_t bucket_version) {
  std::vector<ServerId> required = map.Find(key).Serving();
  std::erase(required, self);
  const BucketState& state = states.At(key);
  if (state.compulsory_version == bucket_version) {
    required.insert(required.end(), state.compulsory.begin(), state.compulsory.end());
  }
  return required;
}

}  // namespace ringfs::chunkserver
