#include "master/service/format.h"

#include <string>

namespace ringfs::master {
namespace {

Result<void> CheckSame(const char* what, std::optional<uint32_t> wanted, uint32_t is) {
  if (!wanted || *wanted == is) return {};
  return Fail(Errc::kExists, "the cluster was made with " + std::to_string(is) + " " + what +
                                 "; this is given only for a new data directory");
}

}  // namespace

Result<void> FormatIfNew(StateMachine& state, const Clock& clock, const FormatOptions& options) {
  if (!state.cluster_id().empty()) {
    if (state.Pools().empty()) return Fail(Errc::kCorrupted, "the cluster has no pool");
    const wire::Pool& pool = state.Pools().front();
    const Result<void> same = CheckSame("replicas", options.replicas, pool.replicas());
    if (!same) return same;
    return CheckSame("bucket bits", options.bucket_bits, pool.bucket_bits());
  }
  wire::Command command;
  command.set_time_ns(clock.WallNs());
  wire::FormatCluster& format = *command.mutable_format_cluster();
  format.set_cluster_id(options.cluster_id);
  format.set_replicas(options.replicas.value_or(kDefaultReplicas));
  format.set_bucket_bits(options.bucket_bits.value_or(kDefaultBucketBits));
  const Outcome outcome = state.Apply(command);
  if (outcome.error != Errc::kOk) return Fail(outcome.error, outcome.detail);
  Overlay::Batch batch = state.TakeBatch();
  const Result<void> written = state.Commit(batch);
  if (written) state.Committed();
  return written;
}

}  // namespace ringfs::master
