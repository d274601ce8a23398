#include "chunkserver/replication/replica.h"

#include <utility>

#include "common/log.h"

namespace ringfs::chunkserver {

Replica::Replica(ServerId self, Seams seams)
    : context_(self, seams),
      head_(context_),
      member_(context_, head_),
      sync_(context_),
      scrub_(context_, head_),
      drops_(seams.executor) {}

Result<void> Replica::InstallMap(const wire::ClusterMap& map) {
  drop_order_.Learn(context_.self, context_.map, map);
  const auto changed = context_.map.Install(map, context_.Now());
  if (!changed) return Fail(changed.error());
  for (const BucketKey& bucket : *changed) context_.states.At(bucket).changed().NotifyAll();
  sync_.Look(*changed);
  return {};
}

Result<void> Replica::Registered(const wire::ClusterMap& map) {
  drop_order_.Registered(map.epoch());
  return InstallMap(map);
}

void Replica::RenewLease(int64_t sent_ms, int64_t lease_ms) {
  // Sessions may have been fenced while the master counted this server as gone.
  if (!context_.lease.Valid(context_.Now())) context_.fence.ForgetLive();
  context_.lease.Renew(sent_ms, lease_ms);
}

asio::awaitable<void> Replica::HeartbeatAnswered(int64_t sent_ms, int64_t lease_ms,
                                                 uint64_t epoch) {
  if (context_.map.epoch() < epoch) {
    const Result<void> refreshed = co_await context_.seams.master.RefreshMap();
    if (!refreshed) spdlog::debug("no newer map: {}", refreshed.error().ToString());
  }
  if (context_.map.epoch() >= epoch) RenewLease(sent_ms, lease_ms);
}

asio::awaitable<Result<void>> Replica::Drop(DropRequest request) {
  const Result<void> admitted = co_await context_.fence.Admit(request.session);
  if (!admitted) co_return admitted;
  const Result<void> live = context_.fence.CheckLive(request.session);
  if (!live) co_return live;
  if (!context_.lease.Valid(context_.Now())) {
    co_return Fail(Errc::kNotServing, "no contact with the master");
  }
  const Result<void> begun = drop_order_.Begin(request.session, request.number, request.epoch);
  if (!begun) co_return begun;
  const Fence::Change change(context_.fence, request.session);
  co_return co_await Collect(request.pool, request.data, request.from);
}

asio::awaitable<Result<void>> Replica::Collect(PoolId pool, DataId data, uint32_t from) {
  const BlockKey whole{pool, data, 0};
  const BlockLocks::Guard guard = co_await drops_.Exclusive(whole);
  head_.BeginDrop(pool, data, from);
  const Result<void> removed = co_await context_.seams.blocks.RemoveData(pool, data, from);
  head_.EndDrop();
  co_return removed;
}

void Replica::Stop() {
  context_.stopped = true;
  context_.states.NotifyAll();
  scrub_.Wake();
}

}  // namespace ringfs::chunkserver
